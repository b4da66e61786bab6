//! A provider whose errors are easy to write, bodies made step by step, and a pool that tells what it was told.

use std::{
    borrow::Cow,
    collections::VecDeque,
    error::Error as StdError,
    future::Future,
    io::Write,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Sleep, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Answer, Asks, Base, Clock, CooldownBody, CooldownLayer, Demand, Error, InvalidSecret, Key, KeyPool, Lease, Limits,
    Provider, QuotaNews, RateHeader, Retarget, Scope, Secret, ServedBy, Tick, Unit, Until, UsageFormat, Verdict,
    VerdictKind,
};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// 39 bytes, as long as those of Google.
pub(crate) const KEY: &str = "AIzaAIzaSyD-not-a-real-key-AIzaSy-00000";
pub(crate) const STARS: &str = "***************************************";

/// An API that says `{"error": {"code": 429}}`.
pub(crate) struct Numbers(Base);

impl Provider for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }
    fn base(&self) -> &Base {
        &self.0
    }
    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }
    fn strip(&self, _head: &mut Parts) {}
    fn inject(&self, _head: &mut Parts, _key: &Secret) -> Result<(), Cow<'static, str>> {
        Ok(())
    }
    fn asks<'a>(&self, _head: &'a Parts) -> Asks<'a> {
        Asks::default()
    }
    fn retarget(&self, _head: &mut Parts, _model: &str) -> Retarget {
        Retarget::No
    }
    fn alarm(&self) -> Option<&'static str> {
        Some("OUT_OF_NUMBERS")
    }
    fn usage(&self) -> UsageFormat {
        UsageFormat::Gemini
    }
    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        assert!(!String::from_utf8_lossy(answer.body).contains(KEY), "whoever judges must not see the key");
        assert!(answer.body.len() <= 64 << 10);
        let json: Option<serde_json::Value> = serde_json::from_slice(answer.body).ok();
        if json.as_ref().is_some_and(|json| json["why"] == "OUT_OF_NUMBERS") {
            return Verdict::new(VerdictKind::Suspended).scope(Scope::Key);
        }
        if !answer.event && answer.status == 200 {
            return Verdict::SUCCESS;
        }
        let code = json.as_ref().and_then(|json| json.get(0).unwrap_or(json)["error"]["code"].as_u64());
        match code.or_else(|| (!answer.event).then(|| u64::from(answer.status.as_u16()))) {
            Some(429) => Verdict::new(VerdictKind::RateLimited)
                .until(Until::For(Duration::from_secs(30)))
                .code(if code.is_some() { "read" } else { "status" }),
            Some(418) => Verdict::new(VerdictKind::InvalidKey).worded(),
            Some(403) => Verdict::new(VerdictKind::Suspended).scope(Scope::Key),
            Some(300..=399) => Verdict::new(VerdictKind::Blocked),
            Some(400..=499) => Verdict::new(VerdictKind::CallerFault),
            Some(503) => Verdict::new(VerdictKind::Overloaded),
            _ if answer.event => Verdict::SUCCESS,
            _ => Verdict::new(VerdictKind::Transient),
        }
    }
    fn rate_headers(&self, headers: &HeaderMap, _: &Clock) -> Option<QuotaNews> {
        let remaining = headers.get("x-remaining")?.to_str().ok()?.parse().ok()?;
        let mut news = QuotaNews::default();
        let reset = Duration::from_secs(60);
        news.remaining.push(RateHeader { unit: Unit::Requests, remaining, limit: None, reset });
        Some(news)
    }
}

/// A pool, of one key mostly, and the lease of one request.
pub(crate) struct Bench {
    pub(crate) pool: KeyPool,
    pub(crate) lease: Option<Lease>,
    layer: CooldownLayer,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(KEY)
    }

    pub(crate) fn with(key: &str) -> Self {
        Self::of([Key::new(key).id("first")])
    }

    /// A pool of several.
    pub(crate) fn of(keys: impl IntoIterator<Item = Key>) -> Self {
        let pool = KeyPool::builder(Numbers(Base::parse("http://api.example").unwrap()))
            .keys(keys)
            .limits("m", Limits::new().tokens_per_minute(10_000))
            .clock(Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
            .build()
            .unwrap();
        let lease = pool.try_acquire(Demand::new("m").tokens(100)).unwrap();
        lease.started();
        Self { layer: CooldownLayer::new(&pool), pool, lease: Some(lease) }
    }

    pub(crate) fn request(&self) -> Request<()> {
        let mut request = Request::get("http://api.example/m").body(()).unwrap();
        if let Some(lease) = &self.lease {
            request.extensions_mut().insert(lease.granted().clone());
        }
        request
    }

    /// Sends a request that is answered so.
    pub(crate) fn ask<B>(
        &self,
        request: Request<()>,
        answer: Response<B>,
    ) -> impl Future<Output = Result<Response<CooldownBody<B>>, Error>> + use<B>
    where
        B: Body + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut answer = Some(answer);
        let below = service_fn(move |_| std::future::ready(Ok::<_, BoxError>(answer.take().unwrap())));
        self.layer.layer(below).oneshot(request)
    }

    /// The answer as the caller gets it.
    pub(crate) async fn get<B>(&self, answer: Response<B>) -> Response<CooldownBody<B>>
    where
        B: Body + Unpin,
        B::Error: Into<BoxError>,
    {
        self.ask(self.request(), answer).await.unwrap()
    }

    pub(crate) fn now(&self) -> Tick {
        self.pool.clock().tick()
    }

    pub(crate) fn since(&self, earlier: Tick) -> Duration {
        self.now().since(earlier)
    }

    /// How often the pool was told of a kind.
    pub(crate) fn told(&self, kind: VerdictKind) -> u64 {
        self.pool.snapshot().verdicts.get(&kind).copied().unwrap_or(0)
    }

    /// All that the pool was told, in the order of kinds.
    pub(crate) fn all_told(&self) -> Vec<(VerdictKind, u64)> {
        self.pool.snapshot().verdicts.into_iter().collect()
    }

    /// Prompt tokens in the window: 100 were reserved.
    pub(crate) fn tokens(&self) -> u64 {
        self.pool.snapshot().keys[0].lanes[0].limits[0].used
    }
}

pub(crate) fn served<B>(response: &Response<B>) -> &ServedBy {
    response.extensions().get().unwrap()
}

pub(crate) fn kind<B>(response: &Response<B>) -> VerdictKind {
    served(response).verdict().kind()
}

/// The whole body, or the error in it and what came before.
pub(crate) async fn collect<B>(response: Response<B>) -> (Vec<u8>, Option<BoxError>)
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    let (mut all, mut body) = (Vec::new(), std::pin::pin!(response.into_body()));
    loop {
        match body.frame().await {
            None => return (all, None),
            Some(Err(error)) => return (all, Some(error)),
            Some(Ok(frame)) => all.extend(frame.into_data().unwrap_or_default()),
        }
    }
}

pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    let (bytes, error) = collect(response).await;
    assert!(error.is_none(), "{error:?}");
    String::from_utf8(bytes).unwrap()
}

/// What a body does next.
pub(crate) enum Step {
    Data(Bytes),
    Wait(Duration),
    Fail,
    Trailers(HeaderMap),
    Never,
}

/// A body made by hand.
pub(crate) struct Steps {
    left: VecDeque<Step>,
    timer: Option<Pin<Box<Sleep>>>,
    sized: bool,
}

impl Steps {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { left: steps.into_iter().collect(), timer: None, sized: false }
    }

    pub(crate) fn chunks<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> Self {
        Self::new(chunks.into_iter().map(|chunk| Step::Data(Bytes::copy_from_slice(chunk.as_ref()))))
    }

    pub(crate) fn then(mut self, step: Step) -> Self {
        self.left.push_back(step);
        self
    }

    /// Says how long it is, as an answer with a content-length does.
    pub(crate) fn sized(mut self) -> Self {
        self.sized = true;
        self
    }

    fn bytes(&self) -> u64 {
        self.left.iter().map(|step| if let Step::Data(data) = step { data.len() as u64 } else { 0 }).sum()
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            return Poll::Ready(match self.left.pop_front() {
                None => None,
                Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
                Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Some(Step::Fail) => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
                Some(Step::Never) => {
                    self.left.push_front(Step::Never);
                    return Poll::Pending;
                }
                Some(Step::Wait(time)) => {
                    self.timer = Some(Box::pin(sleep(time)));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized { SizeHint::with_exact(self.bytes()) } else { SizeHint::default() }
    }
}

pub(crate) fn full(body: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(body.into())
}

pub(crate) fn answer<B>(status: u16, kind: &str, body: B) -> Response<B> {
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}

pub(crate) fn json<B>(status: u16, body: B) -> Response<B> {
    answer(status, "application/json; charset=UTF-8", body)
}

pub(crate) fn events<B>(body: B) -> Response<B> {
    answer(200, "text/event-stream", body)
}

pub(crate) fn gzipped<B>(mut answer: Response<B>) -> Response<B> {
    answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    answer
}

/// Each piece compressed and flushed, so that it can be read as soon as it has come.
pub(crate) fn gzip<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut out = Vec::new();
    for piece in pieces {
        encoder.write_all(piece.as_ref()).unwrap();
        encoder.flush().unwrap();
        out.push(std::mem::take(encoder.get_mut()));
    }
    out.push(encoder.finish().unwrap());
    out
}

/// An event of Gemini's.
pub(crate) fn event(text: &str, tokens: u64) -> String {
    format!(
        "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{{\"text\": \"{text}\"}}],\"role\": \"model\"}}}}],\
         \"usageMetadata\": {{\"promptTokenCount\": {tokens},\"totalTokenCount\": {tokens}}}}}\r\n\r\n"
    )
}

pub(crate) const ERROR_429: &str = "{\"error\":{\"code\":429,\"message\":\"slow\"}}";
