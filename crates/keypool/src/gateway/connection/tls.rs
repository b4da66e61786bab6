//! TLS on the side that clients come in at.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    server::ParsedCertificate,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The versions of HTTP that are spoken over TLS, the one that is rather spoken first.
const VERSIONS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate to show, with the key that proves it.
#[derive(Clone)]
pub struct Certified {
    chain: Arc<[CertificateDer<'static>]>,
    ends: Option<SystemTime>,
    acceptor: TlsAcceptor,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum CertifiedError {
    /// The certificates are no such.
    #[error("expected certificates in PEM: {}", told(.0))]
    Certificate(pem::Error),
    /// There is no certificate.
    #[error("expected a certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The key is none.
    #[error("expected a private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    Key,
    /// They do not fit each other, or cannot be used.
    #[error("certificate and key cannot be used: {0}")]
    Unfit(#[from] rustls::Error),
}

/// As a person may read it.
fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "the last one breaks off before its -----END CERTIFICATE-----".to_owned()
        }
        error => error.to_string(),
    }
}

impl CertifiedError {
    /// Whether it is the key that is wrong.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::Key)
    }
}

impl Certified {
    /// Of texts in PEM: a certificate with those that vouch for it behind it, and its key.
    ///
    /// # Errors
    /// When one of them is none, or they do not belong together.
    pub fn of(certificates: &str, key: &str) -> Result<Self, CertifiedError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(CertifiedError::Certificate)?;
        if chain.is_empty() {
            return Err(CertifiedError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertifiedError::Key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key)?;
        config.alpn_protocols = VERSIONS.map(<[u8]>::to_vec).to_vec();
        let ends = end_of(&chain[0]);
        Ok(Self { chain: chain.into(), ends, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// When its time is over.
    pub fn ends(&self) -> Option<SystemTime> {
        self.ends
    }

    /// Agrees with a client on keys.
    pub(in crate::gateway) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// When a certificate's time is over, as whoever checks it late enough is told: nothing else of rustls says so. That is looked
/// at before who vouches for it, for which nobody is asked.
fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    const LATE: Duration = Duration::from_secs(1 << 40);
    let (parsed, late) = (ParsedCertificate::try_from(certificate).ok()?, UnixTime::since_unix_epoch(LATE));
    let checked = verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], late, &[]);
    match checked {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

impl PartialEq for Certified {
    /// One certificate has one key.
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certified").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// What connections are met with from now on: a certificate, or nothing but the connection.
#[derive(Clone, Debug, Default)]
pub struct Tls(Arc<Mutex<Option<Certified>>>);

impl Tls {
    /// With this one.
    pub fn new(certified: Option<Certified>) -> Self {
        Self(Arc::new(Mutex::new(certified)))
    }

    /// Connections that come from now on are met with this one.
    pub fn change(&self, certified: Option<Certified>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = certified;
    }

    pub(crate) fn current(&self) -> Option<Certified> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An extension of requests that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Secured;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_half_written_is_told_in_words() {
        let half = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n";
        let told = Certified::of(half, "").unwrap_err().to_string();
        assert_eq!(told, "expected certificates in PEM: the last one breaks off before its -----END CERTIFICATE-----");
    }
}
