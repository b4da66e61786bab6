//! What is fetched, and what is not, each rule by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use keypool_dialect::{Caller as _, openai::OpenAi};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more";

/// A server that gives each path its answer, and counts who came.
async fn server(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (answer, counted) = (Arc::new(answer), Arc::clone(&came));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = vec![0; 4_096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = stream.write_all(&answer(&path)).await;
                if path.contains("never") {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (address, came)
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn to(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// `inside.test` leads to this machine as it is; `*.test` to the server, which plays somebody on the open network.
fn fetcher(open: SocketAddr) -> Fetcher {
    static OPEN: OnceLock<std::sync::Mutex<Vec<SocketAddr>>> = OnceLock::new();
    OPEN.get_or_init(Default::default).lock().unwrap().push(open);
    Fetcher::finding(
        move |host, port| {
            Box::pin(async move {
                if let Ok(address) = host.parse::<IpAddr>() {
                    return Ok(vec![SocketAddr::new(address, port)]);
                }
                Ok(match host.as_str() {
                    "inside.test" => vec![SocketAddr::from(([127, 0, 0, 1], 1))],
                    "both.test" => vec![open, SocketAddr::from(([169, 254, 169, 254], 80))],
                    "nowhere.test" => Vec::new(),
                    _ => vec![open],
                })
            })
        },
        |address| OPEN.get().is_some_and(|open| open.lock().unwrap().contains(&address)),
    )
}

#[tokio::test]
async fn an_image_comes_with_its_type() {
    // Whatever the server says that it is.
    let (address, _) =
        server(|_| [&b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n"[..], PNG].concat())
            .await;
    let fetched = fetcher(address).fetch("http://a.test/x.png", MOST_BYTES).await.unwrap();
    assert_eq!(fetched, ("image/png", Bytes::from_static(PNG)));
}

#[tokio::test]
async fn what_leads_inside_is_not_asked() {
    let (address, came) = server(|_| ok(PNG)).await;
    let fetcher = fetcher(address);
    for url in [
        "http://inside.test/".to_owned(),
        // One of its addresses is enough.
        "http://both.test/".to_owned(),
        "http://nowhere.test/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::1]/".to_owned(),
        "ftp://a.test/".to_owned(),
        "http://user:pass@a.test/".to_owned(),
    ] {
        assert_eq!(fetcher.fetch(&url, MOST_BYTES).await, Err(Unfetched), "{url}");
    }
    // The usual one refuses this very server.
    let usual = Fetcher::default();
    for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", address.port());
        assert_eq!(usual.fetch(&url, MOST_BYTES).await, Err(Unfetched), "{url}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn three_redirects_each_looked_at() {
    let (address, came) = server(|path| match path {
        "/1" => to("/2"),
        "/2" => to("http://b.test/3"),
        "/3" => to("4"),
        "/inside" => to("http://inside.test/"),
        "/metadata" => to("http://169.254.169.254/"),
        "/file" => to("file:///etc/passwd"),
        "/0" => to("/1"),
        "/nowhere" => b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        _ => ok(PNG),
    })
    .await;
    let fetcher = fetcher(address);
    assert!(fetcher.fetch("http://a.test/1", MOST_BYTES).await.is_ok());
    assert_eq!(came.load(Ordering::SeqCst), 4);
    for path in ["0", "inside", "metadata", "file", "nowhere"] {
        let url = format!("http://a.test/{path}");
        assert_eq!(fetcher.fetch(&url, MOST_BYTES).await, Err(Unfetched), "{path}");
    }
}

#[tokio::test]
async fn only_images_and_only_good_answers() {
    let (address, _) = server(|path| match path {
        "/html" => ok(b"<html>"),
        "/missing" => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/packed" => [&b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n"[..], PNG].concat(),
        "/broken" => [&b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n"[..], PNG].concat(),
        _ => b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
    })
    .await;
    for path in ["html", "missing", "packed", "broken", "ssh"] {
        let url = format!("http://a.test/{path}");
        assert_eq!(fetcher(address).fetch(&url, MOST_BYTES).await, Err(Unfetched), "{path}");
    }
}

#[tokio::test]
async fn not_more_than_is_allowed() {
    let (address, _) = server(|path| match path {
        "/told" => b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n".to_vec(),
        _ => [&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..], PNG].concat(),
    })
    .await;
    let fetcher = fetcher(address);
    assert_eq!(fetcher.fetch("http://a.test/told", MOST_BYTES).await, Err(Unfetched));
    assert_eq!(fetcher.fetch("http://a.test/untold", PNG.len() - 1).await, Err(Unfetched));
    assert!(fetcher.fetch("http://a.test/untold", PNG.len()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn not_longer_than_ten_seconds_and_not_too_many() {
    let stuck = Fetcher::finding(|_, _| Box::pin(std::future::pending()), |_| true);
    #[expect(clippy::disallowed_methods, reason = "paused")]
    let now = tokio::time::Instant::now();
    let all: Vec<_> = (0..=AT_ONCE)
        .map(|_| {
            let stuck = stuck.clone();
            tokio::spawn(async move { stuck.fetch("http://a.test/", 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(stuck.places.available_permits(), 0);
    for fetching in all {
        assert_eq!(fetching.await.unwrap(), Err(Unfetched));
    }
    // Waiting for a place counts as well.
    assert_eq!(now.elapsed(), LONGEST);
    assert_eq!(stuck.places.available_permits(), AT_ONCE);
}

#[tokio::test]
async fn a_conversation_gets_its_images_or_one_sentence() {
    let (address, _) = server(|path| if path == "/x" { ok(PNG) } else { to("http://inside.test/") }).await;
    let fetcher = fetcher(address);
    let body = |urls: &[&str]| {
        let parts: Vec<_> =
            urls.iter().map(|url| serde_json::json!({ "type": "image_url", "image_url": { "url": url } })).collect();
        serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": parts }] }).to_string()
    };
    let good = body(&["http://a.test/x", "data:image/png;base64,AAAA", "http://b.test/x"]);
    let mut conversation = OpenAi.conversation(good.as_bytes(), true).unwrap().conversation;
    fetcher.bring(&mut conversation).await.unwrap();
    assert_eq!(conversation.far().count(), 0);
    let mut sentences = Vec::new();
    for url in ["http://a.test/y", "http://inside.test/", "http://nowhere.test/", "http://127.0.0.1:1/"] {
        let bad = body(&["http://a.test/x", url]);
        let mut conversation = OpenAi.conversation(bad.as_bytes(), true).unwrap().conversation;
        let fault = fetcher.bring(&mut conversation).await.unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("messages[0].content[1].image_url.url"));
        sentences.push(fault.message);
    }
    assert!(sentences.windows(2).all(|pair| pair[0] == pair[1]), "{sentences:?}");
    let many = body(&["http://a.test/x"; MOST_IMAGES + 1]);
    let mut conversation = OpenAi.conversation(many.as_bytes(), true).unwrap().conversation;
    assert_eq!(fetcher.bring(&mut conversation).await.unwrap_err().param.as_deref(), Some("messages"));
}
