//! Which units are free for whoever claims some.

use hashbrown::HashSet;

use super::{
    counts,
    names::{HolderId, UnitId},
    state::{BoardState, UnitRecord},
    wire::{Claim, Mode, UnitInfo},
};

/// Room that opens within so many milliseconds is as good as room now.
pub(super) const SOON: i64 = 1_000;

/// So many guards that others hold are asked back for one claim.
const ASKED_BACK: usize = 16;

/// A unit that a process can serve.
pub(super) struct Offer<'a> {
    pub(super) info: &'a UnitInfo,
    /// How many requests a minute it allows.
    pub(super) size: u64,
}

impl Offer<'_> {
    pub(super) fn name(&self) -> &UnitId {
        &self.info.unit
    }
}

/// One that is free.
pub(super) struct Free<'a> {
    pub(super) offer: &'a Offer<'a>,
    /// For how many requests.
    pub(super) room: u64,
    /// Whoever claims it had it last.
    pub(super) own: bool,
}

/// Whether others are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// Others ask for the same.
    No,
    /// Nobody else asks for any of this kind: drawn units are taken back as a whole.
    Asking,
    /// Nobody else is there at all: units are granted before there is room in them.
    There,
}

/// What is claimed, and by whom.
pub(super) struct Asked<'a> {
    pub(super) holder: &'a HolderId,
    pub(super) roster: u64,
    pub(super) claim: &'a Claim,
    /// Units that it names.
    pub(super) named: &'a HashSet<&'a UnitId>,
    /// Units that others want by their names.
    pub(super) elsewhere: &'a HashSet<UnitId>,
    pub(super) alone: Alone,
}

/// Units of those who are gone, and who noted what they started, so that it is known what is left, are nobody's any more.
pub(super) fn abandon_ended(state: &mut BoardState, units: &[Offer<'_>], now: i64) {
    let ended = |record: &UnitRecord| record.holder.is_some() && record.is_free(now) && record.ahead.is_some();
    let all_ended = state.units.along(units, Offer::name).filter(|found| found.1.is_some_and(ended));
    for unit in all_ended.map(|found| found.0.name()).collect::<Vec<_>>() {
        state.abandon(unit, now);
    }
}

impl Asked<'_> {
    /// Those that may be granted, in no order.
    pub(super) fn free_of<'o>(&self, state: &BoardState, units: &'o [Offer<'o>], now: i64) -> Vec<Free<'o>> {
        // How large those are that are only expected nobody knows.
        let Claim { waiting, tokens, requests, .. } = self.claim;
        let each = if *waiting > 0 { tokens.div_ceil((*requests).max(1)) } else { 0 };
        let joining: HashSet<UnitId> = state.joining.iter().map(|old| state.root(old)).collect();
        let agreed = state.are_agreed(self.roster);
        let look = |(offer, record): (&'o Offer<'o>, Option<&UnitRecord>)| {
            let (unit, record) = (offer.name(), record?);
            let whole = record.mode == Mode::Whole || (self.alone != Alone::No && !record.is_drawn_from(now));
            if !(record.is_free(now) && whole) || record.into.is_some() || joining.contains(unit) {
                return None;
            }
            let there = self.alone == Alone::There;
            let limits = state.limits_by(offer.info, record, agreed);
            let opens = record.opens.is_none_or(|opens| opens <= now + SOON);
            // Whoever names it knows better: what rested in it was lifted, say.
            let opens = opens || there || self.named.contains(unit) || counts::grew(&record.counts, &limits);
            // What one had oneself one need not learn anew; who had it leaves it to whoever wants it by its name.
            let own = record.before.as_ref() == Some(self.holder);
            if !opens || (own && self.elsewhere.contains(unit)) {
                return None;
            }
            let ended = record.holder.is_some().then_some(record.until);
            let room = counts::room(&record.counts, &limits, each, record.unknown.max(ended), now + SOON);
            (room > 0 || there).then_some(Free { offer, room, own })
        };
        state.units.along(units, Offer::name).filter_map(look).collect()
    }

    /// What a unit's keys may do at a time only one process can know: those whose guard others hold are taken out. Which
    /// guards, as far as they are asked back.
    pub(super) fn take_out_guarded(&self, free: &mut Vec<Free<'_>>, state: &BoardState, now: i64) -> Vec<UnitId> {
        let mut kept = Vec::new();
        free.retain(|free| {
            let Some(guard) = &free.offer.info.guard else { return true };
            let may = state.may_guard(guard, self.holder, now) && !state.is_joining(guard);
            if !may && kept.len() < ASKED_BACK && !kept.contains(guard) {
                kept.push(guard.clone());
            }
            may
        });
        kept
    }
}
