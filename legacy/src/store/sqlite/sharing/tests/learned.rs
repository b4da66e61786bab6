//! What answers told of limits, where nobody lives to say it again.

use std::time::{Duration, SystemTime};

use super::{Party, runtime};
use crate::{
    share::{Board, Moment, NAMED, News},
    store::Store,
    time::ManualClock,
};

#[test]
fn who_begins_alone_hears_of_limits_and_of_rests_no_more() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut first = Party::new(&path, &clock, "first", false);
        for scope in ["learned\na", "rest\nof the tables"] {
            let said = News::Rest { scope: scope.into(), until: NAMED, generation: 0, why: "told".into() };
            first.holder.tell(said, Moment::of(&clock.clock()));
        }
        first.renews(&clock, 10).await;
        first.ends(&clock).await;
        clock.advance(Duration::from_secs(60));
        let mut next = Party::new(&path, &clock, "next", false);
        next.board.load().await.expect("loaded");
        let now = Moment::of(&clock.clock());
        next.holder.renew_now(now);
        let renewal = next.holder.renewal(&mut next.books, now).expect("it is due");
        let reply = next.board.renew(&renewal).await.expect("an answer");
        assert_eq!(reply.facts.keys().collect::<Vec<_>>(), ["learned\na"]);
    });
}
