//! Whom TLS trusts.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem, pem::PemObject},
};

/// The certificates that the provider's may go back to.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

/// Why a file gives none.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read, or holds something else.
    #[error("it cannot be read as certificates in PEM: {0}")]
    Unreadable(#[from] pem::Error),
    /// A certificate in it is none to trust.
    #[error("a certificate in it cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// There is no certificate in it.
    #[error("it holds no certificate (-----BEGIN CERTIFICATE-----)")]
    Empty,
}

impl Roots {
    /// Those of Mozilla's programme, so that a container needs none of its own.
    pub fn mozilla() -> Self {
        Self(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// Those of a file in PEM, and no others.
    ///
    /// # Errors
    /// When it cannot be read, holds no certificate, or one that cannot be used.
    pub fn from_file(path: &Path) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path)? {
            store.add(certificate?)?;
        }
        if store.is_empty() { Err(RootsError::Empty) } else { Ok(Self(Arc::new(store))) }
    }

    /// A client's side of TLS that trusts them.
    pub(crate) fn into_config(self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own suites fit the default versions")
            .with_root_certificates(self.0)
            .with_no_client_auth()
    }
}
