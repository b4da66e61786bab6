//! The bare reverse proxy that `keypool serve` is held against: hyper's server before hyper-util's client, the request
//! and answer as they come, one credential put in.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body_util::{Either, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;

/// Serves until it is ended.
pub async fn serve(upstream: String) -> anyhow::Result<()> {
    let upstream: Authority = upstream.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let proxy = Arc::new((client, upstream));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new());
    let builder = Arc::new(builder);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (proxy, builder) = (Arc::clone(&proxy), Arc::clone(&builder));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let proxy = Arc::clone(&proxy);
                async move { Ok::<_, Infallible>(forward(&proxy.0, &proxy.1, request).await) }
            });
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn forward(
    client: &Client<HttpConnector, Incoming>,
    upstream: &Authority,
    request: Request<Incoming>,
) -> Response<Either<Incoming, Empty<bytes::Bytes>>> {
    let (mut head, body) = request.into_parts();
    let mut parts = head.uri.into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(upstream.clone());
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    head.headers.remove(header::HOST);
    head.headers.insert("x-goog-api-key", HeaderValue::from_static("AIza-not-a-real-key-0000000000000000000"));
    match client.request(Request::from_parts(head, body)).await {
        Ok(response) => response.map(Either::Left),
        Err(_) => {
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}
