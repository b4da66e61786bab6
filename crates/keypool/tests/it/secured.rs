//! Clients that connect over TLS.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use gemini_sim::{GeminiSim, Project};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use keypool::gateway::token::PLACEHOLDER;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    binary::{Running, keypool, run},
    home::ACTS,
    serving::{HELLO, ONE},
};

/// A certificate of its own for this machine, and its key, in PEM.
struct Shown {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn shown() -> Shown {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    Shown { certificate: cert.pem(), key: signing_key.serialize_pem(), der: cert.der().clone() }
}

impl Shown {
    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
    }
}

type TlsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that trusts this certificate alone, and speaks one version.
fn client(trusted: &Shown, version: Version) -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let connector = match version {
        Version::HTTP_2 => connector.enable_http2().build(),
        _ => connector.enable_http1().build(),
    };
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build(connector)
}

async fn sim() -> GeminiSim {
    GeminiSim::builder().project(Project::new("1").key(ONE)).start().await.unwrap()
}

/// `keypool serve` in this folder, whose key it has.
fn serve(folder: &Path, sim: &GeminiSim, variables: &[(&str, &str)], options: &[&str]) -> Running {
    std::fs::write(folder.join("key.txt"), ONE).unwrap();
    let upstream = sim.url();
    let mut command = keypool(&[&["serve", "--listen", "127.0.0.1:0", "--upstream", &upstream], options].concat());
    command.current_dir(folder).envs(variables.iter().copied());
    Running::of(command)
}

async fn ask(client: &TlsClient, url: &str, path: &str) -> Result<Response<Incoming>, String> {
    let body = if path == STREAM { HELLO } else { r#"{"file":{"displayName":"notes"}}"# };
    let request = Request::post(format!("{url}{path}"))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("content-type", "application/json")
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", "8")
        .header("x-goog-upload-header-content-type", "text/plain");
    client.request(request.body(Full::from(body)).unwrap()).await.map_err(|error| format!("{error:?}"))
}

const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

#[tokio::test(flavor = "multi_thread")]
async fn clients_connect_over_tls_in_either_version_of_http() {
    let (folder, sim, shown) = (tempfile::tempdir().unwrap(), sim().await, shown());
    shown.write(folder.path());
    let running = serve(folder.path(), &sim, &[], &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(running.url.starts_with("https://"), "{}", running.url);
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = client(&shown, version);
        for _ in 0..2 {
            let response = ask(&client, &running.url, STREAM).await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(String::from_utf8_lossy(&body).contains("data: "), "{body:?}");
        }
        // What a client is told to come back to is reached as it came.
        let response = ask(&client, &running.url, "/upload/v1beta/files").await.unwrap();
        let url = response.headers()["x-goog-upload-url"].to_str().unwrap();
        assert!(url.starts_with(&format!("{}/upload/", running.url)), "{url}");
    }

    // Whoever does not speak TLS is told nothing.
    let address = running.url.strip_prefix("https://").unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /-/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told).await;
    assert!(!String::from_utf8_lossy(&told).contains("HTTP"), "{told:?}");

    // Nor does a health check need a certificate for the name by which it asks.
    let (code, text) = run(&["health", "--url", &running.url.replace("127.0.0.1", "localhost")]);
    assert_eq!((code, text.as_str()), (0, "ok\n"));
    let (code, text) = run(&["health", "--json", "--url", &running.url.replace("127.0.0.1", "localhost")]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((code, &told["status"], &told["said"]), (0, &"answers".into(), &"ok".into()));
    let (code, text) = run(&["health", "--json", "--url", "http://127.0.0.1:1"]);
    assert!(code == 1 && text.contains("\"status\": \"does not answer\""), "{text}");
    assert_eq!(tokio::task::spawn_blocking(move || running.end()).await.unwrap().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_shown_once_it_is_there() {
    let (folder, sim, first, second) = (tempfile::tempdir().unwrap(), sim().await, shown(), shown());
    first.write(folder.path());
    let toml = "[gateway]\ntls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n";
    std::fs::write(folder.path().join("keypool.toml"), toml).unwrap();
    let mut running = serve(folder.path(), &sim, &[], &[]);
    let connected = client(&first, Version::HTTP_11);
    assert_eq!(ask(&connected, &running.url, STREAM).await.unwrap().status(), 200);
    assert!(ask(&client(&second, Version::HTTP_11), &running.url, STREAM).await.is_err());

    second.write(folder.path());
    let told = tokio::task::spawn_blocking(move || {
        let line = running.line_with("configuration read again");
        (running, line)
    });
    let (running, line) = tokio::time::timeout(ACTS, told).await.expect("it is told").unwrap();
    assert!(line.contains("new settings in gateway"), "{line}");
    assert_eq!(ask(&client(&second, Version::HTTP_2), &running.url, STREAM).await.unwrap().status(), 200);
    assert!(ask(&client(&first, Version::HTTP_2), &running.url, STREAM).await.is_err());

    // What does not fit each other is refused, and the one before goes on.
    std::fs::write(folder.path().join("key.pem"), &first.key).unwrap();
    let mut running = running;
    let told = tokio::task::spawn_blocking(move || {
        let line = running.line_with("tls_cert_file");
        (running, line)
    });
    let (running, line) = tokio::time::timeout(ACTS, told).await.expect("it is told").unwrap();
    assert!(line.contains("certificate and key cannot be used"), "{line}");
    assert_eq!(ask(&client(&second, Version::HTTP_2), &running.url, STREAM).await.unwrap().status(), 200);
}

/// One for this machine that was good until then.
fn shown_until(year: i32) -> Shown {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
    let cert = params.self_signed(&key).unwrap();
    Shown { certificate: cert.pem(), key: key.serialize_pem(), der: cert.der().clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_whose_time_is_over_is_told_at_the_start_and_by_each_reload() {
    let (folder, sim) = (tempfile::tempdir().unwrap(), sim().await);
    shown_until(2024).write(folder.path());
    let mut running = serve(folder.path(), &sim, &[], &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let told = tokio::task::spawn_blocking(move || {
        let first = running.line_with("the certificate (gateway.tls_cert) expired at 2024-01-01 00:00 UTC");
        shown_until(2023).write(folder.path());
        let another = running.line_with("the certificate (gateway.tls_cert) expired at 2023-01-01 00:00 UTC");
        // Another setting is read again, and it is still none that clients take.
        std::fs::write(folder.path().join("key.txt"), format!("{ONE} id=other\n")).unwrap();
        let again = running.line_with("the certificate (gateway.tls_cert) expired at 2023-01-01 00:00 UTC");
        [first, another, again]
    });
    let lines = tokio::time::timeout(ACTS, told).await.expect("it is told").unwrap();
    assert!(lines.iter().all(|line| line.contains(" WARN ") && line.contains("clients refuse it")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_and_key_may_stand_in_variables() {
    let (folder, sim, shown) = (tempfile::tempdir().unwrap(), sim().await, shown());
    std::fs::write(folder.path().join("the-key"), &shown.key).unwrap();
    let variables = [("KEYPOOL_TLS_CERT", &*shown.certificate), ("KEYPOOL_TLS_KEY_FILE", "the-key")];
    let running = serve(folder.path(), &sim, &variables, &[]);
    assert_eq!(ask(&client(&shown, Version::HTTP_2), &running.url, STREAM).await.unwrap().status(), 200);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let (folder, shown) = (tempfile::tempdir().unwrap(), shown());
    shown.write(folder.path());
    std::fs::write(folder.path().join("key.txt"), ONE).unwrap();
    std::fs::write(folder.path().join("none.pem"), "nothing").unwrap();
    for (options, expected) in [
        (&["--tls-cert", "cert.pem"][..], "expected the certificate's private key"),
        (&["--tls-key", "key.pem"], "expected the certificate of the key"),
        (
            &["--tls-cert", "none.pem", "--tls-key", "key.pem"],
            "flag --tls-cert: gateway.tls_cert_file: expected a certificate",
        ),
        (
            &["--tls-cert", "cert.pem", "--tls-key", "none.pem"],
            "flag --tls-key: gateway.tls_key_file: expected a private",
        ),
        (&["--tls-cert", "cert.pem", "--tls-key", "nowhere"], "nowhere cannot be read"),
    ] {
        let out = keypool(&[&["serve"], options].concat()).current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains(expected) && !text.contains("several places"), "{text}");
        assert!(!text.contains("PRIVATE KEY-----\n"), "{text}");
    }
}
