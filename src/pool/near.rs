//! Requests that had better meet the same owner again, whose provider still has the beginning of their prompt at hand.
//!
//! Who that is, is rendezvous hashing: each owner has a score for each number, and the best that may serve now does. So
//! nothing is kept of anybody, every process chooses alike, and an owner that comes or goes moves only its own share. An
//! owner that has too much in flight beside the others is passed over, and the next by score takes the request.

use std::fmt::{self, Write as _};

use super::{
    ask::{Ask, Excluded},
    check::Check,
    seats::Probes,
    state::State,
};

/// The scores of more keys than these would cost more than the affinity is worth: any key serves then.
const MOST: usize = 4_096;

/// An owner's key, with its owner's score.
struct Candidate {
    score: u64,
    owner: u32,
    slot: u32,
}

impl State {
    /// The best key of the owner that this number leads to; of the priority that any other request would be served by.
    #[inline(never)]
    pub(super) fn pick_near(&mut self, ask: &Ask<'_>, excluded: &Excluded, number: u64) -> Option<(u32, Probes)> {
        let any = self.pick_any(ask, excluded)?;
        // Who was refused already is not near any more: what refusals say of each other goes by the usual order.
        if self.roster.keys.len() > MOST || !excluded.is_empty() {
            return Some(any);
        }
        let priority = self.roster.keys[any.0 as usize].priority;
        let mut candidates = Vec::new();
        let mut in_flight = 0;
        for slot in self.roster.slots() {
            let key = &self.roster.keys[slot as usize];
            let owner = &self.roster.owners[key.owner as usize];
            let rests = [key.rest.as_deref(), owner.rest.as_deref()].into_iter().flatten();
            if key.priority != priority || rests.into_iter().any(|rest| rest.is_active(ask.now)) {
                continue;
            }
            in_flight += u64::from(key.in_flight);
            let name = owner.extra.as_ref().and_then(|extra| extra.name.as_deref());
            let score = match name {
                Some(name) => score(number, name),
                None => score(number, &key.id),
            };
            candidates.push(Candidate { score, owner: key.owner, slot });
        }
        candidates.sort_unstable_by_key(|candidate| (std::cmp::Reverse(candidate.score), candidate.owner));
        let of_one = |a: &Candidate, b: &Candidate| a.owner == b.owner;
        let owners = candidates.chunk_by(of_one).count() as u64;
        for keys in candidates.chunk_by(of_one) {
            let held: u64 = keys.iter().map(|key| u64::from(self.roster.keys[key.slot as usize].in_flight)).sum();
            // At most 5/4 of the mean and one more, this request among them.
            if held * 4 * owners > 5 * (in_flight + 1) {
                continue;
            }
            let mut best: Option<(u64, u32, Probes)> = None;
            for slot in keys.iter().map(|key| key.slot) {
                if let Check::Ready(probes) = self.check(ask, slot) {
                    let rank = self.rank_now(ask.lane, slot);
                    if best.is_none_or(|(held, ..)| rank < held) {
                        best = Some((rank, slot, probes));
                    }
                }
            }
            if let Some((_, slot, probes)) = best {
                return Some((slot, probes));
            }
        }
        Some(any)
    }
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
fn score(number: u64, name: impl fmt::Display) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    let _ = write!(hash, "{name}");
    let Fnv(hash) = hash;
    // The finalizer of SplitMix64.
    let mut mixed = hash.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
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
