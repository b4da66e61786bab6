//! A connection's requests and answers, until either side ends it.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use http::{Method, Request, Response, Version, header};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{oneshot, watch},
    time::Sleep,
};
use tower::Service;
use tower_keypool::{BoxError, Clock, Error};

use crate::{
    entire::Entire,
    gateway::{
        admit::cross_origin::CrossOrigin,
        answer::body::Said,
        connection::{
            http2_streams::{Streams, Taken},
            pace::{Arriving, LEAST, Outlet, Paces, Patience, Patient, Progress, Watch},
            self_wakes::Rounds,
            ticks::{TICK, Ticks},
            tls::Secured,
            unread::Asked,
        },
        farewell::Parting,
        handle::entrance::Entrance,
        log::given_up::give_up,
    },
    one_write::OneWrite,
    outgoing::Outgoing,
    status::Counted,
};

/// A head must be there this long after its connection, or (and up to [`TICK`] more) after the answer before it.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A head over HTTP/1.1 is no longer, with as much behind it as came along: whoever sends half of one makes the gateway keep it
/// for as long as that may take, with or without a token.
const LONGEST_HEAD: usize = 128 << 10;
/// Bytes that a stream of HTTP/2 holds for a client that does not take them.
const HELD: usize = 64 << 10;

/// What a connection may carry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speaks {
    /// HTTP/1.1. Who asks hyper to find out has it read the beginning apart, which doubles the buffer of each connection.
    Http1,
    /// Or HTTP/2.
    Either,
}

/// Answers the requests of a connection.
pub(super) async fn converse<S, B>(
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
    let (asked, counted) = (Arc::new(Progress::default()), ticks.clone());
    let (ours, of_connection) = (Arc::clone(&entrance), Arc::clone(&asked));
    let (first, mut came) = oneshot::channel::<()>();
    let first = Cell::new(Some(first));
    let service = service_fn(move |mut request: Request<Incoming>| {
        if secured {
            request.extensions_mut().insert(Secured);
        }
        // Dropping it says that the connection has spoken.
        first.take();
        // One request at a time, or many, each in a task of its own.
        let alone = request.version() == Version::HTTP_2;
        let progress = if alone { Arc::default() } else { Arc::clone(&asked) };
        let patience = if alone {
            Patience::alone(&progress, paces.body, entrance.parting())
        } else {
            Patience::of(Watch::new(&progress, &counted, (paces.body, LEAST)), &counted)
        };
        let asked = request.headers().contains_key(header::EXPECT).then(Asked::default);
        let version = request.version();
        let untold = alone && request.method() == Method::HEAD;
        let request = request.map(|body| Arriving::new(Entire::of(body, version), &progress, asked.clone()));
        let page = entrance.cross_origin(&request);
        let entrance = Arc::clone(&entrance);
        // hyper keeps room for it as long as the connection lives, and an answer's body may take hours. As a part of the block
        // it would stand there twice: as it came in, and where it is waited for.
        let mut answer = Patient::boxed(|| entrance.answer(request), patience);
        async move {
            let own = |answer: Response<_>| answer.map(|body| Counted::uncounted(Said::from(body)));
            let mut answer = match page.as_ref().and_then(CrossOrigin::preflight) {
                Some(told) => own(told),
                None => match answer.as_mut().await {
                    Ok(answered) => answered?,
                    Err(stopped) => own(give_up(stopped, answer)),
                },
            };
            if let Some(page) = page {
                page.tell(answer.headers_mut());
            }
            // A stream ends by itself.
            if let Some(asked) = asked.filter(|_| !alone) {
                asked.answered(answer.headers_mut());
            }
            let answer = answer.map(Taken::new);
            Ok::<_, Infallible>(if untold { Taken::head(answer) } else { answer })
        }
    });
    let server = match speaks {
        Speaks::Http1 => server(&ticks, paces.reader).http1_only(),
        Speaks::Either => server(&ticks, paces.reader),
    };
    let said = Arc::new(Progress::default());
    let mut read = Watch::new(&said, &ticks, (paces.reader, 1));
    let stream = Outlet::new(stream, &said);
    let mut serving = pin!(server.serve_connection_with_upgrades(OneWrite::new(TokioIo::new(stream)), service));

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
        until_parting(serving, ours.parting(), &of_connection).await;
    }
}

/// Serves until the connection ends; from the parting on no answer is waited for that has not begun.
async fn until_parting(mut serving: Pin<&mut impl Future>, mut parting: Parting, asked: &Progress) {
    poll_fn(|cx| {
        if parting.poll(cx).is_ready() {
            asked.stops();
        }
        serving.as_mut().poll(cx).map(drop)
    })
    .await;
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
            // What happens in a turn takes microseconds, and some ten of those who take part ask what time it is.
            if rounds.poll(cx, |cx| Clock::read_once(|| serving.as_mut().poll(cx))).is_ready() {
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
    builder.http1().timer(ticks.timer(HEAD_TIMEOUT)).header_read_timeout(HEAD_TIMEOUT).max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(256)
        .max_send_buf_size(HELD)
        .max_header_list_size(64 * 1024);
    builder
}
