//! A provider behind TLS, as the real ones are, whose certificate comes from an authority of the test's own.

use std::{
    io::Write,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keypool::client::{Client, Roots};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower_keypool::{Gemini, Key, KeyPool, Models, Retry};

use crate::{
    binary::{Running, key_file},
    serving::{HELLO, ONE, generate},
    support::{self, Served, ask},
};

/// A provider for `https://127.0.0.1`, which speaks the first of these protocols that the client knows; its address,
/// and its authority's certificate as a file.
pub(crate) async fn provider(protocols: &[&str]) -> (String, tempfile::NamedTempFile) {
    provider_of(protocols, &Arc::default(), false).await
}

/// What answers as `127.0.0.1` and speaks these protocols, and its authority's certificate as a file.
pub(crate) fn acceptor(protocols: &[&str]) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();

    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&params, &authority_key);
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), file)
}

/// The same: its connections are counted, and where it `tires`, each takes one request and says that it is the last.
async fn provider_of(
    protocols: &[&str],
    connections: &Arc<AtomicUsize>,
    tires: bool,
) -> (String, tempfile::NamedTempFile) {
    let (acceptor, file) = acceptor(protocols);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::clone(connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let asked = tokio::sync::Notify::new();
                let service = service_fn(|request| {
                    asked.notify_one();
                    support::echo(request)
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = serving.as_mut() => return,
                    () = asked.notified(), if tires => serving.as_mut().graceful_shutdown(),
                }
                let _ = serving.await;
            });
        }
    });
    (url, file)
}

async fn served(upstream: &str, roots: Roots) -> Served {
    let gemini = Gemini::at(upstream).unwrap();
    let pool = KeyPool::builder(gemini).key(Key::new(ONE).id("one")).wait(Duration::ZERO).build().unwrap();
    let client = Client::trusting(pool.provider().base(), &roots);
    Served::over(keypool::stack::stack_over(&pool, Models::new(), Retry::new(), client), upstream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_trusts_whom_cacert_names() {
    let (upstream, authority) = provider(&[]).await;
    let keys = key_file(ONE);
    let (keys, pem) = (keys.path().to_str().unwrap(), authority.path().to_str().unwrap());
    let args = ["serve", "--keys", keys, "--listen", "127.0.0.1:0", "--upstream", &upstream, "--cacert", pem];
    let running = Running::start(&args);
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    let request = http::Request::post(url).header("x-goog-api-key", keypool::gateway::token::PLACEHOLDER);
    assert_eq!(ask(request, HELLO).await.status, 200);
}

#[tokio::test]
async fn requests_go_out_over_tls_in_either_version_of_http() {
    for (protocols, version) in [(&["http/1.1"][..], "HTTP/1.1"), (&["h2", "http/1.1"], "HTTP/2.0"), (&[], "HTTP/1.1")]
    {
        let (upstream, authority) = provider(protocols).await;
        let served = served(&upstream, Roots::from_file(authority.path()).unwrap()).await;
        for _ in 0..2 {
            let answer = generate(&served, "gemini-2.5-flash").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let told = answer.json();
            assert_eq!((told["version"].as_str(), told["body"].as_str()), (Some(version), Some(HELLO)));
            // The provider's echo of the key is masked; that it came is seen by its length.
            let key = told["headers"]["x-goog-api-key"].as_str().unwrap();
            assert_eq!(key, "*".repeat(ONE.len()));
        }
    }
}

#[tokio::test]
async fn over_http_2_one_connection_carries_all() {
    let connections = Arc::default();
    let (upstream, authority) = provider_of(&["h2"], &connections, false).await;
    let served = served(&upstream, Roots::from_file(authority.path()).unwrap()).await;
    assert_eq!(generate(&served, "m").await.status, 200);
    let answers = futures_util::future::join_all((0..16).map(|_| generate(&served, "m"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_takes_no_more_requests_is_replaced() {
    for protocol in ["h2", "http/1.1"] {
        let connections = Arc::default();
        let (upstream, authority) = provider_of(&[protocol], &connections, true).await;
        let served = served(&upstream, Roots::from_file(authority.path()).unwrap()).await;
        for _ in 0..4 {
            let answer = generate(&served, "m").await;
            assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "1"), "{answer:?}");
        }
        assert!(connections.load(Ordering::Relaxed) > 1, "{protocol}");
    }
}

#[tokio::test]
async fn a_provider_that_nobody_vouches_for_is_sent_nothing() {
    let (upstream, _) = provider(&[]).await;
    let (_, of_another) = provider(&[]).await;
    for roots in [Roots::mozilla(), Roots::from_file(of_another.path()).unwrap()] {
        let gemini = Gemini::at(&upstream).unwrap();
        let pool = KeyPool::builder(gemini).key(Key::new(ONE).id("one")).build().unwrap();
        let client = Client::trusting(pool.provider().base(), &roots);
        let stack = tower::ServiceBuilder::new()
            .layer(tower_keypool::ReplayLayer::default().pool(&pool))
            .layer(tower_keypool::KeyRotationLayer::new(&pool))
            .layer(tower_keypool::CooldownLayer::new(&pool))
            .service(client);
        let answer = generate(&Served::over(stack, &upstream).await, "gemini-2.5-flash").await;
        assert_eq!(answer.status, 502, "{answer:?}");
    }
}

#[test]
fn a_file_without_certificates_is_named_with_what_is_wrong() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    assert!(Roots::from_file(file.path()).unwrap_err().to_string().contains("no certificate"));
    file.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(Roots::from_file(file.path()).unwrap_err().to_string().contains("cannot be used"));
    assert!(Roots::from_file("/nowhere/ca.pem".as_ref()).unwrap_err().to_string().contains("cannot be read"));
}
