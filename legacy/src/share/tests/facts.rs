//! What processes call owners: who was first, what the board says of it, and for how long.

use std::{collections::BTreeMap, time::Duration};

use crate::share::{BoardState, HolderId, NAMED, News, Renewal, Reply, Server, VERSION, apply};

const HOUR: i64 = 3_600_000;
const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

/// A first renewal that says nothing.
pub(super) fn blank(holder: &HolderId) -> Renewal {
    Renewal {
        version: VERSION,
        holder: holder.clone(),
        number: 1,
        generation: 0,
        acknowledged: 0,
        elapsed: None,
        trip: 0,
        nonce: 9,
        lease: Duration::from_secs(10).as_millis() as u64,
        longest: 0,
        roster: 1,
        units: Some([].into()),
        held: Vec::new(),
        returned: Vec::new(),
        demand: BTreeMap::new(),
        claims: Vec::new(),
        settled: Vec::new(),
        news: Vec::new(),
        revision: 0,
        buried: Vec::new(),
        noting: false,
        noted: 0,
        looks: Vec::new(),
        days: Vec::new(),
        left: Vec::new(),
        heard: None,
        ends: false,
        other: BTreeMap::new(),
    }
}

/// One who says names and hears facts.
struct Sayer {
    holder: HolderId,
    number: u64,
    generation: u64,
    revision: u64,
    news: u64,
}

impl Sayer {
    fn new(name: &str) -> Self {
        Self { holder: HolderId::new(name, 1), number: 0, generation: 0, revision: 0, news: 0 }
    }

    fn says(&mut self, board: &mut BoardState, names: &[(&str, u32, &str)], now: i64) -> Reply {
        self.number += 1;
        let mut news = Vec::new();
        for (scope, generation, why) in names {
            self.news += 1;
            let (scope, why) = ((*scope).to_owned(), (*why).to_owned());
            news.push((self.news, News::Rest { scope, until: NAMED, generation: *generation, why }));
        }
        let renewal = Renewal {
            number: self.number,
            generation: self.generation,
            acknowledged: self.number - 1,
            news,
            revision: self.revision,
            ..blank(&self.holder)
        };
        let reply = apply(board, &renewal, Server { now: NOON + now, identity: "" });
        (self.generation, self.revision) = (reply.generation, reply.revision);
        reply
    }
}

#[test]
fn a_name_is_what_was_said_first_until_a_later_generation() {
    let (mut board, mut one, mut other) = (BoardState::fresh(), Sayer::new("one"), Sayer::new("other"));
    let reply = one.says(&mut board, &[("owner\nk", 0, "project")], 0);
    assert!(reply.facts.is_empty() && reply.news == 1, "what it said itself holds: {:?}", reply.facts);
    let reply = other.says(&mut board, &[("owner\nk", 0, "key:k")], 1_000);
    assert_eq!(reply.facts["owner\nk"].why, "project");
    let reply = one.says(&mut board, &[], 2_000);
    assert!(reply.facts.is_empty(), "nothing new: {:?}", reply.facts);
    other.says(&mut board, &[("owner\nk", 1, "key:k")], 3_000);
    assert_eq!(one.says(&mut board, &[], 4_000).facts["owner\nk"].why, "key:k");
}

#[test]
fn a_name_that_nobody_says_any_more_is_forgotten_after_a_week() {
    let (mut board, mut one, mut other) = (BoardState::fresh(), Sayer::new("one"), Sayer::new("other"));
    one.says(&mut board, &[("owner\nstays", 0, "a"), ("owner\ngoes", 0, "b")], 0);
    for day in 1..8 {
        let reply = one.says(&mut board, &[("owner\nstays", 0, "a")], day * 24 * HOUR);
        assert!(reply.facts.is_empty(), "{:?}", reply.facts);
    }
    let reply = other.says(&mut board, &[], 7 * 24 * HOUR + 2 * HOUR);
    assert_eq!(reply.facts.keys().collect::<Vec<_>>(), ["owner\nstays"]);
    // It may be said anew, and then that holds.
    let reply = other.says(&mut board, &[("owner\ngoes", 0, "c")], 7 * 24 * HOUR + 3 * HOUR);
    assert!(reply.facts.is_empty());
    assert_eq!(
        one.says(&mut board, &[("owner\ngoes", 0, "b")], 7 * 24 * HOUR + 4 * HOUR).facts["owner\ngoes"].why,
        "c"
    );
}

#[test]
fn saying_a_name_once_more_is_no_change_unless_half_a_day_has_passed() {
    let (mut board, mut one) = (BoardState::fresh(), Sayer::new("one"));
    let said = [("alias\nb", 0, "a")];
    assert_eq!(one.says(&mut board, &said, 0).revision, 1);
    assert_eq!(one.says(&mut board, &said, 11 * HOUR).revision, 1);
    assert_eq!(one.says(&mut board, &said, 13 * HOUR).revision, 2);
}
