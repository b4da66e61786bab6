//! The listening side: connections, their limits, and their end.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use http::{Request, Response, Version};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
    time::Sleep,
};
use tower::Service;
use tower_keypool::{BoxError, Error};

use super::said::Said;
use super::{
    Door, Entrance, Gateway,
    crowd::{Crowd, Place},
    guard::Local,
    pace::{Arriving, Course, LEAST, Outlet, Paces, Patient, Watch},
    patience::{TICK, Ticks},
    rounds::Rounds,
    streams::{Streams, Taken},
    tls::{Certified, Secured, Tls},
};
use crate::{
    config::count,
    outgoing::Outgoing,
    status::{Counted, turn},
};

/// A head must be there this long after its connection, or (and up to [`TICK`] more) after the answer before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failure to accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a client begins that speaks HTTP/2 without having asked; no method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";

/// What a connection may carry.
#[derive(Clone, Copy, Debug)]
enum Speaks {
    /// HTTP/1.1. Who asks hyper to find out has it read the beginning apart, which doubles the buffer of each connection.
    Http1,
    /// Or HTTP/2.
    Either,
}

/// What the gateway bears of its clients.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address beyond this machine; of IPv6 from one network of 64 bits.
    pub of_one_address: usize,
    /// What clients may take their time with.
    pub paces: Paces,
}

impl Default for Bounds {
    fn default() -> Self {
        let paces = Paces { body: Duration::from_secs(60), reader: Duration::from_secs(600) };
        Self { connections: 10_000, of_one_address: 2_000, paces }
    }
}

/// Bytes that a stream of HTTP/2 holds for a client that does not take them.
const HELD: usize = 64 << 10;

/// Serves connections, over `tls` where that holds a certificate, until `shutdown` resolves; then lets those in flight
/// end for at most `grace`.
pub async fn serve<S, B>(
    (listener, door): (TcpListener, Door),
    tls: Tls,
    gateway: Arc<Gateway<S>>,
    (grace, bounds): (Duration, Bounds),
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (closing, closes) = watch::channel(());
    let mut connections = JoinSet::new();
    let crowd = Crowd::new(bounds.connections, bounds.of_one_address);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match (crowd.enter(peer.ip()), tls.current()) {
                    (Ok(place), certified) => {
                        let (from, way) = ((peer.ip(), door), (Arc::clone(&gateway), bounds.paces));
                        connections.spawn(connection((stream, place), from, certified, way, closes.clone()));
                    }
                    (Err(full), None) => full.tell(&stream),
                    (Err(_), Some(_)) => {}
                },
                Err(error) => {
                    tracing::debug!("accepting a connection failed: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(closing);
    let all = async {
        while connections.join_next().await.is_some() {}
        gateway.pipes.closed().await;
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        // They are dropped with the set.
        tracing::warn!("{} of clients were cut off", count(connections.len(), "connection"));
    }
}

async fn connection<S, B>(
    (stream, place): (TcpStream, Place),
    from: (IpAddr, Door),
    certified: Option<Certified>,
    (gateway, paces): (Arc<Gateway<S>>, Paces),
    mut closes: watch::Receiver<()>,
) where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Answers are written in whole frames; waiting for more would only delay a stream's chunks.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let entrance = Arc::new(Entrance::new(gateway, Local::from(local), from).holding(place));
    let Some(certified) = certified else {
        // A connection that says nothing is not waited for.
        let mut patience = Box::pin(tokio::time::sleep(HEAD_TIMEOUT));
        let mut first = [0; 4];
        let begins = tokio::select! {
            said = stream.peek(&mut first) => match said {
                Ok(length @ 1..) => &first[..length],
                _ => return,
            },
            _ = closes.changed() => return,
            () = &mut patience => return,
        };
        let speaks = if PREFACE.starts_with(begins) { Speaks::Either } else { Speaks::Http1 };
        return converse(stream, entrance, (false, speaks, paces), (closes, patience)).await;
    };
    let stream = tokio::select! {
        stream = certified.accept(stream) => stream,
        _ = closes.changed() => return,
        () = tokio::time::sleep(HEAD_TIMEOUT) => return,
    };
    match stream {
        // Behind a pointer: connections without TLS need not carry room for it.
        Ok(stream) => {
            let patience = Box::pin(tokio::time::sleep(HEAD_TIMEOUT));
            Box::pin(converse(stream, entrance, (true, Speaks::Either, paces), (closes, patience))).await;
        }
        Err(error) => tracing::debug!("a client did not get as far as a request: {error}"),
    }
}

/// Answers the requests of a connection.
async fn converse<S, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    entrance: Arc<Entrance<S>>,
    (secured, speaks, paces): (bool, Speaks, Paces),
    (mut closes, mut patience): (watch::Receiver<()>, Pin<Box<Sleep>>),
) where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let ticks = Ticks::default();
    let (asked, counted) = (Arc::new(Course::default()), ticks.clone());
    let (first, mut came) = oneshot::channel::<()>();
    let first = std::sync::Mutex::new(Some(first));
    let service = service_fn(move |mut request: Request<Incoming>| {
        if secured {
            request.extensions_mut().insert(Secured);
        }
        if let Ok(mut first) = first.lock() {
            // Dropping it says that the connection has spoken.
            first.take();
        }
        // One request at a time, or many, each in a task of its own.
        let alone = request.version() == Version::HTTP_2;
        let course = if alone { Arc::default() } else { Arc::clone(&asked) };
        let answer = Arc::clone(&entrance).answer(request.map(|body| Arriving::new(body, &course)));
        let answer = if alone {
            Patient::alone(answer, &course, paces.body)
        } else {
            Patient::new(answer, Watch::new(&course, &counted, (paces.body, LEAST)), &counted)
        };
        async move {
            let answer =
                answer.await.unwrap_or_else(|stopped| Ok(stopped.map(|body| Counted::uncounted(Said::from(body)))));
            answer.map(|answer| answer.map(Taken::new))
        }
    });
    let server = match speaks {
        Speaks::Http1 => server(&ticks, paces.reader).http1_only(),
        Speaks::Either => server(&ticks, paces.reader),
    };
    let said = Arc::new(Course::default());
    let mut read = Watch::new(&said, &ticks, (paces.reader, 1));
    let stream = Outlet::new(stream, &said);
    let mut serving = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));

    // A connection that says nothing, or half a preface, is not waited for: hyper's own timer starts with a head.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = &mut came => {}
        _ = closes.changed() => serving.as_mut().graceful_shutdown(),
        () = &mut patience => return,
    }
    drop(patience);
    if until_closing(serving.as_mut(), &ticks, &mut read, closes).await {
        serving.as_mut().graceful_shutdown();
        let _ = serving.await;
    }
}

/// Serves until the connection ends (false) or the gateway closes (true).
async fn until_closing(
    mut serving: Pin<&mut impl Future>,
    ticks: &Ticks,
    read: &mut Watch,
    mut closes: watch::Receiver<()>,
) -> bool {
    let open = closes.clone();
    let mut closed = pin!(closes.changed());
    let mut tick = pin!(tokio::time::sleep(TICK));
    let mut told: Option<Waker> = None;
    let rounds = Rounds::new();
    poll_fn(move |cx| {
        loop {
            if rounds.poll(cx, |cx| turn(|| serving.as_mut().poll(cx))).is_ready() {
                return Poll::Ready(false);
            }
            // Waiting for them takes a lock or two; a look does, once they know whom to wake.
            let is_open = open.has_changed().is_ok_and(|changed| !changed);
            let knows = told.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_open && knows && !tick.is_elapsed() {
                return Poll::Pending;
            }
            told = Some(cx.waker().clone());
            if closed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if tick.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            ticks.pass();
            if read.is_late(ticks) {
                tracing::debug!("a client takes nothing of its answer any more: it is cut off");
                return Poll::Ready(false);
            }
            let next = tick.deadline() + TICK;
            tick.as_mut().reset(next);
        }
    })
    .await
}

fn server(ticks: &Ticks, reader: Duration) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams::new(reader));
    builder.http1().timer(ticks.timer(HEAD_TIMEOUT)).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(256)
        .max_send_buf_size(HELD)
        .max_header_list_size(64 * 1024);
    builder
}
