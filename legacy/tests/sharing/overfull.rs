//! A prompt that is larger than a limit which nobody knew is refused whole: what it would have filled is there for all.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, QuotaNews, Span, Unit, Until, Verdict, VerdictKind, Violation};

use crate::host::{FLASH, Host, builder, pass, paused};

const WAIT: Duration = Duration::from_secs(10);

/// What is counted of each limit.
fn used(pool: &KeyPool) -> Vec<u64> {
    let lanes = pool.snapshot().keys.into_iter().flat_map(|key| key.lanes);
    lanes.flat_map(|lane| lane.limits).map(|limit| limit.used).collect()
}

/// The window is of a unit that nobody was lent yet: what was taken from it there cannot be put back later.
#[test]
fn what_was_refused_whole_leaves_its_room_to_every_process() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let (one, other) = (host.process("one", 1, builder(1)).await, host.process("other", 1, builder(1)).await);
            pass(3.0).await;
            let lease = one.pool.acquire(Demand::new(FLASH).about_tokens(300_000).wait(WAIT)).await.unwrap();
            let hit = Violation { unit: Unit::InputTokens, span: Span::MINUTE, amount: Some(250_000) };
            let news = QuotaNews { violations: vec![hit], decisive: Some(hit), ..QuotaNews::default() };
            let until = Until::For(Duration::from_secs(1));
            lease.settle(&Verdict::new(VerdictKind::RateLimited).until(until).news(news));
            assert_eq!(used(&one.pool), [0], "noting: {noting}");
            for process in [&one, &other] {
                let lease = process.pool.acquire(Demand::new(FLASH).tokens(200_000).wait(WAIT)).await;
                lease.unwrap_or_else(|error| panic!("noting: {noting}: {error}")).settle(&Verdict::SUCCESS);
                pass(62.0).await;
            }
        });
    }
}
