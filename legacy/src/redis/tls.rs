//! TLS over the way to a server: rustls, with aws-lc-rs as everywhere.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{address::Address, failure::RedisError, stream::Way};

/// Whom to trust: the authorities of this file and no others, else those that browsers trust.
pub(super) fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, RedisError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let invalid = |what| RedisError::invalid(format!("the certificates in {} {what}", path.display()));
            let all = CertificateDer::pem_file_iter(path).map_err(|error| invalid("cannot be read").because(error))?;
            for certificate in all {
                let certificate = certificate.map_err(|error| invalid("are no PEM").because(error))?;
                roots.add(certificate).map_err(|error| invalid("are not of an authority").because(error))?;
            }
            if roots.is_empty() {
                return Err(invalid("are none"));
            }
        }
    }
    // The provider is named: with two in a program rustls would not know which to take.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RedisError::invalid("TLS cannot be set up").because(error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

pub(super) async fn secure(
    address: &Address,
    host: &str,
    stream: TcpStream,
    trust: Arc<ClientConfig>,
) -> Result<Box<dyn Way>, RedisError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| RedisError::invalid(format!("{address} has no name for TLS")).because(error))?;
    let stream = TlsConnector::from(trust).connect(name, stream).await;
    Ok(Box::new(stream.map_err(|error| RedisError::unreachable(format!("no TLS with {address}")).because(error))?))
}
