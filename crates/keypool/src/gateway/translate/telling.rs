//! A conversation's answer, told in the caller's dialect: whole, or as it comes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use keypool_dialect::{Exchange, Fault, gemini};
use tower::Service;
use tower_keypool::{BoxError, Demand, Error, ServedBy};

use super::{
    Answered, Failed, Translator, answer, demanding,
    fitted::LeftOut,
    ignored, refused,
    upstream::{check, send},
    upstream_fault,
};
use crate::{
    gateway::answer::{
        body::Said,
        translated_stream::{Awaited, Missed, Telling},
    },
    outgoing::Outgoing,
    status::Outcome,
};

/// After so long without an answer's first word a stream begins without it, so that nobody between gives up. What goes wrong
/// from then on is an event of the stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many keys may say of a request that they were switched off before it is told that: as many owners are asked of what a
/// refusal does not name.
const MOST_SWITCHED_OFF: usize = 16;

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// A whole answer.
    pub(super) async fn whole(
        &mut self,
        request: impl Fn() -> Request<Outgoing>,
        mut exchange: Exchange,
        left_out: &LeftOut,
    ) -> Result<Answered<B>, Failed> {
        let (mut served_by, mut body) = self.fetch(request()).await?;
        // The stack has let it go up, since it is a good answer; of a stream it sees the first event. The key rests by now.
        for _ in 0..MOST_SWITCHED_OFF {
            if !gemini::is_switched_off(&body) {
                break;
            }
            (served_by, body) = self.fetch(request()).await?;
        }
        if let Some(model) = served_by.as_ref().and_then(ServedBy::used_model) {
            exchange.answers(model);
        }
        let media_type = exchange.media_type();
        let said = exchange.whole(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        drop(body);
        let ignored = left_out.for_model_of(served_by.as_ref());
        let (outcome, mut response) = answer(self.answers.until_sent(said), served_by, &ignored);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Ok((outcome, response))
    }

    /// A stream: its head goes out with the first of the provider's words, or when that takes long. What failed before has
    /// the status of its failure.
    pub(super) async fn tell(
        self,
        request: Request<Outgoing>,
        exchange: Exchange,
        left_out: &LeftOut,
    ) -> Result<Answered<B>, Failed> {
        let parting = self.tenant.parting(&self.farewell);
        let Self { stack, caller, traffic, held, .. } = self;
        let request = demanding(request, Demand::retold);
        let mut call = Box::pin(async move {
            // Its body is here until it is sent.
            let _held = held;
            let response = send(stack, &traffic, request).await?;
            check(response).await
        });
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        let answered = tokio::select! {
            biased;
            answered = &mut call => Some(answered?),
            () = &mut patience => None,
        };
        let (body, served_by) = if let Some(response) = answered {
            let served_by = response.extensions().get::<ServedBy>().cloned();
            let begun = Telling::of(response, exchange, parting).begun(patience).await;
            let failed =
                |fault: Fault| Failed { served_by: served_by.clone(), outcome: Outcome::Answered, ..fault.into() };
            (begun.map_err(failed)?, served_by)
        } else {
            let awaited: Awaited<B> = Box::pin(async move {
                let missed = |failed: Failed| {
                    let fault = failed.fault.clone();
                    Missed { fault, head: refused::<B>(caller, failed).map(drop) }
                };
                call.await.map_err(missed)
            });
            (Telling::awaiting(awaited, exchange, parting), None)
        };
        let mut response = Response::new(Said::told(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let ignored = left_out.for_model_of(served_by.as_ref());
        ignored::name(&mut response, served_by, &ignored);
        Ok((Outcome::Answered, response))
    }
}
