//! How a request ends: a line tells of its answer, which is counted on its way out and signed as clients know it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, header};
use http_body::Body;
use tower_keypool::{BoxError, ServedBy, StreamEnd};

use crate::{
    gateway::{
        Answer,
        answer::{
            body::{Said, identify},
            exhausted::as_limited,
        },
        dialect::Dialect,
        log::{line::RequestLine, span},
    },
    status::{Heard, Outcome, Traffic, Visit, class_of},
};

/// What is told of a request once its answer begins.
pub(super) struct Closing<'g> {
    pub(super) line: RequestLine,
    /// Behind a pointer: it goes on with the answer, which is moved some ten times on its way.
    pub(super) visit: Box<Visit>,
    /// Where no key may serve, this dialect calls it a limit.
    pub(super) limited: Option<Dialect>,
    pub(super) traffic: &'g Arc<Traffic>,
}

impl Closing<'_> {
    /// Tells of an answer whose head is there.
    pub(super) fn end<B: Body<Data = Bytes>>(self, outcome: Outcome, mut response: Response<Said<B>>) -> Answer<B>
    where
        B::Error: Into<BoxError>,
    {
        self.line.end(&mut response, self.traffic);
        counted(self.visit, outcome, self.limited, response)
    }

    /// Tells of an answer; of one that begins before the provider's head is there once it is, as that says.
    pub(super) fn end_or_await<B: Body<Data = Bytes>>(
        mut self,
        outcome: Outcome,
        mut response: Response<Said<B>>,
    ) -> Answer<B>
    where
        B::Error: Into<BoxError>,
    {
        response.body_mut().tell_of_failure(|| self.visit.end());
        if !response.body().awaits_head() {
            return self.end(outcome, response);
        }
        let (heard, span) = (self.visit.later(), self.visit.span().cloned());
        let (line, traffic) = (self.line.ahead(&mut response), Arc::clone(self.traffic));
        response.body_mut().tell_of_head(Box::new(move |head: &Response<()>| {
            if let Some(span) = &span {
                span::record(span, head);
            }
            let model = head.extensions().get::<ServedBy>().and_then(ServedBy::used_model).map(Box::from);
            let _ = heard.set(Heard { model, class: class_of(head.status()) });
            line.heard(head, &traffic);
        }));
        counted(self.visit, outcome, self.limited, response)
    }
}

/// An answer whose way out is followed.
///
/// An error whose text may have broken off keeps its status, and as much of the text as came: a connection that is cut
/// before its head went out would tell nothing.
fn counted<B: Body<Data = Bytes>>(
    mut visit: Box<Visit>,
    outcome: Outcome,
    limited: Option<Dialect>,
    mut response: Response<Said<B>>,
) -> Answer<B>
where
    B::Error: Into<BoxError>,
{
    if let (Outcome::Exhausted, Some(dialect)) = (outcome, limited) {
        response = as_limited(response, dialect);
    }
    identify(&mut response);
    if let Some(end) = response.extensions_mut().remove::<StreamEnd>() {
        visit.ends_as(end);
    }
    if let Some(span) = visit.span() {
        span::record(span, &response);
    }
    if visit.is_awaited() {
        visit.of_model(response.extensions().get::<ServedBy>().and_then(ServedBy::used_model));
    }
    let class = class_of(response.status());
    let cut = response.status().as_u16() >= 400 && response.body().size_hint().exact().is_none();
    if cut {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.map(|body| visit.answer(outcome, class, cut, body))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Full};
    use keypool_dialect::{Caller, Exchange, Fault, Shape, gemini, openai::OpenAi};
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::{Clock, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody};

    use super::*;
    use crate::{
        gateway::{
            answer::translated_stream::{Awaited, Missed, Telling},
            farewell::{Farewell, Parting},
            log::trail::Trails,
        },
        status::Afterwards,
    };

    /// Of a stream whose head goes out before the provider's: what is remembered of it, and whether it counts as good.
    async fn told(status: StatusCode) -> (serde_json::Value, bool, Option<Box<str>>) {
        let key = Key::new("AIza-not-a-real-key-000").id("one");
        let pool = KeyPool::builder(Gemini::new()).key(key).build().unwrap();
        let answers = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        });
        let request = Request::post("/v1beta/models/m:generateContent").body(Full::default()).unwrap();
        let served = KeyPoolLayer::new(&pool).layer(answers).oneshot(request).await.unwrap();
        let (mut head, _) = served.into_parts();
        head.status = status;
        let awaited: Awaited<Full<Bytes>> = Box::pin(async move {
            if status.is_success() {
                let event = r#"{"candidates":[{"content":{"parts":[{"text":"late"}]},"finishReason":"STOP"}]}"#;
                return Ok(Response::from_parts(head, Full::from(format!("data: {event}\r\n\r\n"))));
            }
            Err(Missed { fault: Fault::invalid("bad"), head: Response::from_parts(head, ()) })
        });
        let shape = Shape { stream: true, ..Shape::default() };
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
        let response =
            Response::new(Said::told(Telling::awaiting(awaited, exchange, Parting::from(&Farewell::of_gateway()))));

        let traffic = Arc::new(Traffic::new(Clock::system()));
        let trails = Arc::new(Trails::new(Clock::system()));
        let (sender, gone) = mpsc::channel();
        let mut visit = Box::new(Visit::begin(&traffic, None, None));
        visit.afterwards(Afterwards(Box::new(move |gone| sender.send((gone.good, gone.model.clone())).unwrap())));
        let mut line = RequestLine::begin(&Request::new(()), true, &traffic, None);
        line.followed(trails.follow(&http::Method::POST, "/v1/chat/completions", line.began(), false));
        let closing = Closing { line, visit, limited: None, traffic: &traffic };
        let answer = closing.end_or_await(Outcome::Answered, response);
        assert!(answer.headers().contains_key("x-request-id"));
        assert!(trails.all().is_empty(), "nothing is known of it");
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_ne!(text, "");
        let (good, model) = gone.recv().unwrap();
        (trails.all().remove(0), good, model)
    }

    #[tokio::test]
    async fn what_was_awaited_is_told_as_it_came() {
        for (status, was_good) in [(StatusCode::OK, true), (StatusCode::BAD_REQUEST, false)] {
            let (line, good, model) = told(status).await;
            assert_eq!((&line["status"], &line["model"]), (&status.as_u16().into(), &"m".into()), "{line}");
            assert_eq!((good, model.as_deref()), (was_good, Some("m")), "{line}");
        }
    }
}
