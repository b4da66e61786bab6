//! Places that a process drew from units that the board keeps.

use super::Holder;
use crate::{
    share::{
        ledger::{Moment, Spent},
        names::{Kind, UnitId},
        wire::{Reply, Settled},
    },
    time::Tick,
};

/// Places of one draw.
#[derive(Debug)]
pub(super) struct Draw {
    unit: UnitId,
    number: u64,
    requests: u64,
    tokens: u64,
    until: Tick,
    /// The dates that it counts on.
    dates: (u16, u16),
    starts: Vec<(Tick, u64, u64)>,
}

impl Draw {
    fn has_room(&self, spent: &Spent, dates: (u16, u16), now: Tick) -> bool {
        let counts = self.dates.0 <= dates.0 && dates.1 <= self.dates.1;
        now < self.until && counts && self.requests >= spent.requests && self.tokens >= spent.input_tokens
    }

    /// Nothing more comes of it.
    fn is_over(&self, now: Tick) -> bool {
        now >= self.until || self.requests == 0
    }
}

impl Holder {
    /// Whether a drawn place carries this request.
    pub(super) fn has_drawn(&self, unit: &UnitId, spent: &Spent, dates: (u16, u16), now: Tick) -> bool {
        self.draws.iter().any(|draw| draw.unit == *unit && draw.has_room(spent, dates, now))
    }

    /// A request takes a drawn place; whether there was one.
    pub(super) fn take_drawn(&mut self, unit: &UnitId, spent: &Spent, dates: (u16, u16), now: Tick) -> bool {
        let draw = self.draws.iter_mut().find(|draw| draw.unit == *unit && draw.has_room(spent, dates, now));
        let Some(draw) = draw else { return false };
        draw.requests -= spent.requests;
        draw.tokens -= spent.input_tokens;
        draw.starts.push((now, spent.requests, spent.input_tokens));
        true
    }

    /// Nobody knows how old they are.
    pub(super) fn void_draws(&mut self) {
        self.draws.iter_mut().for_each(|draw| draw.until = Tick::ZERO);
    }

    /// Units of which places are at hand.
    pub fn drawn(&self, now: Moment) -> impl Iterator<Item = &UnitId> {
        self.draws.iter().filter(move |draw| !draw.is_over(now.tick)).map(|draw| &draw.unit)
    }

    /// For how many requests of a kind.
    pub(super) fn drawn_room(&self, kind: &Kind, now: Tick) -> u64 {
        let of_kind = |draw: &&Draw| self.infos.get(&draw.unit).is_some_and(|info| info.kind == *kind);
        self.draws.iter().filter(of_kind).filter(|draw| !draw.is_over(now)).map(|draw| draw.requests).sum()
    }

    /// What became of those that are over; told until the board has heard it.
    pub(super) fn settled(&self, now: Tick) -> Vec<Settled> {
        let ago = |then: Tick| -(now.since(then).as_millis() as i64);
        let settled = |draw: &Draw| Settled {
            unit: draw.unit.clone(),
            draw: draw.number,
            starts: draw.starts.iter().map(|start| (ago(start.0), start.1, start.2)).collect(),
        };
        self.draws.iter().filter(|draw| draw.is_over(now)).map(settled).collect()
    }

    /// The board heard of these, and gave out others.
    pub(super) fn draw_anew(&mut self, reply: &Reply, settled: &[u64], dates: (u16, u16), sent: Tick) {
        for over in self.draws.extract_if(.., |draw| settled.contains(&draw.number)) {
            self.counters.undrawn += over.requests;
        }
        for drawn in &reply.draws {
            self.counters.drawn += drawn.requests;
            let life = std::time::Duration::from_millis(drawn.life);
            self.draws.push(Draw {
                unit: drawn.unit.clone(),
                number: drawn.draw,
                requests: drawn.requests,
                tokens: drawn.tokens,
                until: sent.plus(life).minus(self.settings.margin),
                dates,
                starts: Vec::new(),
            });
        }
    }
}
