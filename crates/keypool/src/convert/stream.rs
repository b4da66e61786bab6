//! A streamed response, translated as it arrives.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use keypool_dialect::ResponseTranslator;
use tower_keypool::{Attempts, Usage};

use super::{
    exchange::{Caller, ConvertError, Exchange, Sent},
    may_be_better, served_model,
};
use crate::{app::AppState, proxy::handler::Incoming, tenants::Quota};

/// Interval of pings to the client while nothing else is sent: some proxies cut streams that are idle for 30 s.
const PING: Duration = Duration::from_secs(15);

/// A response that is being translated. Dropping it ends the request to the provider.
pub struct Translation {
    exchange: Exchange,
    answer: ResponseTranslator,
    model: String,
    quota: Quota,
    source: Source,
    attempts: Attempts,
    is_second: bool,
}

/// The source of the next bytes.
enum Source {
    Sending(BoxFuture<'static, Sent>),
    Reading(Body),
    Ended,
}

impl Translation {
    pub fn new(exchange: Exchange, answer: ResponseTranslator, model: &str, quota: Quota) -> Self {
        let source = Source::Sending(exchange.send(None));
        Self {
            exchange,
            answer,
            model: model.to_owned(),
            quota,
            source,
            attempts: Attempts::default(),
            is_second: false,
        }
    }

    /// Responds with a stream. An error before the first bytes becomes a response with its own status.
    pub async fn respond(mut self, caller: &Caller<'_>, ignored: &[String]) -> Result<Response, ConvertError> {
        let first = self.next_or_ping().await?;
        let app = AppState::clone(&self.exchange.app);
        let head = self.exchange.served(self.attempts.clone());
        let media_type = self.answer.media_type();
        let begun = futures_util::stream::iter(first.map(Ok::<_, Infallible>));
        let rest = futures_util::stream::unfold(Box::new(self), |mut translation| async {
            let bytes = match translation.next_or_ping().await {
                Ok(bytes) => bytes?,
                Err(failure) => translation.answer.fail(&failure.error),
            };
            Some((Ok(bytes), translation))
        });
        let body = Body::from_stream(futures_util::StreamExt::chain(begun, rest));
        let Incoming { route, tenant, .. } = caller.incoming;
        // The translation reports the usage.
        let body = Quota::default().metered(body, tenant, Some(route.dialect));
        Ok(head.respond(&app, media_type, ignored, body))
    }

    async fn next_or_ping(&mut self) -> Result<Option<Bytes>, ConvertError> {
        let next = tokio::time::timeout(PING, self.next()).await;
        let next = next.unwrap_or_else(|_| Ok(Some(self.answer.ping())));
        next.inspect_err(|failure| {
            if self.answer.usage().input == 0 && !self.answer.has_begun() {
                self.quota.end_unserved(failure.result());
            }
        })
    }

    /// Returns the next bytes for the caller; `None` at the end. It is cancel safe.
    async fn next(&mut self) -> Result<Option<Bytes>, ConvertError> {
        loop {
            let bytes = match &mut self.source {
                Source::Ended => return Ok(None),
                Source::Sending(sent) => match sent.await {
                    Ok((body, attempts)) => {
                        self.answer.restart(served_model(&attempts, &self.model));
                        (self.attempts, self.source) = (attempts, Source::Reading(body));
                        continue;
                    }
                    // The second attempt failed: the answer of the first is used.
                    Err(_) if self.is_second && !self.answer.is_finished() => self.answer.finish(),
                    Err(failure) => {
                        self.source = Source::Ended;
                        return Err(failure);
                    }
                },
                Source::Reading(body) => {
                    // A broken connection counts as an answer without an end.
                    let (read, ended) = match body.frame().await {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => (self.answer.push(&data), false),
                            Err(_) => continue,
                        },
                        _ => (self.answer.close(), true),
                    };
                    if (ended || read.is_err()) && !self.is_second && may_be_better(&read, &self.answer) {
                        self.is_second = true;
                        self.source = Source::Sending(self.exchange.send(Some(&self.attempts)));
                        continue;
                    }
                    match read {
                        Ok(begun) if ended => self.answer.finish().map(|end| [begun, end].concat().into()),
                        read => read,
                    }
                }
            };
            self.exchange.app.signatures.keep(&mut self.answer);
            let usage = self.answer.usage();
            self.quota.report_usage(Usage::new(usage.input, usage.output));
            if bytes.is_err() || self.answer.is_finished() {
                self.source = Source::Ended;
            }
            let bytes = bytes.map_err(|error| ConvertError::from(error).after(self.attempts.clone()))?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}
