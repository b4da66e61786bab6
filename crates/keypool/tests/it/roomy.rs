//! Many long requests at once, each of which is held while it is translated.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use flate2::{Compression, write::GzEncoder};
use keypool::{client::Client as Upstream, database::Records, gateway::token::PLACEHOLDER, stack};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::{Gemini, Key, KeyPool, Models, Retry};

use crate::{
    resources::{ALICE, BOB, both},
    serving::ONE,
    smuggling::recording,
    support::Served,
};

const MIB: usize = 1 << 20;

fn head(path: &str, length: usize) -> String {
    head_of(PLACEHOLDER, path, length)
}

/// The same with another token.
fn head_of(token: &str, path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// What a chat of so many bytes is answered.
async fn answered(served: &Served, path: &str, length: usize) -> String {
    answer_to(served, &head(path, length), &vec![b' '; length]).await
}

async fn answer_to(served: &Served, head: &str, body: &[u8]) -> String {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let mut answer = String::new();
    let sends = async {
        // It may be refused before it is sent.
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(body).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = read.read_to_string(&mut answer) => {}
        () = sends => {}
    }
    answer
}

async fn served_over(upstream: SocketAddr) -> Served {
    let upstream = format!("http://{upstream}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), Upstream::new(pool.provider().base()));
    Served::over(stack, &upstream).await
}

#[tokio::test]
async fn long_requests_share_a_bound_and_short_ones_go_on() {
    let (upstream, _came) = recording().await;
    let served = served_over(upstream).await;

    // Nearly all of eight bodies, which are held until the rest comes.
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head("/v1/chat/completions", 32 * MIB).as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 30 * MIB]).await.unwrap();
        held.push(stream);
    }
    let mut refused = String::new();
    for _ in 0..100 {
        // What was written may be on its way yet.
        refused = answered(&served, "/v1/chat/completions", 18 * MIB).await;
        if refused.starts_with("HTTP/1.1 503 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("\"error\":{") && refused.contains("as many long requests"), "{refused}");
    let other = answered(&served, "/v1/messages", 18 * MIB).await;
    assert!(other.contains("overloaded_error"), "{other}");
    // Blanks are no JSON, which is what is said of a body that is read.
    let short = answered(&served, "/v1/chat/completions", 60 << 10).await;
    assert!(short.starts_with("HTTP/1.1 400 "), "{short}");
    // What is packed takes its room while it is unpacked: nobody comes to where this one breaks.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&vec![b' '; 28 * MIB]).unwrap();
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() - 20);
    let packed_head = head("/v1/chat/completions", packed.len()).replacen("\r\n", "\r\ncontent-encoding: gzip\r\n", 1);
    let bomb = answer_to(&served, &packed_head, &packed).await;
    assert!(bomb.starts_with("HTTP/1.1 503 ") && bomb.contains("as many long requests"), "{bomb}");

    drop(held);
    let mut again = String::new();
    for _ in 0..100 {
        again = answered(&served, "/v1/chat/completions", 18 * MIB).await;
        if again.starts_with("HTTP/1.1 400 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(again.starts_with("HTTP/1.1 400 "), "{again}");
}

#[tokio::test]
async fn no_tenant_of_several_holds_all_of_it() {
    let (upstream, _came) = recording().await;
    let upstream = format!("http://{upstream}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &upstream, Records::default()).await;
    both(&tenants);
    let chat = "/v1/chat/completions";
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(head_of(ALICE, chat, 32 * MIB).as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 30 * MIB]).await.unwrap();
        held.push(stream);
    }
    let asks = async |token| answer_to(&served, &head_of(token, chat, 18 * MIB), &vec![b' '; 18 * MIB]).await;
    let mut refused = String::new();
    for _ in 0..100 {
        // What was written may be on its way yet.
        refused = asks(ALICE).await;
        if refused.starts_with("HTTP/1.1 503 ") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("as many long requests"), "{refused}");
    // Blanks are no JSON, which is what is said of a body that is read.
    for token in [BOB, PLACEHOLDER] {
        let read = asks(token).await;
        assert!(read.starts_with("HTTP/1.1 400 "), "{read}");
    }
}
