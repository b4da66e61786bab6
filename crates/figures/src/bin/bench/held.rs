//! Many streams that have begun and do not end: what a server holds meanwhile.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, runtime::Runtime};

use super::upstream;

/// The provider and its callers in one: prints the provider's address, opens so many streams at the server that the first
/// line of standard input names, prints how many there are, and keeps them until the next line.
pub(crate) fn run(runtime: &Runtime, count: usize, token: &str) -> anyhow::Result<()> {
    runtime.spawn(upstream::serve());
    let mut lines = std::io::stdin().lines();
    let address = lines.next().context("ADDRESS")??;
    let open = runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(begin(&address, token).await?);
        }
        anyhow::Ok(open)
    })?;
    println!("{}", json!({ "open": open.len() }));
    lines.next();
    Ok(())
}

/// One whose first chunk is here.
async fn begin(address: &str, token: &str) -> anyhow::Result<(http1::SendRequest<Full<Bytes>>, Incoming)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("/v1beta/models/{}:streamGenerateContent?alt=sse", upstream::HELD))
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-goog-api-key", token)
        .body(Full::from(r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#))?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status().is_success(), "another answer: {}", answer.status());
    let mut body = answer.into_body();
    body.frame().await.context("its first chunk")??;
    Ok((sender, body))
}
