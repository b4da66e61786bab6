//! Requests that had better meet the same owner again, whose provider still has the beginning of their prompt at hand.
//!
//! Who that is, is weighted rendezvous hashing: each owner has a score for each number, drawn from both and from what its
//! keys weigh together (those that are just back weigh less), and the best that may serve now does. So nothing is kept of
//! anybody, every process chooses alike, and an owner that comes, goes or weighs something else moves only its own share.
//! An owner that has too much in flight beside the others, for its weight, is passed over, and the next by score takes the
//! request.
//!
//! What is looked at is bounded: owners stand around a ring by their names, and those that a number meets first, from its
//! own place on, are its candidates. Of a pool with no more owners than that all are; of a larger one, an owner that goes
//! lets one other in for each number that it was a candidate of.

use std::fmt::{self, Write as _};

use super::{
    ask::{Ask, Excluded},
    ring::{OWNERS, Spot},
    seats::Probes,
    state::State,
};
use crate::time::Now;

/// Of an owner with more keys so many are looked at.
const KEYS: usize = 16;

/// An owner that may serve, by what its keys are now.
struct Candidate {
    score: f64,
    weight: f64,
    held: f64,
    owner: u32,
    /// Its keys, among those that were looked at.
    keys: std::ops::Range<usize>,
}

impl State {
    /// The best key of the owner that this number leads to; of the priority that any other request would be served by.
    #[inline(never)]
    pub(super) fn pick_near(&mut self, ask: &Ask<'_>, excluded: &Excluded, number: u64) -> Option<(u32, Probes)> {
        let any = self.pick_any(ask, excluded)?;
        // Who was refused already is not near any more: what refusals say of each other goes by the usual order.
        if !excluded.is_empty() {
            return Some(any);
        }
        let mut ring = std::mem::take(&mut self.ring);
        ring.renew(&self.roster, ask.now);
        let priority = self.roster.keys[any.0 as usize].priority;
        let spots = ring.from(priority, mixed(number));
        let (slots, candidates) = self.candidates(spots, number, priority, ask.now);
        self.ring = ring;
        let (in_flight, weight) =
            candidates.iter().fold((0.0, 0.0), |(held, weight), one| (held + one.held, weight + one.weight));
        for candidate in candidates {
            // At most 5/4 of its share by weight and one more, this request among them.
            if candidate.held * 4.0 * weight > 5.0 * (in_flight + 1.0) * candidate.weight {
                continue;
            }
            let best = self.best_of(ask, slots[candidate.keys].iter().copied());
            if best.is_some() {
                return best;
            }
        }
        Some(any)
    }

    /// A key of the owner that this number leads to while nobody is busy, of the first priority.
    pub(super) fn nearest(&mut self, number: u64, now: Now) -> Option<u32> {
        let priority = self.roster.slots().map(|slot| self.roster.keys[slot as usize].priority).min()?;
        let mut ring = std::mem::take(&mut self.ring);
        ring.renew(&self.roster, now);
        let (slots, candidates) = self.candidates(ring.from(priority, mixed(number)), number, priority, now);
        self.ring = ring;
        candidates.first().and_then(|first| slots.get(first.keys.start)).copied()
    }

    /// The owners of these spots, each with what its keys are now, the best by score first.
    fn candidates<'r>(
        &self,
        spots: impl Iterator<Item = &'r [Spot]>,
        number: u64,
        priority: u16,
        now: Now,
    ) -> (Vec<u32>, Vec<Candidate>) {
        let (mut slots, mut candidates) = (Vec::new(), Vec::with_capacity(OWNERS));
        for spots in spots.take(OWNERS) {
            let first = spots[0];
            let owner = &self.roster.owners[first.owner as usize];
            if owner.rest.as_deref().is_some_and(|rest| rest.is_active(now)) {
                continue;
            }
            // Others of its keys for other numbers.
            let begins = (number % spots.len() as u64) as usize;
            let some = spots[begins..].iter().chain(&spots[..begins]).take(KEYS);
            let (from, mut weight, mut held) = (slots.len(), 0.0, 0.0);
            for spot in some {
                let key = &self.roster.keys[spot.slot as usize];
                // The ring may be of a moment ago.
                let is_it = !key.removed && key.owner == spot.owner && key.priority == priority;
                if !is_it || key.rest.as_deref().is_some_and(|rest| rest.is_active(now)) {
                    continue;
                }
                weight += f64::from(key.weight * key.ramp_factor());
                held += f64::from(key.in_flight);
                slots.push(spot.slot);
            }
            if slots.len() == from {
                continue;
            }
            let all = spots.len() as f64 / spots.len().min(KEYS) as f64;
            let name = owner.extra.as_ref().and_then(|extra| extra.name.as_deref());
            let score = match name {
                Some(name) => score(number, name),
                None => score(number, &self.roster.keys[first.slot as usize].id),
            };
            candidates.push(Candidate {
                score: weighed(score, weight * all),
                weight: weight * all,
                held: held * all,
                owner: first.owner,
                keys: from..slots.len(),
            });
        }
        candidates.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.owner.cmp(&b.owner)));
        (slots, candidates)
    }
}

/// The score of an owner with this weight: who weighs twice as much wins twice as often.
fn weighed(score: u64, weight: f64) -> f64 {
    // Between 0 and 1, and neither.
    let drawn = ((score >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -weight / drawn.ln()
}

/// FNV-1a over what is written to it.
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Of a name and a number; the same in every process and version.
pub(super) fn score(number: u64, name: impl fmt::Display) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let _ = write!(hash, "{name}");
    let Fnv(hash) = hash;
    mixed(hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The finalizer of `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proptest::prelude::*;

    use crate::{Affinity, Demand, Gemini, Key, KeyPool, Lease, Limits, ManualClock};

    fn pool(owners: usize, per_minute: Option<u64>, clock: &ManualClock) -> KeyPool {
        // Two keys each.
        let keys = (0..owners * 2).map(|n| {
            Key::new(format!("AIza-not-a-real-key-{n:05}")).id(format!("k{n}")).owner(format!("owner-{}", n / 2))
        });
        let builder = KeyPool::builder(Gemini::new()).keys(keys).clock(clock.clock());
        match per_minute {
            Some(amount) => builder.limits("m", Limits::new().per_minute(amount)).build().unwrap(),
            None => builder.build().unwrap(),
        }
    }

    fn near(pool: &KeyPool, number: u64) -> Option<Lease> {
        pool.try_acquire(Demand::new("m").affinity(Affinity::Near(number))).ok()
    }

    fn owner(lease: &Lease) -> usize {
        lease.key_id().to_string()[1..].parse::<usize>().unwrap() / 2
    }

    #[test]
    fn numbers_spread_evenly_and_stay_where_they_are() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let pool = pool(10, None, &clock);
        let mut counts = HashMap::new();
        let homes: Vec<usize> = (0..2_000).map(|number| owner(&near(&pool, number).unwrap())).collect();
        for home in &homes {
            *counts.entry(*home).or_insert(0) += 1;
        }
        assert!(counts.len() == 10 && counts.values().all(|count| (140..=260).contains(count)), "{counts:?}");
        clock.advance(Duration::from_secs(3_600));
        assert!((0..2_000).all(|number| owner(&near(&pool, number).unwrap()) == homes[number as usize]));
    }

    #[test]
    fn an_owner_that_goes_moves_its_own_share_alone_and_gets_it_back() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let pool = pool(10, None, &clock);
        let home = |number| owner(&near(&pool, number).unwrap());
        let before: Vec<usize> = (0..500).map(home).collect();
        let gone = before[0];
        for key in [gone * 2, gone * 2 + 1] {
            pool.disable(&format!("k{key}").as_str().into(), "by test").unwrap();
        }
        let mut heirs = HashMap::new();
        for (number, before) in before.iter().enumerate() {
            let now = home(number as u64);
            assert!(now != gone);
            if *before == gone {
                *heirs.entry(now).or_insert(0) += 1;
            } else {
                assert_eq!(now, *before, "{number}");
            }
        }
        assert!(heirs.len() > 4, "what was its own goes to many: {heirs:?}");
        for key in [gone * 2, gone * 2 + 1] {
            pool.enable(&format!("k{key}").as_str().into()).unwrap();
        }
        assert_eq!((0..500).map(home).collect::<Vec<_>>(), before);
    }

    /// Each of these owners has one key.
    fn weighing(weights: &[f32], clock: &ManualClock) -> KeyPool {
        let keys = weights.iter().enumerate().map(|(n, weight)| {
            let key = Key::new(format!("AIza-not-a-real-key-{n:05}")).id(format!("k{n}"));
            key.owner(format!("owner-{n}")).weight(*weight)
        });
        KeyPool::builder(Gemini::new()).keys(keys).clock(clock.clock()).build().unwrap()
    }

    fn shares(pool: &KeyPool, keys: usize, numbers: u64) -> Vec<usize> {
        let mut shares = vec![0; keys];
        for number in 0..numbers {
            let id = near(pool, number).unwrap().key_id().to_string();
            shares[id[1..].parse::<usize>().unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn who_weighs_more_is_near_more_often_and_bears_more() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let pool = weighing(&[1.0, 3.0, 1.0, 1.0], &clock);
        let of = shares(&pool, 4, 3_000);
        assert!((1_350..=1_650).contains(&of[1]), "half of it: {of:?}");
        assert!([0, 2, 3].iter().all(|n| (400..=600).contains(&of[*n])), "{of:?}");
        // Of many at once it has its share, and a quarter more at most.
        let mut counts = [0; 4];
        let held: Vec<Lease> = (0..120).map(|number| near(&pool, number % 3).unwrap()).collect();
        for lease in &held {
            counts[lease.key_id().to_string()[1..].parse::<usize>().unwrap()] += 1;
        }
        assert!(counts[1] <= 76 && [0, 2, 3].iter().all(|n| counts[*n] <= 26), "{counts:?}");
        drop(held);
        // Another weight moves its own share alone.
        let home = |pool: &KeyPool, number| near(pool, number).unwrap().key_id().to_string();
        let before: Vec<String> = (0..500).map(|number| home(&pool, number)).collect();
        pool.set_weight(&"k0".into(), 2.0).unwrap();
        for (number, before) in before.iter().enumerate() {
            let now = home(&pool, number as u64);
            assert!(now == *before || now == "k0", "{number}: {before} {now}");
        }
    }

    #[test]
    fn who_is_just_back_has_a_part_of_its_share() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let pool = weighing(&[1.0; 4], &clock);
        let before = shares(&pool, 4, 2_000);
        // At the foot of its ramp.
        pool.state().roster.keys[0].ramp = crate::pool::roster::RAMP_STEPS;
        let after = shares(&pool, 4, 2_000);
        assert!(before[0] > 400 && (30..=100).contains(&after[0]), "a tenth: {before:?} {after:?}");
    }

    #[test]
    fn of_many_owners_few_are_looked_at_and_few_move() {
        const MANY: usize = 5_000;
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let pool = weighing(&vec![1.0; MANY], &clock);
        let home = |number| near(&pool, number).unwrap().key_id().to_string();
        let before: Vec<String> = (0..4_000).map(home).collect();
        let distinct: std::collections::HashSet<&String> = before.iter().collect();
        assert!(distinct.len() > 2_300, "spread over nearly as many as there may be: {}", distinct.len());
        for n in 0..MANY / 100 {
            pool.remove(&format!("k{}", n * 100).as_str().into()).unwrap();
        }
        clock.advance(Duration::from_secs(2));
        let moved = (0..4_000).filter(|number| home(*number) != before[*number as usize]).count();
        assert!((1..160).contains(&moved), "a hundredth of the owners left: {moved}");
    }

    #[test]
    fn keys_that_come_and_owners_with_many_keys_have_their_share() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let key = |n: usize, owner: &str| Key::new(format!("AIza-not-a-real-key-{n:05}")).owner(owner);
        let keys = (0..40).map(|n| key(n, "large")).chain([key(40, "small")]);
        let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(clock.clock()).build().unwrap();
        let names = |numbers: u64| {
            let ids = (0..numbers).map(|number| near(&pool, number).unwrap().key_id().to_string());
            ids.collect::<std::collections::HashSet<String>>().len()
        };
        assert!(names(4_000) > 30, "all keys of an owner serve in turn");
        let id = pool.add(key(41, "new").weight(41.0)).unwrap();
        let of_new = (0..1_000).filter(|number| near(&pool, *number).unwrap().key_id() == &id).count();
        assert!((430..=570).contains(&of_new), "{of_new}");
    }

    #[test]
    fn an_earlier_priority_comes_first() {
        let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let key = |n: u16| Key::new(format!("AIza-not-a-real-key-{n:05}")).priority(crate::Priority(n / 3));
        let builder = KeyPool::builder(Gemini::new()).keys((0..6).map(|n| key(n).id(format!("k{n}"))));
        let pool = builder.clock(clock.clock()).build().unwrap();
        for number in 0..200 {
            let lease = near(&pool, number).unwrap();
            assert!(["k0", "k1", "k2"].contains(&&*lease.key_id().to_string()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is asked for, limits hold, nobody has more than its share and one in flight, and nothing is refused that
        /// any other request would have got.
        #[test]
        fn limits_hold_and_none_is_overloaded(
            owners in 1_usize..8,
            amount in 1_u64..20,
            asked in prop::collection::vec((0_u64..4, 0_usize..4, 0_u64..5_000), 1..200),
        ) {
            let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
            let pool = pool(owners, Some(amount), &clock);
            let (mut held, mut starts): (Vec<Lease>, Vec<Vec<u64>>) = (Vec::new(), vec![Vec::new(); owners]);
            let mut now = 0;
            for (number, ends, pause) in asked {
                clock.advance(Duration::from_millis(pause));
                now += pause;
                for _ in 0..ends.min(held.len()) {
                    drop(held.remove(0));
                }
                match near(&pool, number) {
                    Some(lease) => {
                        let owner = owner(&lease);
                        starts[owner].push(now);
                        let window = starts[owner].iter().filter(|start| now - **start < 60_000).count();
                        prop_assert!(window as u64 <= amount);
                        held.push(lease);
                    }
                    None => prop_assert!(pool.try_acquire(Demand::new("m")).is_err()),
                }
            }
        }

        #[test]
        fn the_load_is_bounded(owners in 2_usize..12, requests in 1_usize..200, numbers in 1_u64..4) {
            let clock = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
            let pool = pool(owners, None, &clock);
            let mut counts = vec![0_usize; owners];
            let mut held = Vec::new();
            for request in 0..requests {
                let lease = near(&pool, request as u64 % numbers).unwrap();
                counts[owner(&lease)] += 1;
                held.push(lease);
                let most = 5 * held.len() / (4 * owners) + 1;
                prop_assert!(counts.iter().all(|count| *count <= most), "{counts:?} of {}", held.len());
            }
        }
    }
}
