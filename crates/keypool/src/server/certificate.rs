//! The TLS certificate of the server.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio_rustls::TlsAcceptor;

/// The server's TLS certificate. It is reloaded when its files change.
#[derive(Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    config: Arc<ArcSwap<ServerConfig>>,
}

impl Certificate {
    /// Reads a certificate chain and its private key, both in PEM.
    ///
    /// # Errors
    /// If a file cannot be read, or the key does not belong to the certificate.
    pub fn read(certificate: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let config = server_config(&certificate, &key)?;
        Ok(Self { chain: certificate, key, config: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Those of [`read`](Self::read). The previous certificate then stays in use.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.config.store(Arc::new(server_config(&self.chain, &self.key)?));
        Ok(())
    }

    pub fn files(&self) -> [&PathBuf; 2] {
        [&self.chain, &self.key]
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn server_config(certificate: &PathBuf, key: &PathBuf) -> anyhow::Result<ServerConfig> {
    let place = |file: &PathBuf| file.display().to_string();
    let chain = CertificateDer::pem_file_iter(certificate).with_context(|| place(certificate))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().with_context(|| place(certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{}: no PEM certificate found", place(certificate));
    let private = match PrivateKeyDer::from_pem_file(key) {
        Err(pem::Error::NoItemsFound) => anyhow::bail!("{}: no unencrypted PEM private key found", place(key)),
        private => private.with_context(|| place(key))?,
    };
    let builder = ServerConfig::builder().with_no_client_auth();
    let both = || format!("the certificate {} with the private key {}", place(certificate), place(key));
    let mut config = builder.with_single_cert(chain, private).with_context(both)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
