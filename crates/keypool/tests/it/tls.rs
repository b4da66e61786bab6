//! TLS, with HTTP/1.1 and HTTP/2.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use crate::support::{Answer, GENERATE, Gateway, TOKEN, hello, sim};

/// Writes a certificate for localhost and its key, and returns it.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("it can be written");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("it can be written");
    made.cert.der().clone()
}

async fn ask(
    gateway: &Gateway,
    trusted: &CertificateDer<'static>,
    http2: bool,
    path: &str,
) -> Result<(Version, Answer), String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
    let https = if http2 { https.enable_http2().build() } else { https.enable_http1().build() };
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
    let request = Request::post(format!("{}{path}", gateway.url)).header("x-goog-api-key", TOKEN);
    let request = request.header("x-goog-upload-protocol", "resumable").header("x-goog-upload-command", "start");
    let request = request.body(Full::from(if path == GENERATE { hello().to_string() } else { "{}".to_owned() }));
    let answer = client.request(request.expect("a request")).await.map_err(|error| format!("{error:?}"))?;
    Ok((answer.version(), Answer::read(answer).await))
}

#[tokio::test]
async fn both_versions_of_http_are_served_over_tls() {
    let sim = sim(1).await;
    let mut trusted = None;
    let gateway = Gateway::start_with(&sim.url(), 1, |command, folder| {
        trusted = Some(certificate(folder));
        command.args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    });
    let trusted = trusted.expect("it was made");
    assert!(gateway.url.starts_with("https://"));
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let (spoken, answer) = ask(&gateway, &trusted, http2, GENERATE).await.expect("an answer");
        assert_eq!((spoken, answer.status.as_u16()), (version, 200), "{}", answer.text());
        let (_, answer) = ask(&gateway, &trusted, http2, "/upload/v1beta/files").await.expect("an answer");
        let url = answer.header("x-goog-upload-url");
        assert!(url.starts_with(&format!("{}/upload/", gateway.url)), "{url}");
    }
    // A new certificate is shown without a restart, and one that cannot be read is not taken.
    let renewed = certificate(gateway.folder.path());
    gateway.wait_for_log("configuration reloaded").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    ask(&gateway, &trusted, false, GENERATE).await.expect_err("the old one is gone");
    ask(&gateway, &renewed, false, GENERATE).await.expect("the new one is shown");
    std::fs::write(gateway.folder.path().join("cert.pem"), "no certificate").expect("it can be written");
    gateway.wait_for_log("the certificate cannot be read").await;
    ask(&gateway, &renewed, true, GENERATE).await.expect("the one before stays");
}
