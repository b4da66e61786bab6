//! Doubt: answers that are not held against a key. The same unclear one, or the same known by a sentence alone, from two
//! owners within one request speaks of the request, unless another key serves it after all; many keys failing for good
//! at once speak of us (the guard). A 401 is said before a request is read: it is doubted less, and never for long where
//! nobody is served.

use http::StatusCode;

use super::{
    Attempt, Demand, KeyPool, Seat,
    event::Event,
    guard::HOLD,
    judge::{ADAPT_CEILING, ADAPT_DOWN, ADAPT_FLOOR},
    lane::Origin,
    rest::{Before, End, Probe, Rest},
    scope::Whom,
    seats::SeatCell,
    state::{NO_MODEL, SHARED, State},
};
use crate::{
    time::Now,
    verdict::{Elsewhere, Scope, Verdict, VerdictKind},
};

/// The scopes whose rests a key's answer may begin, and evidence give back.
const OF_A_KEY: [Scope; 5] = [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::OwnerLane, Scope::BillingAccount];

/// The scopes whose rests without end the guard holds.
const HELD: [Scope; 3] = [Scope::Key, Scope::Owner, Scope::BillingAccount];

/// Sentences that blame a key are mostly true: only so many owners of whom the same is said let the request be believed
/// to be at fault, and no further key be asked.
const BLAMED_BY_WORDS: usize = 5;

/// Who is refused before the request was read is mostly no good: so many owners are asked, or so many that are known to
/// be good.
const REFUSED_UNREAD: (usize, usize) = (16, 3);

/// The same unclear thing is asked of no more keys than this by one request, whoever's they are (but for the one or two of other
/// priorities): where all of them are one owner's, their number is all there is to go by.
const MOST_ASKED: usize = 16;

/// So many requests in a row may be refused unread by a key and others, nobody being served meanwhile, until it is the
/// keys that are no good.
const REFUSED_IN_VAIN: u8 = 3;

/// Whether it could be said of the request. A limit is the key's, however little is said of it; a sentence may hold the
/// caller's own words.
pub(super) fn may_be_the_requests(verdict: &Verdict) -> bool {
    verdict.is_worded() || !verdict.is_named() && !verdict.fault().is_limit()
}

/// Whether the provider refused the key before it read the request, and did not say why.
fn is_unread(named: bool, status: Option<u16>) -> bool {
    !named && status == Some(401)
}

/// Whether the provider refused the key after it read the request, and did not say why: it may have meant the request.
pub(super) fn is_unexplained(verdict: &Verdict) -> bool {
    let forbidden = verdict.status_of().is_some_and(|status| status == StatusCode::FORBIDDEN);
    forbidden && !verdict.is_named() && !verdict.is_worded() && verdict.kind() == VerdictKind::InvalidKey
}

/// The attempts that came to the same unclear verdict.
fn alike(attempts: &[Attempt], (kind, overfull): (VerdictKind, bool)) -> impl Iterator<Item = &Attempt> + Clone {
    let same = move |attempt: &Attempt| (attempt.kind, attempt.overfull) == (kind, overfull);
    attempts.iter().filter(move |attempt| attempt.is_open_to_doubt() && same(attempt))
}

/// Those of the last one's model that came to the same, itself among them.
fn like_the_last(attempts: &[Attempt]) -> Vec<&Attempt> {
    let Some((last, earlier)) = attempts.split_last() else { return Vec::new() };
    let same = |attempt: &&Attempt| {
        (attempt.is_open_to_doubt() || attempt.found_nothing()) && attempt.outcome() == last.outcome()
    };
    earlier.iter().filter(same).filter(|attempt| attempt.model == last.model).chain([last]).collect()
}

/// How many owners these are.
pub(super) fn distinct(owners: impl Iterator<Item = u32>) -> usize {
    let mut owners: Vec<u32> = owners.collect();
    owners.sort_unstable();
    owners.dedup();
    owners.len()
}

impl Attempt {
    /// Whether it says nothing that is sure of its key: others may say the same.
    pub(crate) fn is_unclear(&self) -> bool {
        (self.worded || !self.named && !self.kind.is_limit()) && self.elsewhere == Elsewhere::OtherKey
    }

    fn is_open_to_doubt(&self) -> bool {
        self.worded || !self.named || self.overfull
    }

    /// What it came to.
    fn outcome(&self) -> (VerdictKind, bool) {
        (self.kind, self.overfull)
    }
}

impl KeyPool {
    /// Whether the answer in hand, the last of this demand's attempts, is the caller's own: see [`State::is_settled`].
    pub(crate) fn is_settled(&self, demand: &Demand) -> bool {
        let doubted = |last: &Attempt| last.is_unclear() || last.met_unnamed_limit();
        let last = demand.particulars.earlier.as_deref().and_then(<[Attempt]>::last);
        last.is_some_and(doubted) && {
            let now = self.clock().now();
            self.lock().is_settled(demand, now)
        }
    }

    /// Whether a key served before, and what it was asked for now is no model's: nothing that counts, or nothing that names one where
    /// others do.
    #[cold]
    pub(crate) fn serves_otherwise(&self, seat: Seat) -> bool {
        let state = self.lock();
        let Some(cell) = state.seats.get(seat) else { return false };
        let others = || state.lanes.iter().skip(usize::from(SHARED) + 1);
        let nameless = || cell.lane == NO_MODEL && others().any(|lane| lane.origin == Origin::Confirmed);
        (cell.free || nameless()) && state.ever_served(cell.slot)
    }
}

impl State {
    /// Whether this is the same unclear verdict as a key of another owner's within one request: it speaks of the request
    /// or the model. So does a limit that refused what had all of it.
    pub(super) fn is_the_requests_own(&self, cell: &SeatCell, verdict: &Verdict) -> bool {
        let earlier = cell.earlier.as_deref().unwrap_or_default();
        let is_other = |attempt: &&Attempt| self.owner_of(attempt).is_some_and(|owner| owner != cell.owner);
        let overfull = cell.overfills(verdict);
        let may_be = overfull || may_be_the_requests(verdict);
        cell.had_all_of(verdict)
            || may_be && alike(earlier, (verdict.fault(), overfull)).any(|attempt| is_other(&attempt))
    }

    /// Whether a sentence says of this attempt's key what these say of another owner's, or that the request is too large for
    /// it as it is for another's: none rests for it, and the key would be asked again at once.
    pub(super) fn is_spared(&self, attempt: &Attempt, attempts: &[Attempt]) -> bool {
        let same = alike(attempts, attempt.outcome()).filter(|other| other.worded == attempt.worded);
        (attempt.worded || attempt.overfull) && distinct(same.filter_map(|other| self.owner_of(other))) > 1
    }

    /// Whether the answer in hand, the last of these attempts, is the caller's: no further key is tried. Two owners are
    /// believed where one of them served before; else a third is asked, whose success would refute them. What is refused to
    /// keys of one priority those of another may be for: one of these is asked before anybody is believed.
    pub(super) fn is_settled(&mut self, demand: &Demand, now: Now) -> bool {
        let attempts = demand.particulars.earlier.as_deref().unwrap_or_default();
        let Some((last, earlier)) = attempts.split_last() else { return false };
        if last.met_unnamed_limit() {
            let of_model = earlier.iter().filter(|attempt| attempt.model == last.model);
            return self.is_refused_by_many(of_model.chain([last]));
        }
        self.is_believed(attempts) && !self.may_serve_beside(demand, now)
    }

    /// Whether the last says what others of as many owners said as are believed.
    fn is_believed(&self, attempts: &[Attempt]) -> bool {
        let Some(last) = attempts.last() else { return false };
        let said = like_the_last(attempts);
        if said.len() >= MOST_ASKED {
            return true;
        }
        let owners = distinct(said.iter().filter_map(|attempt| self.owner_of(attempt)));
        if last.worded {
            return owners >= BLAMED_BY_WORDS;
        }
        let mut slots = said.iter().filter_map(|attempt| self.roster.slot_of(&attempt.key));
        if is_unread(last.named, last.status) {
            let good = distinct(slots.filter(|slot| self.has_proved_good(*slot)).map(|slot| self.owner_at(slot)));
            return owners >= REFUSED_UNREAD.0 || good >= REFUSED_UNREAD.1;
        }
        owners > 2 || (owners == 2 && slots.any(|slot| self.has_proved_good(slot)))
    }

    /// The attempts of a demand that said the same, where these are enough to be believed.
    pub(super) fn believed<'a>(&self, demand: &'a Demand) -> Option<Vec<&'a Attempt>> {
        let attempts = demand.particulars.earlier.as_deref()?;
        let last = attempts.last()?;
        let unclear = last.is_unclear() && !is_unread(last.named, last.status) && self.is_believed(attempts);
        let nowhere = || !demand.particulars.of_resource && self.is_found_nowhere(attempts, demand.model());
        (unclear || nowhere()).then(|| like_the_last(attempts))
    }

    /// A key that served before, and that no earlier request's evidence spared since then.
    pub(super) fn has_proved_good(&self, slot: u32) -> bool {
        let key = &self.roster.keys[slot as usize];
        let owner = key.owner;
        let in_lanes = self.lanes.iter().flat_map(|lane| {
            let of_owner = lane.extra_of(owner).and_then(|extra| extra.rest.as_ref());
            lane.key_rests.get(&slot).and_then(Option::as_ref).into_iter().chain(of_owner)
        });
        let of_owner = self.roster.owners[owner as usize].rest.iter();
        self.ever_served(slot) && key.rest.iter().chain(of_owner).chain(in_lanes).all(|rest| rest.doubts < 2)
    }

    /// Whether a request was ever served with this key, also by an earlier process that a store remembers.
    pub(super) fn ever_served(&self, slot: u32) -> bool {
        let kept = || self.journal.as_ref()?.health.get(slot as usize)?.last_success;
        self.roster.keys[slot as usize].succeeded > 0 || kept().is_some()
    }

    /// Whether evidence spared this key in this lane since its last success.
    pub(super) fn is_doubted(&self, lane: u16, slot: u32) -> bool {
        self.rests(lane, slot).into_iter().any(|(rest, _)| rest.is_some_and(|rest| rest.doubts > 0))
    }

    pub(super) fn owner_of(&self, attempt: &Attempt) -> Option<u32> {
        self.roster.slot_of(&attempt.key).map(|slot| self.owner_at(slot))
    }

    pub(super) fn owner_at(&self, slot: u32) -> u32 {
        self.roster.keys[slot as usize].owner
    }

    /// Whether a refusal that more than one owner met stands all the same: the provider did not read the request, or the
    /// key never served any; the same came of the ones before it, and nobody was served meanwhile. So a caller who can have
    /// such a thing said takes no key from those who are served.
    pub(super) fn is_refused_in_vain(&mut self, whom: Whom, verdict: &Verdict, ticket: u64, now: Now) -> bool {
        let status = verdict.status_of().map(|status| status.as_u16());
        // A key that served is not taken from those whom it serves by what a caller may have asked for.
        let never_served = || !self.ever_served(whom.slot);
        let counts = is_unread(verdict.is_named(), status) || (is_unexplained(verdict) && never_served());
        if !counts || whom.scope == Scope::Caller || self.is_uncounted(whom.lane) {
            return false;
        }
        let (served, seq) = (self.guard.last_success(), self.seq);
        let Some(rest) = self.rest_slot_of(whom) else { return false };
        if served.is_some_and(|served| served >= rest.unread_at.0) {
            rest.unread = 0;
        }
        // Those of one burst are one.
        if ticket > rest.unread_at.1 || rest.unread == 0 {
            rest.unread = rest.unread.saturating_add(1);
            rest.unread_at = (now.tick, seq);
        }
        rest.unread >= REFUSED_IN_VAIN
    }

    /// Whether another verdict on this same answer began a rest: that one stands, whatever is said after it.
    pub(super) fn rests_already(&mut self, cell: &SeatCell) -> bool {
        OF_A_KEY.into_iter().any(|scope| {
            let whom = Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane };
            self.rest_slot_of(whom).is_some_and(|rest| rest.incident == cell.ticket)
        })
    }

    /// Gives back what this verdict and those before it of the same request did; its own unless it `stands`.
    pub(super) fn give_all_back(&mut self, cell: &SeatCell, verdict: &Verdict, stands: bool, now: Now) {
        let earlier = cell.earlier.clone().unwrap_or_default();
        let kind = verdict.fault();
        for attempt in alike(&earlier, (kind, cell.overfills(verdict))) {
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            let owner = self.owner_at(slot);
            let whom = Whom { scope: self.scope(cell, verdict), slot, owner, lane: cell.lane };
            let of_this = |rest: &mut Rest| rest.incident == attempt.seq && rest.kind == kind;
            let rests = self.rest_slot_of(whom).is_some_and(of_this);
            if rests && self.is_refused_in_vain(whom, verdict, attempt.seq, now) {
                continue;
            }
            self.guard.forget(slot);
            for scope in self.give_back(slot, owner, cell.lane, (attempt.seq, kind), now) {
                self.recovered(Whom { scope, slot, owner, lane: cell.lane });
            }
        }
        if !stands {
            self.give_back(cell.slot, cell.owner, cell.lane, (cell.ticket, kind), now);
        }
    }

    /// Takes back what one incident, by this kind of fault, did to a key's and its owner's rests; says which of them were
    /// under way.
    fn give_back(&mut self, slot: u32, owner: u32, lane: u16, (seq, kind): (u64, VerdictKind), now: Now) -> Vec<Scope> {
        let mut ended = Vec::new();
        for scope in OF_A_KEY {
            let whom = Whom { scope, slot, owner, lane };
            let of_this = |rest: &&mut Rest| rest.incident == seq && rest.kind == kind;
            let Some(rest) = self.rest_slot_of(whom).filter(of_this) else { continue };
            let Some(before) = rest.before.take() else { continue };
            let (end, step, strikes, incident) = (rest.end, rest.step, rest.strikes, rest.incident);
            let was_active = rest.is_active(now);
            rest.end = before.end;
            rest.step = before.step;
            rest.strikes = before.strikes;
            rest.incident = before.incident;
            rest.doubts = rest.doubts.saturating_add(1);
            let probe = (rest.probe.take(), std::mem::take(&mut rest.confirming));
            rest.held = false;
            let over = !rest.is_active(now);
            rest.returned = over;
            if !over {
                // What it rested for before goes on, and is tried again as before.
                rest.probe = probe.0.map(|probe| Probe { out: false, ..probe });
            }
            let key = &mut self.roster.keys[slot as usize];
            key.adaptive = (key.adaptive / ADAPT_DOWN).min(key.weight * ADAPT_CEILING);
            let ramp = std::mem::replace(&mut key.ramp, before.ramp);
            if let Some(rest) = self.rest_slot_of(whom) {
                rest.given_back = Some(Before { end, step, strikes, incident, ramp, probe });
            }
            if over {
                self.revive(whom);
                ended.extend(was_active.then_some(scope));
            }
            self.note_key(slot, lane);
        }
        ended
    }

    /// The request was served after all: what its evidence gave back stands.
    pub(super) fn refute(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        let earlier = cell.earlier.as_deref().unwrap_or_default();
        let unclear = |attempt: &Attempt| attempt.is_unclear() || attempt.found_nothing();
        if earlier.iter().any(|attempt| self.owner_of(attempt) != Some(cell.owner) && unclear(attempt)) {
            self.lanes[usize::from(cell.lane)].trusted.served(cell.slot);
        }
        for attempt in earlier.iter().filter(|attempt| attempt.is_open_to_doubt()) {
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            let owner = self.roster.keys[slot as usize].owner;
            for scope in OF_A_KEY {
                let whom = Whom { scope, slot, owner, lane: cell.lane };
                let Some(rest) = self.rest_slot_of(whom) else { continue };
                let of_this = |given: &mut Before| given.incident == attempt.seq;
                // Whatever came since then is an incident of its own.
                let Some(stands) = rest.given_back.take_if(of_this).filter(|_| !rest.is_active(now)) else { continue };
                (rest.end, rest.step, rest.strikes) = (stands.end, stands.step, stands.strikes);
                (rest.incident, rest.doubts, rest.returned) = (stands.incident, 0, false);
                let (probe, confirming) = stands.probe;
                (rest.confirming, rest.probe) = (confirming, probe.map(|probe| Probe { out: false, ..probe }));
                let until = rest.lasts_until(now);
                let (kind, code, advice) = (rest.kind, rest.code.to_string(), rest.advice.to_string());
                let key = &mut self.roster.keys[slot as usize];
                key.adaptive = (key.adaptive * ADAPT_DOWN).max(key.weight * ADAPT_FLOOR);
                key.ramp = stands.ramp;
                let (key, model) = (key.id.clone(), self.model_of(whom));
                let rest = until.since(now.tick);
                self.event(|| match stands.end {
                    End::Never => Event::Disabled { key, scope, exit: None, model, kind, code, advice },
                    _ => Event::Rested { key, scope, exit: None, model, kind, code, cause: None, limit: None, rest },
                });
            }
            self.note_key(slot, cell.lane);
        }
    }

    /// All keys under suspicion rest for a while instead of being disabled.
    pub(super) fn hold_suspects(&mut self, now: Now) {
        let suspects = self.guard.suspects().to_vec();
        for slot in &suspects {
            let owner = self.roster.keys[*slot as usize].owner;
            for scope in HELD {
                let whom = Whom { scope, slot: *slot, owner, lane: NO_MODEL };
                // Those that were held before are held on: one that was tried again spoke for all.
                let is_held = |rest: &&mut Rest| (rest.end == End::Never || rest.held) && !rest.by_hand;
                let rest = self.rest_slot_of(whom).filter(is_held);
                if let Some(rest) = rest {
                    rest.told |= !std::mem::replace(&mut rest.held, true);
                    rest.end = End::At(now.tick.plus(HOLD));
                    // Where it stood it would have stood for good.
                    self.revive(whom);
                }
            }
            self.note_key(*slot, NO_MODEL);
        }
        if self.guard.is_news() {
            self.event(|| Event::Held { keys: suspects.len() });
        }
    }

    /// The way out is good: what was held takes effect.
    pub(super) fn release_held(&mut self, slot: u32) {
        let owner = self.roster.keys[slot as usize].owner;
        for scope in HELD {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.held) else { continue };
            rest.held = false;
            rest.end = End::Never;
            self.note_key(slot, NO_MODEL);
            self.lost();
            let Some(rest) = self.rest_slot_of(whom) else { continue };
            if std::mem::take(&mut rest.told) {
                continue;
            }
            let (kind, code, advice) = (rest.kind, rest.code.clone().into_owned(), rest.advice.clone().into_owned());
            let key = self.roster.keys[slot as usize].id.clone();
            self.event(|| Event::Disabled { key, scope, exit: None, model: None, kind, code, advice });
        }
    }
}
