//! Tasks that keys turn away again and again: whether the fault is theirs, since one that is larger than a minute allows
//! would be asked for ever. Whoever ends one has proof: where nobody is served, that is the keys', and everybody waits.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tower_keypool::{KeyId, Span, Unit, VerdictKind, Violation};

use super::{
    attempt::{Bad, Tried},
    desk::Desk,
    events::FaultKind,
    work::Work,
    worker::{Worker, demand},
};
use crate::length::{self, OF_A_TOKEN};

/// So often at least, each time by a key that carried others afterwards or had nothing to do before.
const ROUNDS: u32 = 5;
/// How likely it may be at the most that this happened to a task like all others.
const CHANCE: f64 = 1e-6;
/// The same of keys that are said to be no good.
const REFUSALS: u64 = 3;
/// So many tasks at the most that are all that is left, and that limits turn away for longer than any day of the provider's
/// lasts, are what those limits are for: a quota would have come back.
const LAST: usize = 3;
const DAY: Duration = Duration::from_secs(86_400);
/// A key that began nothing for so long has its minute before it.
const IDLE: Duration = Duration::from_secs(61);

/// What is known of one model since a limit turned a task of it away.
#[derive(Debug)]
struct Lane {
    since: Duration,
    carried: u64,
    refused: u64,
    /// When each key carried one last.
    last: HashMap<KeyId, Duration>,
    /// Tasks that were turned away since anybody was carried, one more than the last ones at the most; and when that was.
    left: Vec<u64>,
    carried_last: Duration,
}

/// What limits did to a task.
#[derive(Debug)]
pub(crate) struct Met {
    since: Duration,
    /// What was known of its model before that.
    carried: u64,
    refused: u64,
    own: u64,
    /// When each key turned it away first, since it carried another one.
    by: Vec<(KeyId, Duration)>,
    /// How often a key did that carried others then.
    passed: u32,
    /// How often a limit of a minute's tokens did, of a key that had nothing to do before.
    idle: u32,
}

#[derive(Debug, Default)]
pub(super) struct Limited(BTreeMap<Arc<str>, Lane>);

impl Limited {
    /// A key carried a task of this model.
    pub(super) fn carried(&mut self, model: &str, key: Option<&KeyId>, now: Duration) {
        let (Some(lane), Some(key)) = (self.0.get_mut(model), key) else { return };
        lane.carried += 1;
        lane.carried_last = now;
        lane.left.clear();
        match lane.last.get_mut(key) {
            Some(last) => *last = now,
            None => _ = lane.last.insert(key.clone(), now),
        }
    }

    /// These keys turned a task away, `tokens`: by a limit of a minute's tokens, which this task may be too long for.
    fn turned_away(&mut self, work: &mut Work, keys: &[KeyId], tokens: bool, now: Duration) -> Rounds {
        let lane = self.0.entry(Arc::clone(&work.model)).or_insert_with(|| Lane {
            since: now,
            carried: 0,
            refused: 0,
            last: HashMap::new(),
            left: Vec::new(),
            carried_last: now,
        });
        if lane.left.len() <= LAST && !lane.left.contains(&work.index) {
            lane.left.push(work.index);
        }
        let met = work.limited.get_or_insert_with(|| {
            let (carried, refused) = (lane.carried, lane.refused);
            Box::new(Met { since: now, carried, refused, own: 0, by: Vec::new(), passed: 0, idle: 0 })
        });
        let was_idle = |key: &KeyId| {
            let last = lane.last.get(key).copied().unwrap_or(lane.since);
            now.saturating_sub(last) > IDLE
        };
        met.idle += u32::from(tokens && keys.iter().all(was_idle));
        lane.refused += keys.len() as u64;
        met.own += keys.len() as u64;
        for key in keys {
            match met.by.iter_mut().find(|(by, _)| by == key) {
                Some((_, at)) if lane.last.get(key).is_some_and(|last| *last > *at) => {
                    met.passed += 1;
                    *at = now;
                }
                Some(_) => {}
                None => met.by.push((key.clone(), now)),
            }
        }
        let since = met.by.iter().filter(|(key, at)| lane.last.get(key).is_some_and(|last| *last > *at)).count();
        let passed = met.passed + since as u32;
        // The same befell others as well, one in so many.
        let refused = (lane.refused - met.refused).saturating_sub(met.own) as f64;
        let share = (refused + 1.0) / (refused + (lane.carried - met.carried) as f64 + 2.0);
        let alone = now.saturating_sub(met.since.max(lane.carried_last));
        let for_a_day = lane.left.len() <= LAST && alone > DAY;
        Rounds { passed, again: met.passed, idle: met.idle, own: met.own, share, for_a_day }
    }
}

/// How often a task was turned away.
struct Rounds {
    /// By keys that carried others afterwards, and by those among them that then turned it away again.
    passed: u32,
    again: u32,
    /// By a minute's tokens of keys that had nothing to do before.
    idle: u32,
    own: u64,
    /// What share of the others was as well.
    share: f64,
    /// For longer than a day, while none but the last ones were left and nobody was carried.
    for_a_day: bool,
}

impl Rounds {
    /// How often that shows by now that the limit is its own; `None`: not yet.
    fn of_limit(&self) -> Option<u32> {
        let is_own = self.passed >= ROUNDS && self.share.powi(self.passed.min(1_000) as i32) <= CHANCE;
        if is_own { Some(self.passed) } else { (self.idle >= ROUNDS).then_some(self.idle) }
    }

    /// The same of what rests a key for good: that does not come and go.
    fn is_of_task(&self) -> bool {
        self.again > 0 && self.own >= REFUSALS && self.share <= 0.2
    }
}

impl Desk {
    fn limited(&self, work: &mut Work, keys: &[KeyId], tokens: bool) -> Rounds {
        let now = self.elapsed();
        self.lock().limited.turned_away(work, keys, tokens, now)
    }
}

impl Worker {
    /// Why a task is not sent that is longer than any key's minute of tokens; and what it asks for is cut to that.
    pub(super) fn is_too_long(&self, work: &mut Work) -> Option<Bad> {
        let mut most = None;
        let never = length::never_fits(&work.body, || {
            most = self.most_tokens(work);
            most
        });
        work.most_tokens = most;
        never.map(too_long)
    }

    /// The most tokens that any key's minute allows, of any model that may carry a task.
    fn most_tokens(&self, work: &Work) -> Option<u64> {
        let client = &self.shared.client;
        let chain = client.models_in_place().chain(&work.model);
        length::most_tokens(client.pool(), chain.iter())
    }

    /// Another slot's key may allow more than this one's.
    pub(super) fn is_for_a_larger_key(&self, work: &mut Work) -> bool {
        let Some(key) = &self.key else { return false };
        let own = self.shared.client.pool().most_tokens(demand(work, &work.model, Some(key)));
        let is_smaller = own.zip(work.most_tokens).is_some_and(|(own, most)| own < most);
        let first = !work.tried.contains(key);
        if first {
            work.tried.push(key.clone());
        }
        is_smaller || (first && self.shared.keys().len() > 1)
    }

    /// Whether the refusal that turned a task away, without a cause, is its own: the key carried others, and refused it again.
    pub(super) fn own_refusal(&self, work: &mut Work, key: &KeyId) -> bool {
        self.shared.desk.limited(work, std::slice::from_ref(key), false).is_of_task()
    }

    /// Whether the limit that turned a task away is its own: what is to be said of it.
    pub(super) fn own_limit(&self, work: &mut Work, tried: &Tried) -> Option<Bad> {
        let served = tried.served_by.as_ref()?;
        let verdict = served.verdict();
        if verdict.kind() != VerdictKind::RateLimited {
            return None;
        }
        let tokens = verdict.news_of().and_then(|news| news.violations.iter().find_map(of_tokens));
        // A token is a byte at the least.
        let tokens = tokens.filter(|most| work.body.len() as u64 > *most);
        if tokens.is_some()
            && let Some(most) = self.most_tokens(work)
        {
            let text = length::of_text(&work.body);
            if text / OF_A_TOKEN > most {
                return Some(too_long(length::too_long(text, most)));
            }
        }
        let tokens = tokens.filter(|most| length::of_text(&work.body) > *most);
        let by = served.earlier().iter().filter(|attempt| attempt.kind == VerdictKind::RateLimited);
        let keys: Vec<KeyId> = by.map(|attempt| &attempt.key).chain(served.key()).cloned().collect();
        let rounds = self.shared.desk.limited(work, &keys, tokens.is_some());
        let Some(times) = rounds.of_limit() else { return rounds.for_a_day.then(|| for_a_day(rounds.own)) };
        Some(match tokens {
            Some(most) => Bad {
                invalid: true,
                ..Bad::new(
                    FaultKind::Task,
                    "invalid",
                    format!(
                        "it is too long: a limit of {most} tokens a minute turned it away {times} times, each time from the start"
                    ),
                )
            },
            None => Bad::new(
                FaultKind::Task,
                "refused",
                format!(
                    "a limit (429) turned it away {times} times, while the same keys carried other tasks: it may need more \
                     than the provider allows"
                ),
            ),
        })
    }
}

fn for_a_day(times: u64) -> Bad {
    Bad::new(
        FaultKind::Task,
        "refused",
        format!(
            "a limit (429) turned it away for more than a day, {times} times, as one of the last tasks: it may need more than the \
             provider allows, or the keys have no quota any more"
        ),
    )
}

fn too_long(said: String) -> Bad {
    Bad { invalid: true, ..Bad::new(FaultKind::Task, "invalid", said) }
}

/// How many tokens of a prompt a minute allows, where that was said to be the limit.
fn of_tokens(hit: &Violation) -> Option<u64> {
    let is_so = matches!(hit.unit, Unit::InputTokens | Unit::Tokens) && hit.span == Span::MINUTE;
    hit.amount.filter(|amount| is_so && *amount > 0)
}
