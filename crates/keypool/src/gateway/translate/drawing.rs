//! Images by a description, or from others, as many requests as the model needs for them.

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use keypool_dialect::{Drawn, Picture, gemini, openai};
use tower::Service;
use tower_keypool::{BoxError, Demand, Error};

use super::{Answered, Failed, Translator, answer, bad_model, request, upstream_fault};
use crate::outgoing::Outgoing;

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// All images that were asked for, one request after the other: who wants ten waits, and has no ten keys at work.
    pub(super) async fn draw(
        &mut self,
        parts: Parts,
        bytes: Bytes,
        originals: Vec<Picture>,
    ) -> Result<Answered<B>, Failed> {
        let mut requested = String::new();
        let (mut asked, mut ignored) = openai::drawing(&bytes, self.strict, |model| requested = self.resolve(model))?;
        // What is sent is written of them, and held beside them until it is.
        self.held.hold(2 * originals.iter().map(|picture| picture.data.len()).sum::<usize>())?;
        asked.originals = originals;
        self.mask(&mut ignored);
        self.may_use(&requested)?;
        let way = self.way_to_model(&asked.model).await?;
        let (mut all, mut served_by) = (Drawn::default(), None);
        let (mut left, mut written) = (asked.count, None);
        while left > 0 {
            let (verb, count) = gemini::verb_of_drawing(&asked.model, left);
            let path = gemini::path_of(&asked.model, verb).ok_or_else(bad_model)?;
            let (pieces, about) = match written.take() {
                Some((of, pieces, about)) if of == count => (pieces, about),
                _ => gemini::drawing(&asked, count)?,
            };
            written = Some((count, pieces.clone(), about));
            let demand = self.wish.on(Demand::any_model().about_tokens(about));
            let demand = Self::led_by_model(demand, way.clone());
            let (by, body) = self.fetch(request(Method::POST, &path, &parts, pieces, Some(demand))).await?;
            let some = gemini::drawn(&asked.model, &body).map_err(|fault| upstream_fault(fault, by.clone()))?;
            all.pictures.extend(some.pictures);
            all.usage = all.usage.and(some.usage);
            self.wish.another();
            (left, served_by) = (left - count, by);
        }
        Ok(answer(self.answers.until_sent(openai::pictures(&all, self.created())), served_by, &ignored))
    }
}
