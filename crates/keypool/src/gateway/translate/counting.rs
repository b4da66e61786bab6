//! Tokens, counted.

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use keypool_dialect::gemini;
use tower::Service;
use tower_keypool::{BoxError, Demand, Error};

use super::{Answered, Failed, Translator, answer, bad_model, request, upstream_fault};
use crate::{gateway::forward::resource, outgoing::Outgoing};

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// How many tokens a conversation has.
    pub(super) async fn count(&mut self, parts: Parts, bytes: Bytes) -> Result<Answered<B>, Failed> {
        let mut asked = self.caller.conversation(&bytes, self.strict)?;
        self.may_use(&asked.conversation.model)?;
        self.resolve(&mut asked.conversation.model);
        gemini::fit(&mut asked.conversation, &mut asked.ignored, self.strict)?;
        let nothing = resource::names_nothing(&asked.conversation);
        let names = resource::names_of(&asked.conversation);
        let way = self.way_to(&names).await?;
        self.bring(&mut asked.conversation).await?;
        let path = gemini::path_of(&asked.conversation.model, ":countTokens").ok_or_else(bad_model)?;
        let pieces = gemini::counted(&asked.conversation, bytes.clone())?;
        let demand = resource::naming(Self::led(self.wish.on(Demand::any_model()), way), &names);
        let demand = if nothing { demand.names_nothing() } else { demand };
        let (served_by, body) = self.fetch(request(Method::POST, &path, &parts, pieces, Some(demand))).await?;
        let tokens = gemini::tokens(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(self.caller.counted(tokens).into_bytes(), served_by, &asked.ignored))
    }
}
