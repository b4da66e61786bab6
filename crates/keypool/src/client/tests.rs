//! Connections over real sockets, to a provider whose every byte is the test's.

use std::{
    error::Error as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, StatusCode, uri};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::yield_now,
};

use super::{
    dial::Carrier,
    line::Line,
    shelf::{Shelf, Waiting},
    *,
};

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// A body that is told what to say.
#[derive(Debug)]
struct Told(mpsc::UnboundedReceiver<Bytes>);

impl Body for Told {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// A request, and what says its body.
fn request() -> (Request<Told>, mpsc::UnboundedSender<Bytes>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut request = Request::new(Told(receiver));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/v1/x");
    (request, sender)
}

/// One whose body has nothing.
fn plain() -> Request<Told> {
    request().0
}

struct Provider {
    listener: TcpListener,
    upstream: Arc<Upstream<Sending<Told>>>,
}

fn dial(authority: &str) -> Dial {
    Dial::new(format!("http://{authority}/").parse().unwrap(), Roots::mozilla(), None)
}

impl Provider {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let host = HeaderValue::from_str(&authority).unwrap();
        let upstream = Upstream::new(dial(&authority), uri::Scheme::HTTP, authority.parse().unwrap(), host);
        Self { listener, upstream: Arc::new(upstream) }
    }

    /// One connection, for nobody yet.
    async fn line(&self, keeper: &Arc<Notify>) -> Box<Line<Told>> {
        let dial = dial(&self.listener.local_addr().unwrap().to_string());
        let Ok(Carrier::Line(mut line)) = dial.connect(keeper).await else { panic!("no connection") };
        line.look();
        assert!(line.is_free());
        line
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    fn send(&self, request: Request<Told>) -> tokio::task::JoinHandle<Result<Response<Arrived>, Error>> {
        let upstream = Arc::clone(&self.upstream);
        let (head, body) = request.into_parts();
        let (body, sent) = Sending::new(body);
        let request = Request::from_parts(head, body);
        tokio::spawn(async move { upstream.answer(&mut Some(request), &sent, false).await })
    }

    /// One request and its answer, over a connection that is there.
    async fn exchange(&self, stream: &mut TcpStream) {
        let sent = self.send(plain());
        read_request(stream).await;
        stream.write_all(FINE).await.unwrap();
        assert_eq!(whole(sent.await.unwrap().unwrap()).await, "{}");
    }

    async fn until_idle(&self, count: usize) {
        while self.upstream.idle() != count {
            yield_now().await;
        }
    }
}

/// What comes to the end of a body in chunks.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
    }
    String::from_utf8(read).unwrap()
}

async fn whole(response: Response<Arrived>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_connection_carries_one_request_after_another_by_its_own_name() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    let head = read_request(&mut stream).await.to_lowercase();
    assert!(head.starts_with("post /v1/x http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", provider.listener.local_addr().unwrap())), "{head}");
    stream.write_all(FINE).await.unwrap();
    assert_eq!(whole(sent.await.unwrap().unwrap()).await, "{}");
    provider.until_idle(1).await;
    for _ in 0..3 {
        provider.exchange(&mut stream).await;
        provider.until_idle(1).await;
    }
}

#[tokio::test]
async fn the_connection_used_last_is_used_first() {
    let provider = Provider::new().await;
    let (first, second) = (provider.send(plain()), provider.send(plain()));
    let mut streams = [provider.accept().await, provider.accept().await];
    for (stream, idle) in streams.iter_mut().zip([1, 2]) {
        read_request(stream).await;
        stream.write_all(FINE).await.unwrap();
        provider.until_idle(idle).await;
    }
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    for _ in 0..3 {
        provider.exchange(&mut streams[1]).await;
        provider.until_idle(2).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_while_idle_is_gone_at_once() {
    let provider = Provider::new().await;
    for last_words in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let sent = provider.send(plain());
        let mut stream = provider.accept().await;
        read_request(&mut stream).await;
        stream.write_all(FINE).await.unwrap();
        sent.await.unwrap().unwrap();
        provider.until_idle(1).await;
        stream.write_all(last_words).await.unwrap();
        drop(stream);
        provider.until_idle(0).await;
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_takes_those_along_that_lay_longer() {
    let provider = Provider::new().await;
    let mut streams = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(provider.send(plain()));
        streams.push(provider.accept().await);
    }
    for (stream, idle) in streams.iter_mut().zip(1..) {
        read_request(stream).await;
        stream.write_all(FINE).await.unwrap();
        provider.until_idle(idle).await;
    }
    // Two are taken from the top; the first of them is back before the other one is found closed.
    let (fourth, third) = (provider.send(plain()), provider.send(plain()));
    read_request(&mut streams[3]).await;
    read_request(&mut streams[2]).await;
    streams[3].write_all(FINE).await.unwrap();
    fourth.await.unwrap().unwrap();
    provider.until_idle(3).await;
    drop(streams.remove(2));
    let error = third.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "client error (SendRequest)");
    provider.until_idle(1).await;
    provider.exchange(&mut streams[2]).await;
}

#[tokio::test]
async fn a_body_of_the_callers_that_fails_closes_one_connection_alone() {
    let provider = Provider::new().await;
    let sent = [provider.send(plain()), provider.send(plain())];
    let mut streams = [provider.accept().await, provider.accept().await];
    for (stream, idle) in streams.iter_mut().zip([1, 2]) {
        read_request(stream).await;
        stream.write_all(FINE).await.unwrap();
        provider.until_idle(idle).await;
    }
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
    let (mut request, body) = request();
    request.headers_mut().insert("content-length", HeaderValue::from_static("9"));
    let sent = provider.send(request);
    assert_ne!(streams[1].read(&mut [0; 4096]).await.unwrap(), 0);
    drop(body);
    sent.await.unwrap().unwrap_err();
    assert_eq!(provider.upstream.idle(), 1);
}

#[tokio::test]
async fn an_answer_that_is_read_wakes_nobody() {
    let provider = Provider::new().await;
    let keeper = Arc::default();
    let mut line = provider.line(&keeper).await;
    let mut stream = provider.accept().await;
    let answering = async {
        read_request(&mut stream).await;
        stream.write_all(FINE).await.unwrap();
    };
    let (answered, ()) = tokio::join!(line.carry(plain()), answering);
    let response = line.take_in(answered.unwrap());
    line.lay_aside();
    assert_eq!(whole(response).await, "{}");
    assert!(line.is_free() && !line.has_rung());
    assert!(keeper.notified().now_or_never().is_none());
}

#[tokio::test]
async fn what_a_closed_connection_could_not_take_comes_back() {
    let provider = Provider::new().await;
    let mut line = provider.line(&Arc::default()).await;
    drop(provider.accept().await);
    while !line.has_rung() {
        yield_now().await;
    }
    let mut failed = line.carry(plain()).await.unwrap_err();
    assert_eq!(failed.take_message().unwrap().uri(), "/v1/x");
    assert!(line.is_over());
}

#[tokio::test]
async fn an_answer_that_closes_its_connection_leaves_none() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end").await.unwrap();
    drop(stream);
    assert_eq!(whole(sent.await.unwrap().unwrap()).await, "to the end");
    assert_eq!(provider.upstream.idle(), 0);
}

#[tokio::test]
async fn a_request_that_is_given_up_takes_its_connection_with_it() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    sent.abort();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(provider.upstream.idle(), 0);
}

#[tokio::test]
async fn an_early_answer_stops_neither_side() {
    let provider = Provider::new().await;
    let (request, body) = request();
    let sent = provider.send(request);
    let mut stream = provider.accept().await;
    // The head goes out before there is a body.
    let mut read = vec![0; 4096];
    assert_ne!(stream.read(&mut read).await.unwrap(), 0);
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let response = sent.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // Nobody reads the answer; what is sent goes on all the same.
    body.send(Bytes::from_static(b"more")).unwrap();
    drop(body);
    assert!(read_request(&mut stream).await.starts_with("4\r\nmore\r\n"));
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(whole(response).await, "onetwo");
    provider.until_idle(1).await;
    provider.exchange(&mut stream).await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_closes_its_connection() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegun").await.unwrap();
    drop(sent.await.unwrap().unwrap());
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(provider.upstream.idle(), 0);
}

#[tokio::test]
async fn what_came_at_once_is_read_at_once_and_its_connection_is_free_with_the_last_of_it() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let mut body = sent.await.unwrap().unwrap().into_body();
    assert!(body.frame().now_or_never().is_none(), "nothing of it is here");
    let chunks = (0..40).map(|n| format!("2\r\n{n:02}\r\n")).collect::<Vec<_>>().concat();
    stream.write_all(chunks.as_bytes()).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "00");
    for n in 1..40 {
        let frame = body.frame().now_or_never().expect("it is here").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("{n:02}"));
    }
    // The reader is another task from now on.
    let rest =
        tokio::spawn(async move { (body.frame().await.unwrap().unwrap().into_data(), body.frame().await, body) });
    stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await.unwrap();
    let (last, nothing, _body) = rest.await.unwrap();
    assert!(nothing.is_none());
    assert_eq!((last.unwrap(), provider.upstream.idle()), (Bytes::from_static(b"end"), 1));
    provider.exchange(&mut stream).await;
}

#[tokio::test]
async fn who_reads_much_at_once_lets_others_have_their_turn() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n").await.unwrap();
    let mut body = sent.await.unwrap().unwrap().into_body();
    let written = tokio::spawn(async move { stream.write_all(&vec![b'x'; 4_000_000]).await.unwrap() });
    let (mut read, mut longest, mut at_once) = (0, 0, 0);
    while read < 4_000_000 {
        let here = body.frame().now_or_never();
        let frame = if let Some(frame) = here {
            frame
        } else {
            at_once = 0;
            body.frame().await
        };
        let length = frame.unwrap().unwrap().into_data().unwrap().len();
        (read, at_once) = (read + length, at_once + length);
        longest = longest.max(at_once - length);
    }
    assert!(longest < 512 << 10, "{longest}");
    written.await.unwrap();
}

#[tokio::test]
async fn of_a_known_length_the_last_byte_is_the_end() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none").await.unwrap();
    let mut body = sent.await.unwrap().unwrap().into_body();
    assert_eq!(
        (body.frame().await.unwrap().unwrap().into_data().unwrap(), body.is_end_stream()),
        ("one".into(), false)
    );
    stream.write_all(b"two").await.unwrap();
    assert_eq!(body.size_hint().exact(), Some(3));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    assert_eq!((body.is_end_stream(), body.size_hint().exact(), provider.upstream.idle()), (true, Some(0), 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_while_it_is_read_says_so() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let mut body = sent.await.unwrap().unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    drop(stream);
    body.frame().await.unwrap().unwrap_err();
    assert!(body.frame().await.is_none());
    assert_eq!(provider.upstream.idle(), 0);
}

#[tokio::test]
async fn whoever_waits_for_a_connection_takes_the_first_that_comes_free() {
    let provider = Provider::new().await;
    let first = provider.send(plain());
    let mut stream = provider.accept().await;
    read_request(&mut stream).await;
    let dial = dial(&provider.listener.local_addr().unwrap().to_string());
    let shelf = Shelf::<Told>::new();
    let Err(waiting) = shelf.take() else { panic!("nothing was laid there") };
    let Err(gone) = shelf.take() else { panic!("nothing was laid there") };
    shelf.put(dial.connect(&shelf.keeper).await.unwrap());
    assert!(matches!(waiting.await, Carrier::Line(_)));
    // Given to somebody who leaves: it is laid aside.
    shelf.put(dial.connect(&shelf.keeper).await.unwrap());
    assert_eq!(shelf.idle(), 0);
    drop::<Waiting<Told>>(gone);
    assert_eq!(shelf.idle(), 1);
    first.abort();
}

#[tokio::test]
async fn idle_connections_are_few_and_do_not_grow_old() {
    let provider = Provider::new().await;
    let dial = dial(&provider.listener.local_addr().unwrap().to_string());
    let shelf = Shelf::<Told>::of(2);
    let mut streams = Vec::new();
    for _ in 0..3 {
        shelf.put(dial.connect(&shelf.keeper).await.unwrap());
        streams.push(provider.accept().await);
    }
    assert_eq!(shelf.idle(), 2);
    assert_eq!(streams[0].read(&mut [0; 9]).await.unwrap(), 0, "the oldest goes");
    for _ in 0..9 {
        assert!(shelf.tidy(true));
    }
    assert_eq!(shelf.idle(), 2);
    assert!(!shelf.tidy(true));
    assert_eq!(shelf.idle(), 0);
    assert_eq!(streams[2].read(&mut [0; 9]).await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_as_such() {
    let provider = Provider::new().await;
    let sent = provider.send(plain());
    drop(provider.listener);
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "client error (Connect)");
    assert!(error.source().is_some());
}

#[test]
fn keys_go_to_one_place() {
    let place = |text: &str| {
        let base = Base::parse(text).unwrap();
        Place { scheme: base.scheme().clone(), authority: base.authority().clone() }
    };
    let https = place("https://api.example/v1");
    for uri in ["https://api.example/x", "https://API.example:443/x"] {
        assert!(https.has(&uri.parse().unwrap()), "{uri}");
    }
    for uri in ["http://api.example/x", "https://api.example:444/x", "https://evil@api.example/x", "/x"] {
        assert!(!https.has(&uri.parse().unwrap()), "{uri}");
    }
    assert_eq!(https.host(), "api.example");
    assert_eq!(place("http://api.example:8080").host(), "api.example:8080");
    assert_eq!(place("http://api.example:80").host(), "api.example");
}
