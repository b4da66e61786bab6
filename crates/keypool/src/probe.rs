//! Asks a running gateway for a page, as a container's health check does, which has no other program.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::client::Roots;

/// A gateway that has said nothing by then is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than this is no page of ours.
const LONGEST: usize = 4 << 10;
/// What is asked for where an address names no page.
const USUAL: &str = "/-/health";

/// The first line of a page; `/-/health` where the address names none.
///
/// # Errors
/// When nobody answers, or with another status than 200.
pub async fn ask(url: &str) -> anyhow::Result<String> {
    let uri: Uri = url.parse().with_context(|| format!("{url} is no address"))?;
    let path = if uri.path() == "/" { USUAL.to_owned() } else { uri.path().to_owned() };
    let (status, body) = fetch(&uri, &path, None, LONGEST).await?;
    let text = String::from_utf8_lossy(&body).lines().next().unwrap_or_default().to_owned();
    if status == StatusCode::OK { Ok(text) } else { Err(anyhow!("{status}: {text}")) }
}

/// A page of the gateway at this address, of so many bytes at most, asked for with a token.
///
/// # Errors
/// When nobody answers, in time, to the end.
pub async fn fetch(at: &Uri, path: &str, token: Option<&str>, longest: usize) -> anyhow::Result<(StatusCode, Bytes)> {
    let asked = page(at, path, token, longest);
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| anyhow!("{at} does not answer"))?
}

async fn page(uri: &Uri, path: &str, token: Option<&str>, longest: usize) -> anyhow::Result<(StatusCode, Bytes)> {
    let (Some(authority), secured) = (uri.authority(), uri.scheme() == Some(&Scheme::HTTPS)) else {
        bail!("{uri} is no address: expected http://HOST:PORT or https://HOST:PORT");
    };
    let port = authority.port_u16().unwrap_or(if secured { 443 } else { 80 });
    let host = authority.host();
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .with_context(|| format!("nobody listens on {authority}"))?;
    let mut request = Request::get(path).header(header::HOST, authority.as_str());
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).context("the token cannot be sent")?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    if !secured {
        return exchange(stream, request, longest).await;
    }
    let here = stream.peer_addr()?.ip().to_canonical().is_loopback();
    // What is secret goes to nobody but whom the name stands for, or to this machine.
    let config = if here { trusting_anybody()? } else { Roots::mozilla().into_config() };
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    exchange(stream, request, longest).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    longest: usize,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, longest).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
    Ok((head.status, body))
}

/// On this machine a certificate for another name is no wonder: what is told stays here.
fn trusting_anybody() -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
