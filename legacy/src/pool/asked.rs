//! What a request's head demands, where nobody said so.

use std::{mem, time::Duration};

use http::{Request, header, request};

use super::{Demand, KeyPool, ServedBy};
use crate::{
    error::Error,
    provider::{ModelIn, NamedIn},
};

/// Bytes of a request's body that make about one token.
const BYTES_PER_TOKEN: u64 = 4;

impl Demand {
    /// What a request demands: what somebody said of it before, completed by what its head tells.
    #[inline]
    pub(crate) fn of(said: Option<Self>, head: &request::Parts, pool: &KeyPool) -> Self {
        let mut demand = said.unwrap_or_default();
        demand.complete_by(head, pool);
        demand
    }

    /// The same in place.
    #[inline]
    pub(crate) fn complete_by(&mut self, head: &request::Parts, pool: &KeyPool) {
        if self.model.is_none() {
            self.complete(head, pool);
        }
    }

    /// The same for a request that is still whole. Its head is as before afterwards.
    pub(crate) fn of_request<B>(said: Option<Self>, request: &mut Request<B>, pool: &KeyPool) -> Self {
        let mut bare = Request::new(());
        mem::swap(bare.method_mut(), request.method_mut());
        mem::swap(bare.uri_mut(), request.uri_mut());
        mem::swap(bare.headers_mut(), request.headers_mut());
        let (head, ()) = bare.into_parts();
        let demand = Self::of(said, &head, pool);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = head.headers;
        demand
    }

    /// The model where it stands in the head, whether it is counted at all, and a guess at its tokens from the length
    /// of the body.
    #[inline(never)]
    fn complete(&mut self, head: &request::Parts, pool: &KeyPool) {
        let asks = pool.provider().asks(head);
        match asks.model {
            ModelIn::Head(model) => self.model = Some(pool.share_name(&model)),
            elsewhere => self.named_in = NamedIn::of(&elsewhere),
        }
        self.free |= asks.free;
        if self.input_tokens == 0 {
            let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            self.input_tokens = length.unwrap_or(0_u64) / BYTES_PER_TOKEN;
            self.estimated = true;
        }
    }
}

impl Demand {
    /// What was tried for this demand before; `None` for a first attempt.
    pub(crate) fn tried(&self) -> Option<ServedBy> {
        let earlier = self.particulars.earlier.clone()?;
        Some(ServedBy::nobody(self.particulars.requested.clone(), self.model.clone(), earlier))
    }
}

impl Error {
    /// Whether waiting for a key is worth while.
    pub(crate) fn may_end_within(&self, wait: Duration) -> bool {
        self.exhausted().is_some_and(|out| out.may_end_within(wait))
    }

    /// Tells what was tried before no key could be had.
    pub(crate) fn tried(self, demand: &Demand) -> Self {
        match demand.tried() {
            Some(tried) => self.with_served_by(tried),
            None => self,
        }
    }
}
