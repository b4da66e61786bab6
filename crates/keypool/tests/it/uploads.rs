//! Resumable uploads.

use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Gateway, TOKEN, Upstream, hello, post, reply, sim};

async fn start(gateway: &Gateway, length: usize) -> String {
    // google-genai sends this path if its base URL ends in a version.
    let request = Request::post("/v1beta/upload/v1beta/files")
        .header("x-goog-api-key", TOKEN)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", length)
        .header("x-goog-upload-header-content-type", "text/plain")
        .header("content-type", "application/json");
    let answer = gateway.send(request.body(Full::from(r#"{"file":{"displayName":"it"}}"#)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let url = answer.header("x-goog-upload-url").to_owned();
    assert!(url.starts_with(&format!("{}/upload/", gateway.url)), "{url}");
    let control = answer.header("x-goog-upload-control-url");
    assert!(control.is_empty() || control == url, "{control}");
    url[gateway.url.len()..].to_owned()
}

/// Sends the next request of an upload, without a token, as clients do.
async fn resume(gateway: &Gateway, path: &str, command: &str, offset: usize, data: &str) -> Answer {
    let request = Request::post(path)
        .header("x-goog-upload-command", command)
        .header("x-goog-upload-offset", offset)
        .body(Full::from(data.to_owned()));
    gateway.send(request.expect("a request")).await
}

#[tokio::test]
async fn upload_in_parts_and_its_file_stay_with_their_project() {
    let sim = sim(3).await;
    let gateway = Gateway::start(&sim.url(), 3, &["--db", "none"]);
    let part = "x".repeat(8 << 20);
    for _ in 0..3 {
        let path = start(&gateway, part.len() + 3).await;
        let answer = resume(&gateway, &path, "upload", 0, &part).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-goog-upload-status")),
            (200, "active"),
            "{}",
            answer.text()
        );
        let answer = resume(&gateway, &path, "query", 0, "").await;
        assert_eq!(answer.header("x-goog-upload-size-received"), part.len().to_string());
        let wrong = resume(&gateway, &path, "upload", 7, "end").await;
        assert_eq!(wrong.status, 400, "{}", wrong.text());
        let answer = resume(&gateway, &path, "upload, finalize", part.len(), "end").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-goog-upload-status")),
            (200, "final"),
            "{}",
            answer.text()
        );
        let file = answer.json()["file"]["name"].as_str().expect("a name").to_owned();
        for _ in 0..3 {
            assert_eq!(gateway.get(&format!("/v1beta/{file}")).await.status, 200);
        }
    }
    assert_eq!(sim.report().total.rejected_as("no_permission"), 0);
}

#[tokio::test]
async fn unknown_upload_is_refused() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let path = "/upload/v1beta/files?upload_id=made-up&upload_protocol=resumable";
    assert_eq!(resume(&gateway, path, "query", 0, "").await.status, StatusCode::UNAUTHORIZED);
    let request = Request::post(path).header("x-goog-api-key", TOKEN).body(Full::default());
    assert_eq!(gateway.send(request.expect("a request")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn upload_url_has_the_address_that_the_client_used() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none", "--host", "pool.example"]);
    let outside = "https://pool.example/gemini/upload/v1beta/files?upload_id=";
    for (host, forwarded, scheme) in [
        ("pool.example", None, "https"),
        // Apache, and nginx with its defaults, send the gateway's own address as host.
        ("127.0.0.1:5000", Some("pool.example"), "https"),
        ("127.0.0.1:5000", Some("pool.example, inner.example"), "HTTPS, http"),
    ] {
        let mut request = Request::post("/gemini/upload/v1beta/files")
            .header("host", host)
            .header("x-forwarded-proto", scheme)
            .header("x-goog-api-key", TOKEN)
            .header("x-goog-upload-protocol", "resumable")
            .header("x-goog-upload-command", "start");
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-host", forwarded);
        }
        let answer = gateway.send(request.body(Full::from("{}")).expect("a request")).await;
        let url = answer.header("x-goog-upload-url");
        assert!(url.starts_with(outside), "{url} {}", answer.text());
    }
}

/// Returns the peak memory of a process in MiB.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running program");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") >> 10
}

/// Starts an upstream that discards what it reads.
async fn sink() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let (mut length, mut body) = (0, request.into_body());
                while let Some(Ok(frame)) = http_body_util::BodyExt::frame(&mut body).await {
                    length += frame.data_ref().map_or(0, bytes::Bytes::len);
                }
                let response = http::Response::builder().header("x-length", length);
                let response = response.header("x-goog-upload-url", "http://upstream/upload/v1beta/files?upload_id=u");
                Ok::<_, hyper::Error>(response.body(Full::<bytes::Bytes>::default()).expect("a response"))
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    url
}

#[tokio::test]
async fn large_part_is_not_kept_in_memory() {
    const MIB: usize = 512;
    let gateway = Gateway::start(&sink().await, 1, &["--db", "none"]);
    let path = start(&gateway, MIB << 20).await;
    let mut stream = gateway.connect().await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        MIB << 20
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..MIB {
        stream.write_all(&piece).await.expect("sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a response");
    assert!(answer.contains(&format!("x-length: {}", MIB << 20)), "{answer}");
    let peak = peak(gateway.pid());
    assert!(peak < MIB / 2, "{peak} MiB");
}

#[tokio::test]
async fn upload_addresses_of_other_hosts_are_not_passed_on() {
    let upstream = Upstream::start(|request| {
        let mut response = reply(200, "application/json", "{}");
        let address = request.headers()["x-address"].clone();
        response.headers_mut().insert("x-goog-upload-url", address);
        response
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let ours = format!("{}/upload/v1beta/files?upload_id=u", gateway.url);
    for (theirs, expected) in [
        ("http://other.example/upload/v1beta/files?upload_id=u", &*ours),
        ("http://other.example/upload/v1beta/files", ""),
        ("?upload_id", ""),
    ] {
        let mut request = post("/upload/v1beta/files", &hello());
        request.headers_mut().insert("x-address", theirs.parse().expect("a value"));
        assert_eq!(gateway.send(request).await.header("x-goog-upload-url"), expected, "{theirs}");
    }
}

#[tokio::test]
async fn requests_without_a_body_have_a_length() {
    let upstream = Upstream::start(|_| {
        let mut response = reply(200, "application/json", "{}");
        let address = "http://upstream/upload/v1beta/files?upload_id=u".parse().expect("a value");
        response.headers_mut().insert("x-goog-upload-url", address);
        response
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let path = start(&gateway, 0).await;
    assert_eq!(resume(&gateway, &path, "upload, finalize", 0, "").await.status, 200);
    for method in ["POST", "PUT", "PATCH", "GET"] {
        let request = Request::builder().method(method).uri("/v1beta/unknown").header("x-goog-api-key", TOKEN);
        gateway.send(request.body(Full::default()).expect("a request")).await;
    }
    let requests = upstream.requests();
    let lengths = requests.iter().map(|request| {
        let length = request.headers().get("content-length").map(|length| length.to_str().expect("text").to_owned());
        (request.method().as_str(), length)
    });
    let expected = [("POST", "29"), ("POST", "0"), ("POST", "0"), ("PUT", "0"), ("PATCH", "0")];
    let expected = expected.into_iter().map(|(method, length)| (method, Some(length.to_owned())));
    assert_eq!(lengths.collect::<Vec<_>>(), expected.chain([("GET", None)]).collect::<Vec<_>>());
}

#[tokio::test]
async fn short_token_removes_no_needed_header_and_no_address_of_the_provider_is_passed_on() {
    let upstream = Upstream::start(|_| {
        let mut response = reply(200, "application/json", "{}");
        let address = "http://upstream/upload/v1beta/files?upload_id=u".parse().expect("a value");
        response.headers_mut().insert("x-goog-upload-url", address);
        response
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none", "--token", "keypool", "--host", "keypool"]);
    let send = async |head: &str| {
        let head = format!("POST /upload/v1beta/files?keypool=keypool {head}x-goog-api-key: keypool\r\n");
        let request = format!("{head}x-own: keypool\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
        let answer = gateway.raw(&request).await;
        assert!(answer.split(' ').nth(1) == Some("200"), "{answer}");
        answer
    };
    let answer = send("HTTP/1.1\r\nhost: keypool:8080\r\n").await;
    assert!(answer.contains("x-goog-upload-url: http://keypool:8080/upload/v1beta/files?upload_id=u\r\n"), "{answer}");
    let sent = upstream.requests().pop().expect("a request");
    assert_eq!((sent.uri().query(), sent.headers()["x-own"].as_bytes()), (Some("keypool=keypool"), &b"keypool"[..]));
    // Without a host, the address of the gateway is unknown.
    let answer = send("HTTP/1.0\r\n").await;
    assert!(!answer.contains("upload_id"), "{answer}");
}
