//! Vectors of texts. Each text counts as a request: what is too much for any key goes to several, one after the other.

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use keypool_dialect::{Embedded, Embedding, Fault, Kind, gemini, openai};
use tower::Service;
use tower_keypool::{Affinity, BoxError, Demand, Error};

use super::{Answered, Failed, Translator, answer, bad_model, request, upstream_fault};
use crate::outgoing::Outgoing;

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Vectors of all texts, in as many requests as that takes.
    pub(super) async fn embed(&mut self, parts: Parts, bytes: Bytes) -> Result<Answered<B>, Failed> {
        let (mut asked, mut ignored) = openai::embedding(&bytes, self.strict)?;
        self.mask(&mut ignored);
        self.may_use(&asked.model)?;
        let requested = self.resolve(&mut asked.model);
        let way = self.way_to_model(&asked.model).await?;
        let path = gemini::path_of(&asked.model, ":batchEmbedContents").ok_or_else(bad_model)?;
        let mut all = Embedded::default();
        let (mut served_by, mut left, mut at_once) = (None, &*asked.texts, gemini::MOST_AT_ONCE);
        let mut may_end = false;
        while !left.is_empty() {
            let (texts, others) = left.split_at(at_once.min(left.len()));
            if !(may_end || others.is_empty()) {
                self.may_ever_embed(&asked, way.clone())?;
                may_end = true;
            }
            let piece = gemini::embedding(&asked, texts)?;
            let demand = Self::led_by_model(self.wish.on(Demand::any_model()), way.clone());
            let fetched = self.fetch(request(Method::POST, &path, &parts, vec![piece], Some(demand))).await;
            let (by, body) = match fetched {
                // Each text counts as a request: several keys may carry what is too much for any of them.
                Err(Failed { most: Some(most), .. }) if most < texts.len() => {
                    at_once = most;
                    continue;
                }
                fetched => fetched?,
            };
            let some =
                gemini::embedded(&asked, texts.len(), &body).map_err(|fault| upstream_fault(fault, by.clone()))?;
            all.vectors.extend(some.vectors);
            all.tokens += some.tokens;
            self.wish.another();
            (served_by, left) = (by, others);
        }
        asked.model = requested.into();
        Ok(answer(self.answers.until_sent(openai::vectors(&asked, &all)), served_by, &ignored))
    }

    /// Whether so many texts could ever be had: what cannot is refused before any of them is paid for.
    fn may_ever_embed(&self, asked: &Embedding<'_>, way: Option<Affinity>) -> Result<(), Fault> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let model = asked.model.strip_prefix("models/").unwrap_or(&asked.model);
        let demand = Self::led(self.wish.on(Demand::new(pool.masked(model))), way);
        let texts = asked.texts.len();
        match pool.most_requests(demand) {
            Some(most @ 1..) if most < texts as u64 => {
                let why = format!(
                    "input: {texts} texts are too many: each counts as a request, and the limits of all keys here let \
                     {most} begin within the time that a request waits; send fewer at once"
                );
                Err(Fault::new(Kind::TooLarge, why).at("input"))
            }
            _ => Ok(()),
        }
    }
}
