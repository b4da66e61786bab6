//! Boards with the mistakes that people make: the suite that is there for boards of others finds each.

use std::{collections::BTreeMap, sync::Mutex};

use tokio::time::Instant;
use tower_keypool::{
    BoxError,
    share::{Board, BoardState, HolderId, Renewal, Reply, Server, UnitId, apply, conformance},
};

#[derive(Clone, Copy, Debug)]
enum Mistake {
    None,
    /// Two renewals read the same and each writes its own.
    LosesUpdates,
    /// Whose windows they are is not asked.
    KnowsNoFence,
    /// It is told the same time for ever.
    StandsStill,
    /// Seconds are taken for milliseconds.
    CountsSeconds,
    /// Time runs ten times as fast.
    Races,
    /// What all are to know of stays where it was.
    ForgetsRests,
    /// A renewal that comes again is done again.
    DoesItAgain,
    /// Each renewal finds an empty board.
    ForgetsAll,
}

struct Wrong {
    state: Mutex<BoardState>,
    /// Under which number who was granted it last.
    lent: Mutex<BTreeMap<UnitId, (HolderId, u64)>>,
    numbers: Mutex<BTreeMap<HolderId, u64>>,
    begun: Instant,
    mistake: Mistake,
}

/// When it began, by the wall's clock.
const WALL: i64 = 1_781_550_000_000;

impl Wrong {
    fn now(&self) -> i64 {
        let passed = self.begun.elapsed().as_millis() as i64;
        match self.mistake {
            Mistake::StandsStill => WALL,
            Mistake::CountsSeconds => (WALL + passed) / 1_000,
            Mistake::Races => WALL + 10 * passed,
            _ => WALL + passed,
        }
    }

    fn apply(&self, state: &mut BoardState, renewal: &Renewal) -> Reply {
        let mut renewal = renewal.clone();
        match self.mistake {
            Mistake::KnowsNoFence => {
                let lent = self.lent.lock().unwrap();
                let theirs = renewal.held.iter_mut().find_map(|held| {
                    let (holder, fence) = lent.get(&held.unit).filter(|(holder, _)| *holder != renewal.holder)?;
                    held.fence = *fence;
                    Some(holder.clone())
                });
                renewal.holder = theirs.unwrap_or(renewal.holder);
            }
            Mistake::ForgetsRests => renewal.news.clear(),
            Mistake::DoesItAgain => {
                let mut numbers = self.numbers.lock().unwrap();
                let last = numbers.entry(renewal.holder.clone()).or_default();
                renewal.number = renewal.number.max(*last + 1);
                *last = renewal.number;
            }
            _ => {}
        }
        let reply = apply(state, &renewal, Server { now: self.now(), identity: "" });
        let granted =
            reply.granted.iter().map(|granted| (granted.unit.clone(), (renewal.holder.clone(), granted.fence)));
        self.lent.lock().unwrap().extend(granted);
        reply
    }
}

impl Board for Wrong {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, BoxError> {
        match self.mistake {
            Mistake::LosesUpdates => {
                let mut state = self.state.lock().unwrap().clone();
                tokio::task::yield_now().await;
                let reply = self.apply(&mut state, renewal);
                *self.state.lock().unwrap() = state;
                Ok(reply)
            }
            Mistake::ForgetsAll => {
                let mut state = BoardState::fresh();
                Ok(self.apply(&mut state, renewal))
            }
            _ => Ok(self.apply(&mut self.state.lock().unwrap(), renewal)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the boards go by the paused time of tokio")]
async fn is_convicted(mistake: Mistake) -> bool {
    let checked = tokio::task::spawn_local(async move {
        conformance::check(async || Wrong {
            state: Mutex::new(BoardState::fresh()),
            lent: Mutex::default(),
            numbers: Mutex::default(),
            begun: Instant::now(),
            mistake,
        })
        .await;
    });
    checked.await.is_err()
}

#[tokio::test(start_paused = true)]
async fn every_mistake_is_found() {
    let check = async {
        assert!(!is_convicted(Mistake::None).await, "one without any");
        let mut acquitted = Vec::new();
        for mistake in [
            Mistake::LosesUpdates,
            Mistake::KnowsNoFence,
            Mistake::StandsStill,
            Mistake::CountsSeconds,
            Mistake::Races,
            Mistake::ForgetsRests,
            Mistake::DoesItAgain,
            Mistake::ForgetsAll,
        ] {
            if !is_convicted(mistake).await {
                acquitted.push(mistake);
            }
        }
        assert!(acquitted.is_empty(), "acquitted: {acquitted:?}");
    };
    tokio::task::LocalSet::new().run_until(check).await;
}
