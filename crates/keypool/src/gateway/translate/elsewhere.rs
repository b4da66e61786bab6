//! Requests for models of other providers than the one that is translated for.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Request, Response, header, request::Parts};
use http_body::Body;
use keypool_dialect::Fault;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};

use super::{Answered, Failed, Translator, refusal::without_answer};
use crate::{
    gateway::{beside::model_of, dialect::Dialect, route::Task, said},
    outgoing::Outgoing,
    status::Outcome,
};

/// Through a stack, as it is.
pub(in crate::gateway) async fn pass<S, B>(mut stack: S, request: Request<Outgoing>) -> Result<Response<B>, Error>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
{
    poll_fn(|cx| stack.poll_ready(cx)).await?;
    stack.call(request).await
}

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// The stack that a request goes to as it is. One of the dialect that is translated to becomes this translator's own.
    ///
    /// # Errors
    /// Where the model's provider speaks a dialect that is not translated to.
    pub(super) fn elsewhere(&mut self, bytes: &[u8]) -> Result<Option<S>, Fault> {
        if self.others.is_empty() {
            return Ok(None);
        }
        let Some(model) = model_of(bytes) else { return Ok(None) };
        let Some(other) = self.others.iter().find(|other| other.has(&model)) else { return Ok(None) };
        self.may_use(&model)?;
        if other.dialect == self.dialect {
            return Ok(Some(other.stack.clone()));
        }
        if other.dialect == Dialect::Gemini {
            self.stack = other.stack.clone();
            return Ok(None);
        }
        let why = "model: nothing is translated for its provider; ask in that one's own dialect";
        Err(Fault::invalid(format!("{why} (/to/{}/…)", other.name)).at("model"))
    }

    /// Hands a request on to a provider of its own dialect.
    pub(super) async fn hand_on(
        self,
        stack: S,
        task: &Task,
        parts: Parts,
        bytes: Bytes,
    ) -> Result<Answered<B>, Failed> {
        let path = task.path(self.dialect);
        let target = match parts.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut request = Request::from_parts(parts, Outgoing::written(vec![bytes]));
        *request.uri_mut() = target.parse().unwrap_or_default();
        // The body says itself how long it is.
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        if let Some(demand) = self.wish.demand() {
            request.extensions_mut().insert(demand);
        }
        let response = pass(stack, request).await.map_err(|error| without_answer(&error))?;
        self.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
        Ok((Outcome::Answered, said::passed_on(response)))
    }
}
