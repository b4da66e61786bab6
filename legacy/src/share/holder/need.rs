//! What a process needs: demand, smoothed, and what follows from it: claims and units given back.

use std::{collections::BTreeMap, time::Duration};

use super::{HeldUnit, Holder, Returning, last::Last, named};
use crate::{
    share::{
        counts,
        ledger::{Ledger, Moment},
        names::{Kind, UnitId},
        wire::{Claim, Mode},
    },
    time::Tick,
};

/// How long the first pause is after a claim that was not met, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// So many that wait count as demand, at the most.
const LINE: f64 = 16.0;

/// How much more than the demand is kept.
const RESERVE: f64 = 1.1;

/// The demand for units of one kind.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Requests a second, smoothed.
    pub(super) rate: f64,
    /// Requests asked for since the last renewal.
    asked: u64,
    /// When it was seen last that some were.
    asked_at: Option<Tick>,
    /// Requests that wait.
    waiting: u64,
    /// Units that some of them cannot do without.
    pub(super) named: Vec<UnitId>,
    /// Those that were asked for last and that another has.
    pub(super) refused: Vec<UnitId>,
    /// Tokens of the prompt that each of those who waited last needed, about.
    each: u64,
    /// No claim for those that wait is sent before.
    not_before: Tick,
    pause: Duration,
    /// For how many requests others lack units.
    pub(super) wanted: u64,
    /// There are fewer units than processes that ask for them: places are drawn.
    pub(super) drawn: bool,
    /// The same, and units go round.
    pub(super) rotates: bool,
    /// What lacked was served without units lately, and when last: nobody waits for one, and each is to have its part.
    pub(super) aside: bool,
    pub(super) aside_at: Option<Tick>,
    /// What was passed on is left to others until then.
    pub(super) leaves_until: Option<Tick>,
    /// So much is held beyond the own share.
    pub(super) give: u64,
    /// The last unit with room goes to others.
    pub(super) last: Option<Last>,
    /// What lacked came just now.
    pub(super) came: bool,
}

impl Demand {
    /// For how many requests there should be room within `span`: what is to be expected, and a little more.
    pub(super) fn expected(&self, span: Duration) -> f64 {
        let mean = self.rate * span.as_secs_f64();
        match mean {
            // So few are drawn when they are asked for.
            _ if mean < 0.05 || (self.drawn && mean < 3.0) => 0.0,
            _ if self.drawn => mean,
            _ => mean + 2.0 * mean.sqrt(),
        }
    }

    /// What the board is told, in a thousand seconds. Who was served nothing yet has its part by those who wait, as many a
    /// second; a long line is no rate, and gives no larger part than a short one.
    fn told(&self) -> u64 {
        let waiting = (self.waiting as f64).min(LINE);
        (self.rate.max(waiting) * 1000.0) as u64
    }

    /// Tokens of the prompt that each of those who wait needs, about; none where nobody waits.
    pub(super) fn each_waiting(&self) -> u64 {
        if self.waiting > 0 { self.each } else { 0 }
    }

    pub(super) fn waiting_now(&self) -> u64 {
        self.waiting
    }

    pub(super) fn waiting(&self) -> bool {
        self.waiting > 0
    }

    /// When to ask again.
    pub(super) fn retry(&self) -> Tick {
        self.not_before
    }

    pub(super) fn met(&mut self) {
        self.came |= !self.pause.is_zero();
        self.pause = Duration::ZERO;
        self.not_before = Tick::ZERO;
    }

    /// Whoever has what lacks hands it over when its turn is over, which is told.
    pub(super) fn is_to_be_told(&mut self, now: Tick, renew_every: Duration) {
        self.not_before = now.plus(renew_every);
    }

    pub(super) fn unmet(&mut self, now: Tick, renew_every: Duration) {
        let longest = if self.rotates { self.turn(renew_every).min(LONGEST_PAUSE) } else { LONGEST_PAUSE };
        let longest = if self.named.is_empty() { longest } else { named::pause(renew_every).min(longest) };
        self.pause = if self.pause.is_zero() { PAUSE.min(longest) } else { (self.pause * 2).min(longest) };
        self.not_before = now.plus(self.pause);
    }
}

impl Holder {
    /// Requests are asked for, served or not.
    pub fn asked(&mut self, kind: &Kind, requests: u64) {
        self.demand(kind).asked += requests;
    }

    /// Requests of this kind were served without a unit, as there was none here.
    pub(crate) fn served_aside(&mut self, kind: &Kind, now: Moment) {
        let demand = self.demand(kind);
        (demand.aside, demand.aside_at) = (true, Some(now.tick));
    }

    /// So many requests wait, or failed just now, since no unit that is held can serve them; zero when none do any more.
    /// `tokens` of the prompt they need together. The board is asked for more at once, as often as is sensible.
    pub fn lacking(&mut self, kind: &Kind, waiting: u64, tokens: u64, now: Moment) {
        let demand = self.demand(kind);
        demand.waiting = waiting;
        if waiting > 0 {
            demand.each = tokens.div_ceil(waiting);
            let at = demand.leaves_until.map_or(now.tick, |until| until.max(now.tick)).max(demand.not_before);
            self.hurry(at);
        }
    }

    /// A renewal before its time takes of what there is; when the next may be sent.
    pub(super) fn hasten(&mut self, now: Tick) {
        let passed = now.since(self.hasty.0).as_secs_f64();
        let (most, a_second) = (f64::from(self.settings.haste.0.max(1)), f64::from(self.a_second()));
        let left = (self.hasty.1 + passed * a_second).min(most) - 1.0;
        self.hasty = (now, left);
        self.unhurried = if left >= 1.0 { now } else { now.plus(Duration::from_secs_f64((1.0 - left) / a_second)) };
    }

    fn demand(&mut self, kind: &Kind) -> &mut Demand {
        if !self.demands.contains_key(kind) {
            self.demands.insert(kind.clone(), Demand::default());
        }
        self.demands.entry(kind.clone()).or_default()
    }

    /// Demand since the last renewal joins what was before.
    pub(super) fn smooth(&mut self, now: Moment) {
        let passed = now.tick.since(self.sent).as_secs_f64();
        if passed < 1e-3 {
            return;
        }
        let weight = 1.0 - (-passed / self.settings.smoothing.as_secs_f64()).exp();
        for demand in self.demands.values_mut() {
            if demand.asked > 0 {
                demand.asked_at = Some(now.tick);
            }
            let seen = std::mem::take(&mut demand.asked) as f64 / passed;
            demand.rate += (seen - demand.rate) * weight;
        }
    }

    /// How far ahead a process sees to it that it has room.
    pub(super) fn ahead(&self) -> Duration {
        let every = self.renews_every();
        every + every / 5
    }

    /// What is lacking of each kind.
    pub(super) fn claims(&self, ledger: &mut dyn Ledger, now: Moment) -> Vec<Claim> {
        let ahead = self.ahead();
        let mut claims = Vec::new();
        for (kind, demand) in &self.demands {
            // What goes round is asked for by those who wait, or would be served otherwise.
            let expected = if demand.rotates && !demand.aside { 0.0 } else { demand.expected(ahead) };
            let wanted = expected.ceil() as u64 + demand.waiting;
            // What is to be expected comes after those who wait elsewhere.
            let leaves = demand.leaves_until.is_some_and(|until| now.tick < until);
            let units = self.missing(demand);
            if units.is_empty() && (leaves || wanted == 0 || (demand.waiting == 0 && demand.wanted > 0)) {
                continue;
            }
            // How large those are that are to be expected nobody knows.
            let lacking = self.lack_of(kind, (wanted, 0), ahead, ledger, now);
            let waiting = (demand.waiting, demand.each_waiting());
            let lacking = lacking.max(self.lack_of(kind, waiting, Duration::ZERO, ledger, now));
            // What must have a certain unit does not ask for the one that was left.
            let lacking = if leaves { 0 } else { lacking };
            if lacking > 0 || !units.is_empty() {
                // Of those that wait it is known how many tokens they need; the others are like them.
                let tokens = demand.each.saturating_mul(lacking);
                let (kind, waiting, dates) = (kind.clone(), demand.waiting, ledger.dates(now));
                claims.push(Claim { kind, requests: lacking, tokens, waiting, units, dates });
            }
        }
        claims
    }

    /// For how many of so many requests, of so many tokens each, there will be no room.
    fn lack_of(
        &self,
        kind: &Kind,
        (requests, each): (u64, u64),
        within: Duration,
        ledger: &mut dyn Ledger,
        now: Moment,
    ) -> u64 {
        let mut left = requests.saturating_sub(self.drawn_room(kind, now.tick));
        for (unit, _) in self.of_kind(kind) {
            // One look at a few units is enough, where a process holds thousands.
            if left == 0 {
                break;
            }
            left = left.saturating_sub(ledger.room(unit, each, within, now));
        }
        left
    }

    /// Units to give back: idle ones that are not needed; where others lack some, used ones as well, and those beyond the
    /// own share.
    pub(super) fn surplus(&self, ledger: &mut dyn Ledger, now: Moment) -> Vec<(UnitId, bool)> {
        let ahead = self.ahead();
        // A renewal before its time makes nothing idle.
        let before = now.tick.minus(self.settings.renew_every);
        let since = self.anchor.map_or(Tick::ZERO, |anchor| anchor.tick.min(before));
        let mut all = self.passed_on(ledger, now);
        for (kind, demand) in &self.demands {
            let mut needed = demand.expected(ahead) + demand.waiting as f64;
            let lasts_on = demand.asked_at.is_some_and(|at| now.tick.since(at) <= self.settings.renew_every);
            // Another lacks some, and there is not one for each: the board keeps them.
            let all_go = demand.drawn && demand.wanted > 0;
            let mut held: Vec<_> = self
                .of_kind(kind)
                .filter(|(unit, _)| !(self.goes_round(unit, demand) || ledger.is_pending(unit)))
                .map(|(unit, held)| (held.touched >= since, unit))
                .collect();
            let mut rooms: Vec<_> = held
                .drain(..)
                .map(|(used, unit)| (used, ledger.room(unit, demand.each_waiting(), ahead, now), unit))
                .collect();
            // Idle ones first; of these the roomiest, which help others most.
            rooms.sort_by_key(|(used, room, _)| (*used, std::cmp::Reverse(*room)));
            let mut room: f64 = rooms.iter().map(|found| found.1 as f64).sum();
            let size = |unit: &UnitId| self.infos.get(unit).map_or(1, |info| counts::size(&info.limits));
            let mut capacity: u64 = rooms.iter().map(|found| size(found.2)).sum();
            let mut give = demand.give;
            let mut wanted = demand.wanted;
            if wanted == 0 {
                // A reserve as large as the need: what is given back too early costs a call.
                needed *= 2.0;
            }
            for (used, own, unit) in rooms {
                let idle = !used;
                let size = size(unit);
                // What serves the demand in the long run stays, unless others lack some. What is full helps none of them now,
                // and a board that is lost would forget when it opens; whoever asks for nothing any more tells them when.
                let keeps = own == 0 && (lasts_on || demand.waiting > 0);
                let yields = wanted > 0 && !keeps && (idle || room - own as f64 >= needed);
                let lasts = capacity.saturating_sub(size) as f64 >= (demand.rate * 60.0 * RESERVE).floor();
                let spare = idle && lasts && room - own as f64 >= needed;
                let guard = self.infos.get(unit).and_then(|info| info.guard.as_ref());
                let beyond = guard.is_some_and(|guard| self.wanted_guards.contains(guard));
                let beyond = beyond
                    || give >= size
                    || self.is_handed_over(unit, now.tick)
                    || (own > 0 && demand.is_last_and_over(unit, now.tick))
                    || (wanted > 0 && demand.rotates && own == 0);
                if spare || yields || beyond || all_go {
                    all.push((unit.clone(), yields || beyond));
                    wanted = wanted.saturating_sub(own);
                    room -= own as f64;
                    capacity = capacity.saturating_sub(size);
                    give = give.saturating_sub(size);
                }
            }
        }
        all
    }

    /// What is asked for of each kind, for the board.
    pub(super) fn told_demand(&self) -> BTreeMap<Kind, u64> {
        let told = |(kind, demand): (&Kind, &Demand)| (kind.clone(), demand.told());
        self.demands.iter().map(told).collect()
    }

    /// A unit goes back with the next renewal.
    pub(crate) fn give_back(&mut self, unit: &UnitId, mode: Mode) {
        if let Some(held) = self.units.remove(unit) {
            let last_start = held.last_start;
            self.returning.insert(unit.clone(), Returning { fence: held.fence, mode, last_start, said: false });
            self.counters.returned += 1;
        }
    }

    /// How a unit that is given back is to be shared.
    pub(super) fn mode_for(&self, unit: &UnitId) -> Mode {
        // What is guarded has places that nobody can give out one by one.
        if self.infos.get(unit).is_some_and(|info| info.guard.is_some()) {
            return Mode::Whole;
        }
        let kind = self.infos.get(unit).map(|info| &info.kind);
        let demand = kind.and_then(|kind| self.demands.get(kind));
        if demand.is_some_and(|demand| demand.drawn && demand.wanted > 0) { Mode::Drawn } else { Mode::Whole }
    }

    pub(super) fn of_kind<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = (&'a UnitId, &'a HeldUnit)> {
        self.units.iter().filter(move |(unit, _)| self.infos.get(*unit).is_some_and(|info| info.kind == *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_no_larger_a_demand_than_a_short_one() {
        let told = |rate, waiting| Demand { rate, waiting, ..Demand::default() }.told();
        assert_eq!([0, 5, 16, 17, 5_000].map(|waiting| told(0.0, waiting)), [0, 5_000, 16_000, 16_000, 16_000]);
        assert_eq!((told(40.0, 5_000), told(2.5, 1)), (40_000, 2_500), "what is asked for each second counts");
    }
}
