//! Evidence: what the attempts of one request prove together. Two owners whose keys get the same unclear refusal prove that
//! the request is at fault, unless another key serves it after all. Then no further key is asked, and the rests that the
//! refusals began are given back (`given_back`).

use super::{
    Attempt, Demand, KeyPool, Seat,
    doubt::{Refusal, agreeing_with_last, may_be_the_requests, with_outcome},
    lane::Origin,
    seats::SeatCell,
    state::{NO_MODEL, SHARED, State},
};
use crate::{time::Now, verdict::Verdict};

/// So many owners whom a sentence alone blames let the request be believed to be at fault.
const BLAMED_BY_WORDS: usize = 5;

/// So many owners who are refused before the request is read let it be believed to be at fault.
const REFUSED_UNREAD: usize = 16;

/// So many suffice of owners with keys that are known to be good.
const GOOD_REFUSED_UNREAD: usize = 3;

/// So many owners who are refused without an explanation let the request be believed to be at fault; one less where a key
/// of theirs is known to be good.
const REFUSED_UNEXPLAINED: usize = 3;

/// One request asks no more keys than this for the same unclear refusal, whoever owns them (but for one or two of other
/// priorities). Where one owner has all keys, their number is all there is to go by.
const MOST_ASKED: usize = 16;

/// A key is no longer known to be good once evidence of so many requests gave back rests of it since it served.
pub(super) const SPARED_TOO_OFTEN: u8 = 2;

/// How many different owners these are.
pub(super) fn distinct(owners: impl Iterator<Item = u32>) -> usize {
    let mut owners: Vec<u32> = owners.collect();
    owners.sort_unstable();
    owners.dedup();
    owners.len()
}

impl KeyPool {
    /// Whether no further key is to be asked, since the refusal in hand, the last of this demand's attempts, is the
    /// request's own fault: see [`State::has_asked_enough`].
    pub(crate) fn has_asked_enough(&self, demand: &Demand) -> bool {
        let needs_proof = |last: &Attempt| last.is_unclear() || last.met_unnamed_limit();
        let last = demand.particulars.earlier.as_deref().and_then(<[Attempt]>::last);
        last.is_some_and(needs_proof) && {
            let now = self.clock().now();
            self.lock().has_asked_enough(demand, now)
        }
    }

    /// Whether a key served before, and was now asked for what is no model's: something that counts in no limit, or something that
    /// names no model while other requests do.
    #[cold]
    pub(crate) fn serves_otherwise(&self, seat: Seat) -> bool {
        let state = self.lock();
        let Some(cell) = state.seats.get(seat) else { return false };
        let model_lanes = || state.lanes.iter().skip(usize::from(SHARED) + 1);
        let nameless = || cell.lane == NO_MODEL && model_lanes().any(|lane| lane.origin == Origin::Confirmed);
        (cell.free || nameless()) && state.ever_served(cell.slot)
    }
}

impl State {
    /// Whether this answer is the request's own fault: a key of another owner said the same within this request, or a limit
    /// refused the request although nothing else was in its window.
    pub(super) fn is_the_requests_own(&self, cell: &SeatCell, verdict: &Verdict) -> bool {
        let earlier = cell.earlier.as_deref().unwrap_or_default();
        let overfull = cell.overfills(verdict);
        let is_doubtful = overfull || may_be_the_requests(verdict);
        let is_of_another_owner = |attempt: &Attempt| self.owner_of(attempt).is_some_and(|owner| owner != cell.owner);
        cell.had_all_of(verdict)
            || is_doubtful && with_outcome(earlier, (verdict.fault(), overfull)).any(is_of_another_owner)
    }

    /// Whether two owners agree on what this attempt's answer said in words, or on that the request is too large. Then no key
    /// rests for it, so that this one would be asked again at once were it not excluded.
    pub(super) fn is_agreed_on(&self, attempt: &Attempt, attempts: &[Attempt]) -> bool {
        let agreeing = with_outcome(attempts, attempt.outcome()).filter(|other| other.worded == attempt.worded);
        (attempt.worded || attempt.overfull) && distinct(agreeing.filter_map(|other| self.owner_of(other))) > 1
    }

    /// Whether the last of this demand's attempts need not be followed by another: enough owners said the same, and no key of
    /// another priority, which may be allowed what these are refused, is ready to be asked.
    pub(super) fn has_asked_enough(&mut self, demand: &Demand, now: Now) -> bool {
        let attempts = demand.particulars.earlier.as_deref().unwrap_or_default();
        let Some((last, earlier)) = attempts.split_last() else { return false };
        if last.met_unnamed_limit() {
            let of_model = earlier.iter().filter(|attempt| attempt.model == last.model);
            return self.is_refused_by_many(of_model.chain([last]));
        }
        self.enough_agree(attempts) && !self.may_serve_beside(demand, now)
    }

    /// Whether enough owners said what the last of these attempts said to believe that the request is at fault. Fewer suffice
    /// where their keys are known to be good.
    fn enough_agree(&self, attempts: &[Attempt]) -> bool {
        let Some(last) = attempts.last() else { return false };
        let agreeing = agreeing_with_last(attempts);
        if agreeing.len() >= MOST_ASKED {
            return true;
        }
        let owners = distinct(agreeing.iter().filter_map(|attempt| self.owner_of(attempt)));
        let slots = agreeing.iter().filter_map(|attempt| self.roster.slot_of(&attempt.key));
        let mut good = slots.filter(|slot| self.is_known_good(*slot));
        match Refusal::of(last) {
            Refusal::ByWords => owners >= BLAMED_BY_WORDS,
            Refusal::Unread => {
                owners >= REFUSED_UNREAD || distinct(good.map(|slot| self.owner_at(slot))) >= GOOD_REFUSED_UNREAD
            }
            Refusal::Unexplained => {
                owners >= REFUSED_UNEXPLAINED || (owners + 1 == REFUSED_UNEXPLAINED && good.next().is_some())
            }
        }
    }

    /// The attempts of a demand that agree with the last one, where these are enough to believe that keys like theirs need not
    /// be asked: they show that the request is at fault, or that none of them has what it asks for. After a 401 they never
    /// do, since that speaks of each key alone.
    pub(super) fn conclusive<'a>(&self, demand: &'a Demand) -> Option<Vec<&'a Attempt>> {
        let attempts = demand.particulars.earlier.as_deref()?;
        let last = attempts.last()?;
        let is_unclear = last.is_unclear() && Refusal::of(last) != Refusal::Unread;
        let nowhere = || !demand.particulars.of_resource && self.is_found_nowhere(attempts, demand.model());
        (is_unclear && self.enough_agree(attempts) || nowhere()).then(|| agreeing_with_last(attempts))
    }

    /// Whether this key served before, and evidence did not give back its rests too often since then.
    pub(super) fn is_known_good(&self, slot: u32) -> bool {
        let key = &self.roster.keys[slot as usize];
        let owner = key.owner;
        let in_lanes = self.lanes.iter().flat_map(|lane| {
            let of_owner = lane.extra_of(owner).and_then(|extra| extra.rest.as_ref());
            lane.key_rests.get(&slot).and_then(Option::as_ref).into_iter().chain(of_owner)
        });
        let of_owner = self.roster.owners[owner as usize].rest.iter();
        let mut rests = key.rest.iter().chain(of_owner).chain(in_lanes);
        self.ever_served(slot) && rests.all(|rest| rest.doubts < SPARED_TOO_OFTEN)
    }

    /// Whether this key ever served a request, also in an earlier process that a store remembers.
    pub(super) fn ever_served(&self, slot: u32) -> bool {
        let kept = || self.journal.as_ref()?.health.get(slot as usize)?.last_success;
        self.roster.keys[slot as usize].succeeded > 0 || kept().is_some()
    }

    /// Whether evidence gave back a rest of this key in this lane since the key last served there.
    pub(super) fn was_spared(&self, lane: u16, slot: u32) -> bool {
        self.rests(lane, slot).into_iter().any(|(rest, _)| rest.is_some_and(|rest| rest.doubts > 0))
    }

    /// The owner of the key that this attempt went out with, where the pool still has that key.
    pub(super) fn owner_of(&self, attempt: &Attempt) -> Option<u32> {
        self.roster.slot_of(&attempt.key).map(|slot| self.owner_at(slot))
    }

    pub(super) fn owner_at(&self, slot: u32) -> u32 {
        self.roster.keys[slot as usize].owner
    }
}
