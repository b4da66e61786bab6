//! TLS, with HTTP/1.1 and HTTP/2.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{Answer, GENERATE, Gateway, TOKEN, hello, key, program, sim};

const ADMIN: &str = "the-admins-token";

/// Writes a certificate for localhost and its private key, and returns the certificate.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("a writable file");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a writable file");
    made.cert.der().clone()
}

fn tls_client(trusted: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    tls.with_root_certificates(roots).with_no_client_auth()
}

async fn ask(
    gateway: &Gateway,
    trusted: &CertificateDer<'static>,
    http2: bool,
    path: &str,
) -> Result<(Version, Answer), String> {
    let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls_client(trusted)).https_only();
    let https = if http2 { https.enable_http2().build() } else { https.enable_http1().build() };
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
    let request = Request::post(format!("{}{path}", gateway.url)).header("x-goog-api-key", TOKEN);
    let request = request.header("x-goog-upload-protocol", "resumable").header("x-goog-upload-command", "start");
    let request = request.header("x-long", "x".repeat(20_000));
    let request = request.body(Full::from(if path == GENERATE { hello().to_string() } else { "{}".to_owned() }));
    let answer = client.request(request.expect("a request")).await.map_err(|error| format!("{error:?}"))?;
    Ok((answer.version(), Answer::read(answer).await))
}

#[tokio::test]
async fn http_1_and_http_2_are_served_over_tls() {
    let sim = sim(1).await;
    let mut trusted = None;
    let gateway = Gateway::start_with(&sim.url(), 1, |command, folder| {
        trusted = Some(certificate(folder));
        command
            .args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"])
            .env("KEYPOOL_ADMIN_TOKEN", ADMIN);
    });
    let trusted = trusted.expect("a certificate");
    assert!(gateway.url.starts_with("https://"));
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let (spoken, answer) = ask(&gateway, &trusted, http2, GENERATE).await.expect("a response");
        assert_eq!((spoken, answer.status.as_u16()), (version, 200), "{}", answer.text());
        let mut command = program(gateway.folder.path());
        command.args(["explain", answer.header("x-request-id"), "--admin", &gateway.url, "--cacert", "cert.pem"]);
        let output = command.env("KEYPOOL_ADMIN_TOKEN", ADMIN).output().expect("output");
        assert!(String::from_utf8_lossy(&output.stdout).contains("key-0"), "{output:?}");
        let (_, answer) = ask(&gateway, &trusted, http2, "/upload/v1beta/files").await.expect("a response");
        let url = answer.header("x-goog-upload-url");
        assert!(url.starts_with(&format!("{}/upload/", gateway.url)), "{url}");
    }
    // A new certificate is used without a restart, and an unreadable one is ignored.
    let renewed = certificate(gateway.folder.path());
    gateway.wait_for_log("configuration reloaded").await;
    // The old certificate is not used any more.
    gateway.eventually(async || ask(&gateway, &trusted, false, GENERATE).await.is_err()).await;
    ask(&gateway, &renewed, false, GENERATE).await.expect("the new certificate is used");
    std::fs::write(gateway.folder.path().join("cert.pem"), "no certificate").expect("a writable file");
    gateway.wait_for_log("the certificate cannot be read").await;
    gateway.wait_for_log("cert.pem: no PEM certificate found").await;
    ask(&gateway, &renewed, true, GENERATE).await.expect("the previous certificate stays in use");
}

#[tokio::test]
async fn plain_http_is_refused_with_a_hint_at_https() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", 1, |command, folder| {
        certificate(folder);
        command.args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    });
    let answer = gateway.raw("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 This address speaks TLS: use https\r\n"), "{answer}");
}

#[test]
fn ca_certificate_of_a_server_is_named_as_the_cause() {
    let gateway = Gateway::start_with("http://127.0.0.1:9", 1, |command, folder| {
        let private = rcgen::KeyPair::generate().expect("a key");
        let mut of_ca = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        of_ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = of_ca.self_signed(&private).expect("a certificate").pem();
        std::fs::write(folder.join("cert.pem"), pem).expect("a writable file");
        std::fs::write(folder.join("key.pem"), private.serialize_pem()).expect("a writable file");
        command.args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    });
    let mut command = program(gateway.folder.path());
    command.args(["test-keys", "--keys", "keys.txt", "--upstream", &gateway.url, "--cacert", "cert.pem"]);
    let output = command.output().expect("output");
    let output = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.contains("the server uses a CA certificate as its own"), "{output}");
}

#[tokio::test]
async fn connections_without_a_request_are_closed() {
    let plain = Gateway::start("http://127.0.0.1:9", 1, &["--db", "none"]);
    let mut trusted = None;
    let tls = Gateway::start_with("http://127.0.0.1:9", 1, |command, folder| {
        trusted = Some(certificate(folder));
        command.args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    });
    let client = tls_client(trusted.as_ref().expect("a certificate"));
    let closed = |with_tls: Option<bool>, text: &'static str| {
        let (client, gateway) = (client.clone(), if with_tls.is_some() { &tls } else { &plain });
        async move {
            let address = gateway.url.split_once("://").expect("a URL").1;
            let stream = TcpStream::connect(address).await.expect("a connection");
            let mut stream: Box<dyn Stream> = if with_tls == Some(true) {
                let name = "localhost".try_into().expect("a name");
                Box::new(tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.expect("TLS"))
            } else {
                Box::new(stream)
            };
            stream.write_all(text.as_bytes()).await.expect("sent");
            let end = tokio::time::timeout(Duration::from_secs(120), stream.read_to_end(&mut Vec::new())).await;
            assert!(end.is_ok(), "{with_tls:?} {text:?} is still open");
        }
    };
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let sent = [(None, ""), (None, "PRI * HT"), (None, "GET / HT"), (None, http2), (Some(false), "")];
    let over_tls = [(Some(true), ""), (Some(true), "PRI * HT"), (Some(true), http2)];
    let all = sent.into_iter().chain(over_tls).map(|(with_tls, text)| closed(with_tls, text));
    futures_util::future::join_all(all).await;
}

/// A connection with or without TLS.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Stream for S {}

#[test]
fn invalid_certificates_and_keys_are_reported() {
    for (name, text, expected) in [
        ("cert.pem", "", "cert.pem: no PEM certificate found"),
        (
            "key.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "key.pem: no unencrypted PEM private key found",
        ),
        ("key.pem", &*rcgen::KeyPair::generate().expect("a key").serialize_pem(), "with the private key"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        certificate(folder.path());
        std::fs::write(folder.path().join(name), text).expect("a writable file");
        let mut command = program(folder.path());
        command.env("GEMINI_API_KEY", key(1)).args(["serve", "--listen", "127.0.0.1:0", "--db", "none"]);
        let output = command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).output().expect("output");
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.contains(expected), "{output}");
    }
}

#[tokio::test]
async fn provider_that_offers_http2_is_called_over_http1() {
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let pem = |name| folder.path().join(name);
    let chain = CertificateDer::pem_file_iter(pem("cert.pem")).expect("a file").map(|it| it.expect("a certificate"));
    let private = PrivateKeyDer::from_pem_file(pem("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut tls = tls.with_no_client_auth().with_single_cert(chain.collect(), private).expect("a configuration");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let answer = Response::builder().header("x-version", format!("{:?}", request.version()));
                let answer = answer.header("x-long", "x".repeat(20_000)).body(Full::<Bytes>::from("{}"));
                Ok::<_, std::convert::Infallible>(answer.expect("a response"))
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                server.serve_connection(TokioIo::new(stream), answer).await
            });
        }
    });
    let trusted = pem("cert.pem").display().to_string();
    let gateway = Gateway::start(&url, 1, &["--db", "none", "--cacert", &trusted]);
    let answer = gateway.post(GENERATE, &hello()).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-version")), (200, "HTTP/1.1"), "{}", answer.text());
    assert_eq!(answer.header("x-long").len(), 20_000);
}
