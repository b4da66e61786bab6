//! Over a real connection, whose client keeps an abandoned body as long as it likes.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{ServiceBuilder, ServiceExt};
use tower_keypool::{ReplayBody, ReplayLayer};

use super::support::{FedBody, Feed, RetryOn429};

const MIB: usize = 1 << 20;

/// Reads so many bytes of a body, behind the head.
async fn read_body(socket: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let head = read.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4);
        if let Some(head) = head {
            let told = String::from_utf8_lossy(&read[..head]).to_lowercase();
            assert!(told.contains(&format!("content-length: {}", 20 * MIB)), "{told}");
            let mut body = read.split_off(head);
            while body.len() < bytes {
                let more = socket.read(&mut piece).await.unwrap();
                assert_ne!(more, 0, "closed after {} bytes", body.len());
                body.extend_from_slice(&piece[..more]);
            }
            return body;
        }
        let more = socket.read(&mut piece).await.unwrap();
        read.extend_from_slice(&piece[..more]);
    }
}

#[tokio::test]
async fn a_429_after_1_of_20_mib_sent_is_followed_by_all_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (feed, body) = Feed::new();
    let feeder = feed.clone();
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_body(&mut first, MIB).await;
        first.write_all(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // It reads no more and does not hang up either.
        let (mut second, _) = listener.accept().await.unwrap();
        for n in 1..20_u8 {
            feeder.send(vec![n; MIB]);
        }
        feeder.end();
        let body = read_body(&mut second, 20 * MIB).await;
        second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // The first connection was given up by the client.
        while first.read(&mut [0; 8 << 10]).await.is_ok_and(|read| read > 0) {}
        body
    });

    feed.send(vec![0; MIB]);
    let client: Client<HttpConnector, ReplayBody<FedBody>> = Client::builder(TokioExecutor::new()).build_http();
    let layer = ReplayLayer::default();
    let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(1)).service(client);
    let request = Request::post(url).body(body.exact(20 * MIB as u64)).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(30), stack.oneshot(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let got = tokio::time::timeout(Duration::from_secs(30), server).await.unwrap().unwrap();
    assert_eq!(got.len(), 20 * MIB);
    for (n, chunk) in got.chunks(MIB).enumerate() {
        assert_eq!(Bytes::from(vec![n as u8; MIB]), chunk, "mebibyte {n}");
    }
    assert_eq!((feed.pulled(), layer.kept_bytes()), (20, 0));
}
