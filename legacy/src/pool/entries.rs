//! Entries of the journal: what requests did, one behind the other. They are posted to what is kept of their keys many at a
//! time: of a thousand keys that take turns nothing is near when a request needs it, and a request waits for none of it.

use super::{health::TELL_AGAIN, journal::Journal, state::State};
use crate::share::Spent;

/// So many are posted at the latest.
const MOST: usize = 1_024;

/// By a key in a lane.
struct Entry {
    slot: u32,
    lane: u16,
    did: Did,
}

pub(super) enum Did {
    /// A request was granted.
    Started,
    /// The same, one of so many tokens, which counts in this owner's limits.
    Counted { owner: u32, input: u64 },
    /// Its answer was good, at this time (Unix milliseconds), and nothing but the time of that is to be told.
    Succeeded(i64),
    /// It cost so many tokens.
    Cost { input: u64, output: u64 },
}

/// What is not posted yet.
#[derive(Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl State {
    #[inline]
    pub(super) fn jot(&mut self, slot: u32, lane: u16, did: Did) {
        let Some(journal) = &mut self.journal else { return };
        journal.entries.0.push(Entry { slot, lane, did });
        if journal.entries.0.len() >= MOST {
            self.post_entries();
        }
        self.news();
    }

    /// To be done before anything is read of what is kept of keys, or a place or a lane is another's.
    #[inline]
    pub(super) fn post_entries(&mut self) {
        if self.journal.as_ref().is_some_and(|journal| !journal.entries.is_empty()) {
            self.post();
        }
    }

    fn post(&mut self) {
        let State { journal: Some(journal), roster, .. } = self else { return };
        let mut entries = std::mem::take(&mut journal.entries.0);
        for Entry { slot, lane, did } in entries.drain(..) {
            match did {
                Did::Started => journal.used.of(slot, lane).requests += 1,
                Did::Counted { owner, input } => {
                    journal.used.of(slot, lane).requests += 1;
                    if let Some(share) = &mut journal.share {
                        share.heard((lane, owner), &Spent { requests: 1, input_tokens: input, ..Spent::default() });
                    }
                }
                Did::Cost { input, output } => {
                    let used = journal.used.of(slot, lane);
                    used.input_tokens = used.input_tokens.saturating_add(input);
                    used.output_tokens = used.output_tokens.saturating_add(output);
                }
                Did::Succeeded(wall_ms) => {
                    journal.used.of(slot, lane).last_success = Some(wall_ms);
                    let weight = roster.keys[slot as usize].adaptive;
                    if journal.succeeded(slot, weight, wall_ms) {
                        journal.touched.insert((slot, lane));
                    }
                }
            }
        }
        journal.entries.0 = entries;
    }
}

impl Journal {
    /// A key served, and weighs so much; whether its record is to be written.
    pub(super) fn succeeded(&mut self, slot: u32, weight: f32, wall_ms: i64) -> bool {
        let takes_started = self.takes_started;
        let health = self.health(slot);
        health.last_success = Some(wall_ms);
        let is_news = !takes_started || health.told_weight.is_none_or(|told| told.to_bits() != weight.to_bits());
        std::mem::take(&mut health.consecutive) > 0 || (is_news && wall_ms.saturating_sub(health.told) >= TELL_AGAIN)
    }
}
