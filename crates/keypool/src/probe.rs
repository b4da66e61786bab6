//! Asks a running gateway for a page, as a container's health check does, which has no other program.

use std::{net::IpAddr, sync::Arc, time::Duration};

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

use crate::{admin::ADMIN, client::Roots};

/// A gateway that has said nothing by then is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than this is no page of ours.
const LONGEST: usize = 4 << 10;
/// What an administrator is told of a request may be long.
const LONGEST_TOLD: usize = 64 << 20;
/// What is asked for where an address names no page.
const USUAL: &str = "/-/health";

/// The first line of a page; `/-/health` where the address names none.
///
/// # Errors
/// When nobody answers, or with another status than 200.
pub async fn ask(url: &str) -> anyhow::Result<String> {
    let uri = address(url)?;
    tokio::time::timeout(PATIENCE, page(&uri)).await.map_err(|_| anyhow!("{url} does not answer"))?
}

/// Where a gateway is.
///
/// # Errors
/// When that is no address, or credentials stand in it, which would be shown.
pub fn address(url: &str) -> anyhow::Result<Uri> {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    if behind.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        bail!("the address holds credentials: expected http://HOST:PORT or https://HOST:PORT");
    }
    let expected = || format!("{url} is no address: expected http://HOST:PORT or https://HOST:PORT");
    let uri: Uri = url.parse().with_context(expected)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        bail!(expected());
    }
    Ok(uri)
}

/// Whether a token may be sent there.
///
/// # Errors
/// When it would go over an open network in the clear.
pub fn may_have_the_token(at: &Uri) -> anyhow::Result<()> {
    let host = at.host().unwrap_or_default();
    let here = host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if at.scheme_str() == Some("http") && !here {
        bail!("{at}: the token would go there in the clear; use https://, or a tunnel to this machine");
    }
    Ok(())
}

/// What the admin API of a gateway tells at this address.
///
/// # Errors
/// When nobody answers, or the API says why it tells nothing. On another machine a certificate that vouches for it is
/// needed: the token goes there.
pub async fn administer(url: &str, token: &str) -> anyhow::Result<serde_json::Value> {
    let uri = address(url)?;
    if !token.is_empty() {
        may_have_the_token(&uri)?;
    }
    let mut value = HeaderValue::try_from(token).context("the token is none")?;
    value.set_sensitive(true);
    let asked = async {
        let (status, body) = fetch(&uri, Some(value), LONGEST_TOLD).await?;
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == StatusCode::OK {
            return Ok(told);
        }
        Err(anyhow!("{status}: {}", told["error"]["message"].as_str().unwrap_or("no reason is given")))
    };
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| anyhow!("{url} does not answer"))?
}

async fn page(uri: &Uri) -> anyhow::Result<String> {
    let (status, body) = fetch(uri, None, LONGEST).await?;
    let text = String::from_utf8_lossy(&body).lines().next().unwrap_or_default().to_owned();
    if status == StatusCode::OK { Ok(text) } else { Err(anyhow!("{status}: {text}")) }
}

async fn fetch(uri: &Uri, admin: Option<HeaderValue>, longest: usize) -> anyhow::Result<(StatusCode, Bytes)> {
    let (Some(authority), secured) = (uri.authority(), uri.scheme() == Some(&Scheme::HTTPS)) else {
        bail!("{uri} is no address: expected http://HOST:PORT or https://HOST:PORT");
    };
    let port = authority.port_u16().unwrap_or(if secured { 443 } else { 80 });
    let host = authority.host();
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .with_context(|| format!("nobody listens on {authority}"))?;
    let path = if uri.path() == "/" { USUAL } else { uri.path_and_query().map_or(USUAL, |path| path.as_str()) };
    let mut request = Request::get(path).header(header::HOST, authority.as_str()).body(Empty::<Bytes>::new())?;
    if let Some(token) = admin {
        request.headers_mut().insert(ADMIN, token);
    }
    if !secured {
        return exchange(stream, request, longest).await;
    }
    let here = stream.peer_addr()?.ip().to_canonical().is_loopback();
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

/// On this machine a certificate for another name is no wonder, and nothing is told that is secret.
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
