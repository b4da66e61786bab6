//! Pools of many keys: what a look at every key came to is kept for a moment, so that those who are refused one after the
//! other do not each look at all of them.

use std::time::Duration;

use super::{Affinity, Exhausted, ask::Ask, state::State};
use crate::{limit::Need, time::Tick};

/// Of fewer keys each look is cheap.
const MANY: usize = 4_096;
/// A look takes less than a tenth of this for each key.
const EACH: Duration = Duration::from_micros(2);
/// What is said is no older.
const LONGEST: Duration = Duration::from_millis(250);

/// Why no key could carry a demand.
pub(super) struct Lately {
    lane: u16,
    need: Need,
    free: bool,
    wait: Option<Duration>,
    at: Tick,
    until: Tick,
    said: Exhausted,
}

impl Lately {
    /// Whether it is what this asks, of so many keys.
    fn is_of(&self, ask: &Ask<'_>, keys: usize) -> bool {
        (self.lane, self.need, self.free, self.wait) == (ask.lane, ask.need, ask.demand.free, ask.demand.wait)
            && self.said.keys == keys
            && ask.now.tick < self.until
    }

    fn as_of(&self, now: Tick) -> Exhausted {
        let since = now.since(self.at);
        let left = |time: Option<Duration>| time.map(|time| time.saturating_sub(since));
        Exhausted { next_in: left(self.said.next_in), may_in: left(self.said.may_in), ..self.said.clone() }
    }
}

impl State {
    /// How long a look at every key is good for: not at all where there are few.
    pub(super) fn look_lasts(&self) -> Option<Duration> {
        let keys = self.roster.len();
        (keys >= MANY).then(|| LONGEST.min(EACH * u32::try_from(keys).unwrap_or(u32::MAX)))
    }

    /// [`State::diagnose`], or what it said of such a demand a moment ago, nothing having come back since.
    pub(super) fn diagnose_lately(&mut self, ask: &Ask<'_>) -> Exhausted {
        let any = matches!(ask.demand.affinity, Affinity::Any | Affinity::Near(_) | Affinity::Lasting);
        let alike = any && ask.ticket == u64::MAX && ask.demand.particulars.earlier().is_none();
        let Some(lasts) = self.look_lasts().filter(|_| alike) else { return self.diagnose(ask) };
        let keys = self.roster.len();
        if let Some(lately) = self.lately.as_deref().filter(|lately| lately.is_of(ask, keys)) {
            return lately.as_of(ask.now.tick);
        }
        let said = self.diagnose(ask);
        let now = ask.now.tick;
        // When it says that a key comes it is to be seen whether one did.
        let until = [said.next_in, said.may_in].into_iter().flatten().fold(lasts, Duration::min);
        let (lane, need, free, wait) = (ask.lane, ask.need, ask.demand.free, ask.demand.wait);
        // Exits say of each how long it rests.
        self.lately = said
            .exits
            .is_empty()
            .then(|| Box::new(Lately { lane, need, free, wait, at: now, until: now.plus(until), said: said.clone() }));
        said
    }
}
