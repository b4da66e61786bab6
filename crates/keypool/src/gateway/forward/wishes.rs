//! What a request says of how it is to be served: how long it may wait, and with whom.

use std::{sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, StatusCode};
use tower_keypool::{Affinity, AllowedModels, Demand, Meter, WaitingRoom};

use super::affinity::{Nearness, Numbers, Session};
use crate::{
    client::OverNew,
    gateway::{
        admit::{headers::Seen, tenant::Tenant, token::Token},
        dialect::Refusal,
    },
};

/// How requests wait for a key.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The longest that one may ask for.
    pub longest: Duration,
    /// Requests of one tenant that wait at once.
    pub most: usize,
    /// Where no key may serve in time the answer is a 429, else a 503.
    pub as_limited: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { longest: Duration::from_secs(60), most: 1_000, as_limited: false }
    }
}

const NO_WAIT: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "x-keypool-wait: expected how many seconds the request may wait for a key, such as 0, 2.5 or 30",
);

/// How long a request asks to wait, for the gateway's own that are made for it.
#[derive(Clone, Copy, Debug)]
struct Wait(Duration);

/// How long a request whose head this is asks to wait, if it says so.
pub(in crate::gateway) fn wait_of(head: &Extensions) -> Option<Duration> {
    head.get().map(|Wait(wait)| *wait)
}

/// What a request wishes.
#[derive(Clone, Default)]
pub(in crate::gateway) struct Wish {
    wait: Option<Duration>,
    room: Option<Arc<WaitingRoom>>,
    meter: Option<Arc<Meter>>,
    near: Option<Affinity>,
    allowed: Option<AllowedModels>,
    once: bool,
}

impl Wish {
    /// Of a request of this tenant.
    ///
    /// # Errors
    /// 400 where it cannot be understood.
    pub(in crate::gateway) fn of(
        (headers, seen): (&HeaderMap, &Seen<'_>),
        tenant: &Tenant,
        waiting: &Waiting,
        (nearness, token): (&Nearness, &Token),
    ) -> Result<Self, Refusal> {
        let wait = match seen.wait {
            None => None,
            Some(value) => {
                let text = value.to_str().map_err(|_| NO_WAIT)?;
                Some(seconds(text).ok_or(NO_WAIT)?.min(waiting.longest))
            }
        };
        // The pool has a room for those who have none.
        let room = (!tenant.is_default()).then(|| tenant.room(waiting.most));
        let session = nearness.session(headers, seen);
        let near = session.and_then(|name| Some(Numbers::of(nearness, token, tenant)?.session(name.as_bytes())));
        Ok(Self { wait, room, meter: None, near, allowed: tenant.allowed().cloned(), once: false })
    }

    /// And whose answer is paid for.
    pub(in crate::gateway) fn metered(mut self, meter: Option<Arc<Meter>>) -> Self {
        self.meter = meter;
        self
    }

    /// And what makes something that stays is not sent again where that may have been made.
    pub(in crate::gateway) fn make(&mut self, something: bool) {
        self.once = something;
    }

    /// The same, said of a demand.
    pub(in crate::gateway) fn on(&self, demand: Demand) -> Demand {
        self.clone().over(demand)
    }

    fn over(self, mut demand: Demand) -> Demand {
        if let Some(meter) = self.meter {
            demand = demand.metered(meter);
        }
        if let Some(room) = &self.room {
            demand = demand.waiting_in(room);
        }
        if let Some(near) = self.near {
            demand = demand.affinity(near);
        }
        if let Some(allowed) = self.allowed {
            demand = demand.only_models(allowed);
        }
        if self.once {
            demand = demand.once();
        }
        match self.wait {
            Some(wait) => demand.wait(wait),
            None => demand,
        }
    }

    /// One of the caller's requests has its answer, and another follows: both are paid for.
    pub(in crate::gateway) fn another(&self) {
        if let Some(meter) = &self.meter {
            meter.settle();
        }
    }

    /// And which owner it had better meet, where it did not say that itself.
    pub(in crate::gateway) fn near(&mut self, found: impl FnOnce() -> Option<Affinity>) {
        if self.near.is_none() {
            self.near = found();
        }
    }

    /// Whether it says which owner it had better meet.
    pub(in crate::gateway) fn is_near(&self) -> bool {
        self.near.is_some()
    }

    /// The session that it names, as long as it was not said which owner it had [better meet](Self::near).
    pub(in crate::gateway) fn session(&self) -> Option<u64> {
        if let Some(Affinity::Near(number)) = self.near { Some(number) } else { None }
    }

    /// Says it in a request's head, which then has all of it.
    pub(in crate::gateway) fn say_in(&mut self, head: &mut Extensions) {
        let said = std::mem::take(self);
        said.say_the_rest_in(head);
        if said.is_any() {
            head.insert(said.over(Demand::any_model()));
        }
    }

    fn say_the_rest_in(&self, head: &mut Extensions) {
        if let Some(number) = self.session() {
            head.insert(Session(number));
        }
        if self.once {
            head.insert(OverNew);
        }
        if let Some(wait) = self.wait {
            head.insert(Wait(wait));
        }
    }

    /// A demand that says it; most requests wish nothing.
    pub(in crate::gateway) fn demand(&self) -> Option<Demand> {
        self.is_any().then(|| self.on(Demand::any_model()))
    }

    fn is_any(&self) -> bool {
        self.once || self.wait.is_some() || self.room.is_some() || self.meter.is_some() || self.near.is_some()
    }
}

/// A length of time as people write it; neither a sign nor an exponent.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii();
    let plain = text.len() <= 16
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.starts_with(|first: char| first.is_ascii_digit());
    if !plain {
        return None;
    }
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_digits() {
        for (text, millis) in [("0", 0), ("2", 2_000), ("2.5", 2_500), (" 30 ", 30_000), ("0.001", 1), ("5.", 5_000)] {
            assert_eq!(seconds(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-1", "+1", "1e9", "inf", "NaN", "5s", "1,5", ".5", "1.2.3", "0x10", "99999999999999999999"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
