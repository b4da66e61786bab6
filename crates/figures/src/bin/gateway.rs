//! Programs to measure a gateway: an upstream, a plain hyper proxy for comparison, and a load generator.
//!
//! `gateway upstream` and `gateway proxy UPSTREAM_PORT` print the port that they listen on. `gateway load PORT KIND
//! SECONDS` sends requests over 64 connections and prints how many were answered; KIND is `json`, `large` (1 MiB),
//! `stream` or `chat`.

#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use figures::{Args, usage};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error + Send + Sync>;

const CONNECTIONS: usize = 64;
const CHUNKS: usize = 50;
const TOKEN: &str = "PLACEHOLDER_GEMINI_TOKEN";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args = Args::of_process();
    match args.name() {
        "upstream" => serve(|request| Box::pin(answer(request))).await,
        "proxy" => {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = Client::builder(TokioExecutor::new()).build(connector);
            let port = args.number(1);
            serve(move |request| Box::pin(pass(client.clone(), port, request))).await
        }
        "load" => load(args.number(1), args.text(2), args.number(3)).await,
        _ => usage("gateway upstream | proxy UPSTREAM_PORT | load PORT json|large|stream|chat SECONDS"),
    }
}

type Answer = futures_util::future::BoxFuture<'static, Result<Response<BoxBody<Bytes, hyper::Error>>, Error>>;

async fn serve(answer: impl Fn(Request<Incoming>) -> Answer + Clone + Send + Sync + 'static) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

/// Returns Gemini's response, whole or as a stream.
async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Error> {
    let is_stream = request.uri().path().ends_with(":streamGenerateContent");
    request.into_body().collect().await?;
    if !is_stream {
        let text = "x".repeat(700);
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],"usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":80,"totalTokenCount":89}},"modelVersion":"gemini-2.5-flash"}}"#
        );
        let mut response = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        return Ok(response);
    }
    let chunks = futures_util::stream::unfold(0, |n| async move {
        // Yields so that each chunk is sent separately.
        tokio::task::yield_now().await;
        let end = if n + 1 == CHUNKS { r#","finishReason":"STOP""# } else { "" };
        let event = format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"word {n} of the answer \"}}],\"role\":\"model\"}},\"index\":0{end}}}],\"usageMetadata\":{{\"promptTokenCount\":9,\"candidatesTokenCount\":{n},\"totalTokenCount\":89}},\"modelVersion\":\"gemini-2.5-flash\"}}\r\n\r\n"
        );
        (n < CHUNKS).then(|| (Ok(http_body::Frame::data(Bytes::from(event))), n + 1))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(chunks)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Forwards a request, with the minimum work of a proxy.
async fn pass(
    client: Client<HttpConnector, Incoming>,
    port: usize,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://127.0.0.1:{port}{path}").parse::<Uri>()?;
    request.headers_mut().remove(header::HOST);
    Ok(client.request(request).await?.map(BodyExt::boxed))
}

async fn load(port: usize, kind: &str, seconds: usize) -> Result<(), Error> {
    let text = "word ".repeat(if kind == "large" { 200_000 } else { 180 });
    let gemini = format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#);
    let chat =
        format!(r#"{{"model":"gemini-2.5-flash","stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let (path, body) = match kind {
        "json" | "large" => ("/v1beta/models/gemini-2.5-flash:generateContent", gemini),
        "stream" => ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", gemini),
        "chat" => ("/v1/chat/completions", chat),
        _ => usage("KIND is json, large, stream or chat"),
    };
    let (body, answered) = (Bytes::from(body), Arc::new(AtomicU64::new(0)));
    let until = Instant::now() + Duration::from_secs(seconds as u64);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (body, answered) = (body.clone(), Arc::clone(&answered));
        clients.spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port as u16)).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            while Instant::now() < until {
                sender.ready().await?;
                let request = Request::post(path)
                    .header(header::HOST, format!("127.0.0.1:{port}"))
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
                    .body(Full::new(body.clone()))?;
                let response = sender.send_request(request).await?;
                if !response.status().is_success() {
                    let status = response.status();
                    let text = response.into_body().collect().await?.to_bytes();
                    return Err(format!("{status}: {}", String::from_utf8_lossy(&text)).into());
                }
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), Error>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    println!("{}", answered.load(Ordering::Relaxed));
    Ok(())
}
