//! A request in another dialect than the provider's: understood, asked anew, and answered in its own.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration, time::UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use keypool_dialect::{Asked, Caller, Exchange, Fault, Ignored, Kind, Shape, gemini, openai};
use tower::Service;
use tower_keypool::{BoxError, Clock, Demand, Error, ServedBy};

use super::{
    head::Names,
    ignored,
    route::Task,
    said::Said,
    telling::{Awaited, Telling},
};
use crate::{
    outgoing::Outgoing,
    status::{Outcome, Traffic},
};

/// A larger request is refused: it is held while it is understood.
const MOST_ASKED: usize = 32 << 20;
/// Of a whole answer, which is held, too: images come in it.
const MOST_ANSWERED: usize = 64 << 20;
/// Of an error.
const MOST_OF_ERROR: usize = 64 << 10;
/// After so long without an answer's head a stream begins without it, so that nobody between gives up. What goes wrong
/// from then on is an event of the stream.
const PATIENCE: Duration = Duration::from_secs(10);
/// The catalogue is read to here.
const MOST_PAGES: usize = 10;

const IGNORED: HeaderName = HeaderName::from_static("x-keypool-ignored");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Translates for one request.
pub(super) struct Translator<S> {
    pub(super) stack: S,
    pub(super) caller: &'static dyn Caller,
    pub(super) strict: bool,
    pub(super) clock: Clock,
    pub(super) traffic: Arc<Traffic>,
}

/// Why there is no answer.
struct Failed {
    outcome: Outcome,
    fault: Fault,
    retry_after: Option<HeaderValue>,
    served_by: Option<ServedBy>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { outcome: Outcome::Refused, fault, retry_after: None, served_by: None }
    }
}

type Answered<B> = (Outcome, Response<Said<B>>);

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers it, whatever happens.
    pub(super) async fn answer(mut self, task: Task, parts: Parts, body: Incoming) -> Answered<B> {
        let (caller, traffic) = (self.caller, Arc::clone(&self.traffic));
        let answered = if parts.method == task.method() {
            match task {
                Task::Chat | Task::Respond => self.chat(parts, body).await,
                Task::Count => self.count(parts, body).await,
                Task::Embeddings => self.embed(parts, body).await,
                Task::Models => self.models(&parts).await,
                Task::Model(name) => self.model(&name, &parts).await,
            }
        } else {
            Err(Fault::new(Kind::NotSupported, format!("{} is not for this path", parts.method)).into())
        };
        answered.unwrap_or_else(|failed| {
            if let (Outcome::Failed | Outcome::Exhausted, Some(served_by)) = (failed.outcome, &failed.served_by) {
                traffic.took(served_by.attempts());
            }
            (failed.outcome, refused(caller, failed))
        })
    }

    async fn chat(mut self, parts: Parts, body: Incoming) -> Result<Answered<B>, Failed> {
        let bytes = read(&parts.headers, body).await?;
        let Asked { conversation, ignored, usage_wanted } = self.caller.conversation(&bytes, self.strict)?;
        let stream = conversation.stream;
        let verb = if stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
        let path = gemini::path_of(&conversation.model, verb).ok_or_else(bad_model)?;
        let pieces = gemini::generate(&conversation, bytes.clone())?;
        let demand = Demand::any_model().about_tokens(gemini::about_tokens(&conversation, &pieces));
        let shape = Shape {
            model: conversation.model.to_string(),
            stream,
            usage: usage_wanted,
            unique: unique()?,
            created: self.created(),
        };
        let listener = gemini::Listener::new(conversation.one_call);
        let exchange = Exchange::new(Box::new(listener), self.caller.voice(shape));
        let request = request(Method::POST, &path, &parts, pieces, Some(demand));
        drop(conversation);
        if stream {
            self.tell(request, exchange, &ignored).await
        } else {
            self.whole(request, exchange, &ignored).await
        }
    }

    async fn whole(
        &mut self,
        request: Request<Outgoing>,
        exchange: Exchange,
        ignored: &Ignored,
    ) -> Result<Answered<B>, Failed> {
        let (served_by, body) = self.fetch(request).await?;
        let said = exchange.whole(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(said, served_by, ignored))
    }

    /// A stream: its head goes out with the provider's, or when that takes long.
    async fn tell(
        self,
        request: Request<Outgoing>,
        exchange: Exchange,
        ignored: &Ignored,
    ) -> Result<Answered<B>, Failed> {
        let Self { stack, traffic, .. } = self;
        let mut call = Box::pin(async move {
            let response = send(stack, &traffic, request).await?;
            check(response).await
        });
        let (body, served_by) = match tokio::time::timeout(PATIENCE, &mut call).await {
            Ok(Ok(response)) => {
                let served_by = response.extensions().get::<ServedBy>().cloned();
                (Telling::of(response.into_body(), exchange), served_by)
            }
            Ok(Err(failed)) => return Err(failed),
            Err(_) => {
                let awaited: Awaited<B> = Box::pin(async move { call.await.map_err(|failed| failed.fault) });
                (Telling::awaiting(awaited, exchange), None)
            }
        };
        let mut response = Response::new(Said::told(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        name(&mut response, served_by, ignored);
        Ok((Outcome::Answered, response))
    }

    async fn count(&mut self, parts: Parts, body: Incoming) -> Result<Answered<B>, Failed> {
        let bytes = read(&parts.headers, body).await?;
        let asked = self.caller.conversation(&bytes, self.strict)?;
        let path = gemini::path_of(&asked.conversation.model, ":countTokens").ok_or_else(bad_model)?;
        let pieces = gemini::counted(&asked.conversation, bytes.clone())?;
        let (served_by, body) = self.fetch(request(Method::POST, &path, &parts, pieces, None)).await?;
        let tokens = gemini::tokens(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(self.caller.counted(tokens).into_bytes(), served_by, &asked.ignored))
    }

    async fn embed(&mut self, parts: Parts, body: Incoming) -> Result<Answered<B>, Failed> {
        let bytes = read(&parts.headers, body).await?;
        let (asked, ignored) = openai::embedding(&bytes, self.strict)?;
        let path = gemini::path_of(&asked.model, ":batchEmbedContents").ok_or_else(bad_model)?;
        let mut all = keypool_dialect::Embedded::default();
        let mut served_by = None;
        for texts in asked.texts.chunks(gemini::MOST_AT_ONCE) {
            let piece = gemini::embedding(&asked, texts)?;
            let (by, body) = self.fetch(request(Method::POST, &path, &parts, vec![piece], None)).await?;
            let some =
                gemini::embedded(&asked, texts.len(), &body).map_err(|fault| upstream_fault(fault, by.clone()))?;
            all.vectors.extend(some.vectors);
            all.tokens += some.tokens;
            served_by = by;
        }
        Ok(answer(openai::vectors(&asked, &all), served_by, &ignored))
    }

    async fn models(&mut self, parts: &Parts) -> Result<Answered<B>, Failed> {
        let (mut models, mut token, mut served_by) = (Vec::new(), String::new(), None);
        for _ in 0..MOST_PAGES {
            let path = format!("/v1beta/models?pageSize=1000{token}");
            let (by, body) = self.fetch(request(Method::GET, &path, parts, Vec::new(), None)).await?;
            let page = gemini::page(&body).map_err(|fault| upstream_fault(fault, by.clone()))?;
            models.extend(page.models);
            served_by = by;
            match page.next {
                Some(next) => {
                    let next = percent_encoding::utf8_percent_encode(&next, percent_encoding::NON_ALPHANUMERIC);
                    token = format!("&pageToken={next}");
                }
                None => break,
            }
        }
        Ok(answer(self.caller.models(&models).into_bytes(), served_by, &Ignored::default()))
    }

    async fn model(&mut self, name: &str, parts: &Parts) -> Result<Answered<B>, Failed> {
        let path = gemini::path_of(name, "").ok_or_else(bad_model)?;
        let (served_by, body) = self.fetch(request(Method::GET, &path, parts, Vec::new(), None)).await?;
        let model = gemini::model(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(self.caller.model(&model).into_bytes(), served_by, &Ignored::default()))
    }

    /// A good answer, read to its end.
    async fn fetch(&mut self, request: Request<Outgoing>) -> Result<(Option<ServedBy>, Bytes), Failed> {
        let response = check(send(self.stack.clone(), &self.traffic, request).await?).await?;
        let (head, body) = response.into_parts();
        let served_by = head.extensions.get::<ServedBy>().cloned();
        let Ok(collected) = Limited::new(body, MOST_ANSWERED).collect().await else {
            let fault = Fault::new(Kind::BadGateway, "the upstream's answer broke off, or is too long");
            return Err(upstream_fault(fault, served_by));
        };
        Ok((served_by, collected.to_bytes()))
    }

    fn created(&self) -> i64 {
        self.clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
    }
}

/// Through the stack.
async fn send<S, B>(mut stack: S, traffic: &Traffic, request: Request<Outgoing>) -> Result<Response<B>, Failed>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
{
    let answered = match poll_fn(|cx| stack.poll_ready(cx)).await {
        Ok(()) => stack.call(request).await,
        Err(error) => Err(error),
    };
    let response = answered.map_err(|error| without_answer(&error))?;
    traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
    Ok(response)
}

/// Takes an answer that is none for what it is.
async fn check<B>(response: Response<B>) -> Result<Response<B>, Failed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    let mut said = BytesMut::new();
    // What was cut, or broke off, still says most of it.
    while let Some(Ok(frame)) = body.frame().await {
        said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if said.len() >= MOST_OF_ERROR {
            break;
        }
    }
    Err(Failed {
        outcome: Outcome::Answered,
        fault: gemini::fault(head.status, &said),
        retry_after: head.headers.get(header::RETRY_AFTER).cloned(),
        served_by: head.extensions.get::<ServedBy>().cloned(),
    })
}

fn upstream_fault(fault: Fault, served_by: Option<ServedBy>) -> Failed {
    Failed { outcome: Outcome::Failed, fault, retry_after: None, served_by }
}

/// What the stack's own error says.
fn without_answer(error: &Error) -> Failed {
    let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
    let head = super::failed_head(error);
    Failed {
        outcome,
        fault: fault_of(error),
        retry_after: head.get(header::RETRY_AFTER).cloned(),
        served_by: error.served_by().cloned(),
    }
}

/// The same, in no dialect.
pub(super) fn fault_of(error: &Error) -> Fault {
    let kind = match Kind::of(error.status()) {
        Kind::Overloaded if error.is_exhausted() => Kind::NoKeys,
        kind => kind,
    };
    Fault::new(kind, error.to_string())
}

/// The refusal in the caller's dialect.
fn refused<B>(caller: &dyn Caller, failed: Failed) -> Response<Said<B>> {
    let Failed { fault, retry_after, served_by, .. } = failed;
    let refused = caller.refused(&fault);
    let mut response = Response::new(Said::from(Full::from(refused.body)));
    *response.status_mut() = refused.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if fault.kind == Kind::NoKeys && retry_after.is_none() {
        // None comes back by itself, and official clients ask again at once.
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(after) = retry_after {
        headers.insert(header::RETRY_AFTER, after);
    }
    name(&mut response, served_by, &Ignored::default());
    response
}

fn answer<B>(body: Vec<u8>, served_by: Option<ServedBy>, ignored: &Ignored) -> Answered<B> {
    let mut response = Response::new(Said::from(Full::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    name(&mut response, served_by, ignored);
    (Outcome::Answered, response)
}

/// Names who served, and what was not needed.
fn name<B>(response: &mut Response<B>, served_by: Option<ServedBy>, ignored: &Ignored) {
    ignored::tell(ignored);
    if let Some(listed) = ignored.listed().and_then(|listed| HeaderValue::try_from(listed).ok()) {
        response.headers_mut().insert(IGNORED, listed);
    }
    if let Some(served_by) = served_by {
        Names::of(&served_by).add(response.headers_mut());
        response.extensions_mut().insert(served_by);
    }
}

/// The caller's body, whole.
async fn read(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Fault> {
    let too_large = || {
        let message = format!("the body is larger than {} MiB, which is all that is translated", MOST_ASKED >> 20);
        Fault::new(Kind::TooLarge, message)
    };
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Fault::invalid("compressed requests are not read: send it as it is"));
    }
    let expected = usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or(usize::MAX);
    if expected > MOST_ASKED {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::invalid("the request's body broke off"))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if whole.is_empty() && chunk.len() == expected {
            return Ok(chunk);
        }
        if whole.len() + chunk.len() > MOST_ASKED {
            return Err(too_large());
        }
        if whole.is_empty() {
            whole.reserve(expected);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// A request of this gateway's own.
fn request(method: Method, target: &str, parts: &Parts, body: Vec<Bytes>, demand: Option<Demand>) -> Request<Outgoing> {
    let body = Outgoing::written(body);
    let mut request = Request::new(body);
    *request.uri_mut() = target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if method == Method::POST {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for name in ["user-agent", "traceparent", "tracestate"] {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    *request.method_mut() = method;
    if let Some(demand) = demand {
        request.extensions_mut().insert(demand);
    }
    request
}

fn bad_model() -> Fault {
    Fault::invalid("model: this is no model's name").at("model")
}

/// What no other answer is called.
fn unique() -> Result<String, Fault> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Fault::new(Kind::Internal, "the system has no random numbers"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// A translation under way.
pub(super) type Translation<B> = Pin<Box<dyn Future<Output = Answered<B>> + Send>>;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use keypool_dialect::openai::OpenAi;
    use tokio::time::{Instant, sleep};
    use tower::service_fn;

    use super::*;

    const EVENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"at last"}]},"finishReason":"STOP"}]}"#;

    /// What a stream tells whose upstream answers after so long, and when its first and last pieces come.
    async fn told(after: Duration, upstream: Result<u16, ()>) -> (u16, String, [u64; 2]) {
        let stack = service_fn(move |_: Request<Outgoing>| async move {
            sleep(after).await;
            let status = upstream.unwrap_or(200);
            let body = match upstream {
                Ok(200) => format!("data: {EVENT}\r\n\r\n"),
                Ok(_) => r#"{"error":{"code":429,"message":"slow down"}}"#.to_owned(),
                Err(()) => String::new(),
            };
            Ok::<_, Error>(Response::builder().status(status).body(Full::<Bytes>::from(body)).unwrap())
        });
        let clock = Clock::system();
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let translator = Translator { stack, caller: &OpenAi, strict: true, clock, traffic };
        let shape = Shape { stream: true, ..Shape::default() };
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
        #[expect(clippy::disallowed_methods, reason = "paused")]
        let now = Instant::now();
        let request = Request::new(Outgoing::written(Vec::new()));
        let response = match translator.tell(request, exchange, &Ignored::default()).await {
            Ok((_, response)) => response,
            Err(failed) => refused(&OpenAi, failed),
        };
        let status = response.status().as_u16();
        let first = now.elapsed().as_secs();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), [first, now.elapsed().as_secs()])
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_needs_no_comments() {
        let (status, text, times) = told(Duration::from_secs(2), Ok(200)).await;
        assert_eq!((status, times), (200, [2, 2]));
        assert!(text.contains("at last") && text.ends_with("[DONE]\n\n") && !text.contains(": keep-alive"), "{text}");
        let (status, text, _) = told(Duration::from_secs(2), Ok(429)).await;
        assert_eq!(status, 429);
        assert!(text.contains("rate_limit_exceeded"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_model_thinks_the_client_hears_of_it() {
        let (status, text, times) = told(Duration::from_secs(35), Ok(200)).await;
        assert_eq!((status, times), (200, [10, 35]));
        assert_eq!(text.matches(": keep-alive\n\n").count(), 3, "{text}");
        assert!(text.ends_with("[DONE]\n\n"));
        // Its head is out: what goes wrong then is told in the stream.
        let (status, text, _) = told(Duration::from_secs(35), Ok(429)).await;
        assert_eq!(status, 200);
        assert!(text.contains("rate_limit_exceeded") && !text.contains("[DONE]"), "{text}");
        let (_, text, _) = told(Duration::from_secs(35), Err(())).await;
        assert!(text.contains("has no end"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_inside_of_a_stream_is_filled_too() {
        let pieces = futures_util::stream::unfold(0, |n| async move {
            (n < 2).then_some(())?;
            sleep(Duration::from_secs(25)).await;
            let frame = http_body::Frame::data(Bytes::from(format!("data: {EVENT}\r\n\r\n")));
            Some((Ok::<_, Infallible>(frame), n + 1))
        });
        let body = Box::pin(http_body_util::StreamBody::new(pieces));
        let shape = Shape { stream: true, ..Shape::default() };
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
        let said = Said::told(Telling::of(body, exchange)).collect().await.unwrap().to_bytes();
        let text = String::from_utf8(said.to_vec()).unwrap();
        assert_eq!((text.matches(": keep-alive").count(), text.matches("at last").count()), (4, 2), "{text}");
    }
}
