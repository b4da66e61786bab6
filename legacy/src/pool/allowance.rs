//! What a rate header says remains of an owner's quota in a lane, and what is back of it since.

use std::time::Duration;

use super::{scope::Whom, seats::SeatCell, sharing::Share, state::State};
use crate::{
    limit::{Need, Unit},
    time::{Now, Tick},
    verdict::{RateHeader, Scope, Verdict},
};

/// What remains is noted when it is this little: above, it tells nothing that the windows do not.
const LITTLE: u64 = 10;
/// These headers tell of minutes and days. A reset further off is a fault of whoever wrote it: should the quota be out
/// in truth, the next answer says so.
pub(super) const LONGEST_RESET: Duration = Duration::from_secs(25 * 3600);

/// What a rate header said remains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    unit: Unit,
    /// Of what the header said, less what started since: below zero where what comes back is spoken for.
    left: i64,
    said: Tick,
    /// All of it is restored then.
    until: Tick,
    /// How much comes back evenly from then to then; nothing before the end where that is not known.
    refills: u64,
}

impl Allowance {
    fn is_of(&self, unit: Unit, now: Tick) -> bool {
        self.holds(now) && self.unit == unit
    }

    /// Whether it still says something.
    pub(super) fn holds(&self, now: Tick) -> bool {
        self.until > now
    }

    /// What may start.
    pub(super) fn room(&self, now: Tick) -> u64 {
        let (since, whole) = (now.since(self.said).as_nanos(), self.until.since(self.said).as_nanos());
        let back = (u128::from(self.refills) * since).checked_div(whole).unwrap_or(0);
        u64::try_from(i128::from(self.left).saturating_add_unsigned(back)).unwrap_or(0)
    }

    /// Whether so much may start; when, if not.
    pub(super) fn opens(&self, need: &Need, now: Tick) -> Option<Tick> {
        let wanted = need.of(self.unit).max(1);
        (self.holds(now) && self.room(now) < wanted).then(|| self.back(wanted))
    }

    /// When so much of it is there.
    pub(super) fn back(&self, wanted: u64) -> Tick {
        if self.refills == 0 {
            return self.until;
        }
        let missing = (i128::from(wanted) - i128::from(self.left)).max(0).unsigned_abs();
        let whole = self.until.since(self.said).as_nanos();
        let nanos = missing.saturating_mul(whole).div_ceil(u128::from(self.refills));
        self.said.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))).min(self.until)
    }

    /// So much starts.
    pub(super) fn take(&mut self, need: &Need) {
        self.left = self.left.saturating_sub_unsigned(need.of(self.unit));
    }

    /// It did not start after all.
    pub(super) fn give_back(&mut self, need: &Need) {
        self.left = self.left.saturating_add_unsigned(need.of(self.unit));
    }
}

impl State {
    /// A rate header said how much remains, and when all of it is restored. Of a quota that is not known to refill bit by bit
    /// the time at which the answer itself says to come again comes first.
    pub(super) fn allow(&mut self, cell: &SeatCell, header: RateHeader, verdict: &Verdict, now: Now) {
        let owner = self.roster.keys[cell.slot as usize].owner;
        // Where others take from the same bucket, what comes back is not ours alone.
        let is_ours = self.share().is_none_or(Share::is_alone);
        let lane = &mut self.lanes[usize::from(cell.lane)];
        if is_ours {
            lane.refills.observe(&header);
        }
        let little = header.remaining < LITTLE || header.limit.is_some_and(|limit| header.remaining < limit / 10);
        let little = little && header.reset <= LONGEST_RESET;
        if !little && lane.extra_of(owner).is_none() {
            return;
        }
        let before = lane.extra(owner).allowances.iter().copied().find(|held| held.is_of(header.unit, now.tick));
        if !verdict.is_success() && before.is_some_and(|held| held.refills > 0 && header.remaining == 0) {
            lane.refills.doubt(header.unit, now.tick);
        }
        let refills = if is_ours { lane.refills.until_reset(&header) } else { 0 };
        let restored = if refills > 0 {
            header.reset
        } else {
            verdict.retry_after().map_or(header.reset, |delay| delay.min(header.reset))
        };
        let until = now.tick.plus(restored);
        let under_way = if little { self.began_later(cell, owner, header.unit) } else { 0 };
        let left = i64::try_from(header.remaining).unwrap_or(i64::MAX).saturating_sub_unsigned(under_way);
        let said = Allowance { unit: header.unit, left, said: now.tick, until, refills };
        let opens = before
            .is_some_and(|held| !little || said.room(now.tick) > held.room(now.tick) || said.back(1) < held.back(1));
        let allowances = &mut self.lanes[usize::from(cell.lane)].extra(owner).allowances;
        allowances.retain(|held| held.holds(now.tick) && held.unit != header.unit);
        if little {
            allowances.push(said);
        }
        if opens {
            // Those that were passed over meanwhile are looked at again.
            self.revive(Whom { scope: Scope::OwnerLane, slot: cell.slot, owner, lane: cell.lane });
        }
    }

    /// What started later than the lease that was answered, and so is not in what its answer says.
    fn began_later(&mut self, cell: &SeatCell, owner: u32, unit: Unit) -> u64 {
        let later = |held: &&mut SeatCell| held.lane == cell.lane && held.owner == owner && held.seq > cell.seq;
        self.seats.iter_mut().filter(later).map(|held| held.need.of(unit)).sum()
    }
}
