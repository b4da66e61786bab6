//! Those who wait while answers come in: several lanes, priorities, and verdicts of all kinds.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::model::{clock, provider};
use crate::{Affinity, Demand, Key, KeyId, KeyPool, Lease, Limits, Priority, Scope, Until, Verdict, VerdictKind};

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Somebody comes, for one of the lanes; must have one of the keys, or takes any.
    Come {
        lane: usize,
        must: Option<usize>,
    },
    /// Whoever waits there longest leaves.
    Leave {
        at: usize,
    },
    /// An answer, with which its lease ends.
    Answer {
        lease: usize,
        verdict: usize,
        seconds: u64,
    },
    Enable {
        key: usize,
    },
    Pass {
        millis: u64,
    },
}

const LANES: [&str; 3] = ["a", "b", "c"];
const KEYS: usize = 4;

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..LANES.len(), prop::option::weighted(0.3, 0..KEYS)).prop_map(|(lane, must)| Step::Come { lane, must }),
        1 => (0..8usize).prop_map(|at| Step::Leave { at }),
        5 => (0..8usize, 0..8usize, 1u64..100)
            .prop_map(|(lease, verdict, seconds)| Step::Answer { lease, verdict, seconds }),
        1 => (0..KEYS).prop_map(|key| Step::Enable { key }),
        3 => (1u64..40_000).prop_map(|millis| Step::Pass { millis }),
    ];
    prop::collection::vec(step, 1..80)
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Waiter {
    number: usize,
    wants: (usize, Option<usize>),
    acquire: Pin<Box<crate::Acquire>>,
    woken: Arc<Woken>,
}

impl Waiter {
    fn poll(&mut self) -> Poll<Result<Lease, crate::Error>> {
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken));
        self.acquire.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

fn id(key: usize) -> KeyId {
    KeyId::from(format!("key-{key}"))
}

fn answer(number: usize, seconds: u64) -> Verdict {
    let pause = Until::For(Duration::from_secs(seconds));
    let limited = |scope| Verdict::new(VerdictKind::RateLimited).scope(scope).until(pause);
    match number {
        0..=2 => Verdict::SUCCESS,
        3 => limited(Scope::OwnerLane),
        4 => limited(Scope::Key),
        5 => limited(Scope::Lane),
        6 => limited(Scope::Exit),
        _ => Verdict::new(VerdictKind::CallerFault),
    }
}

/// Each who stays is served; of those who want the same in their order; and as soon as an answer or a hand makes room for
/// one who waits that one is woken, whatever lane it was in.
pub(super) fn waiting(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    let time = clock();
    let key = |n: usize| {
        let key = Key::new(format!("AIza-not-a-real-key-{n:05}")).id(id(n)).max_concurrent(1);
        key.priority(Priority(if n < 2 { 0 } else { 10 }))
    };
    let pool = KeyPool::builder(provider())
        .keys((0..KEYS).map(key))
        .limits("a", Limits::new().per_minute(3))
        .limits("b", Limits::new().per_minute(5))
        .clock(time.clock())
        .build()
        .expect("a pool");
    let (mut waiting, mut leases, mut served) = (Vec::<Waiter>::new(), Vec::new(), Vec::new());
    let mut came = 0;
    for step in steps {
        let mut passes = false;
        match step {
            Step::Come { lane, must } => {
                let demand = Demand::new(LANES[lane]).wait(Duration::from_secs(86_400));
                let demand = match must {
                    Some(key) => demand.affinity(Affinity::MustKey(id(key))),
                    None => demand,
                };
                let woken = Arc::new(Woken(AtomicBool::new(true)));
                waiting.push(Waiter {
                    number: came,
                    wants: (lane, must),
                    acquire: Box::pin(pool.acquire(demand)),
                    woken,
                });
                came += 1;
            }
            Step::Leave { at } if at < waiting.len() => drop(waiting.remove(at)),
            Step::Answer { lease, verdict, seconds } if lease < leases.len() => {
                let lease: Lease = leases.swap_remove(lease);
                lease.settle(&answer(verdict, seconds));
            }
            Step::Enable { key } => pool.enable(&id(key)).expect("a key of this test"),
            Step::Pass { millis } => {
                time.advance(Duration::from_millis(millis));
                // Whoever waits for a time has a timer of the runtime's, which does not go by this clock.
                passes = true;
            }
            Step::Leave { .. } | Step::Answer { .. } => {}
        }
        serve(&mut waiting, &mut leases, &mut served, passes)?;
    }
    let mut rounds = 0;
    while !waiting.is_empty() {
        leases.clear();
        serve(&mut waiting, &mut leases, &mut served, false)?;
        time.advance(Duration::from_millis(500));
        serve(&mut waiting, &mut leases, &mut served, true)?;
        rounds += 1;
        prop_assert!(rounds < 10_000, "law 6: {} wait for ever", waiting.len());
    }
    for lane in 0..LANES.len() {
        for must in (0..KEYS).map(Some).chain([None]) {
            let order: Vec<usize> =
                served.iter().filter(|(wants, _)| *wants == (lane, must)).map(|(_, n)| *n).collect();
            prop_assert!(order.is_sorted(), "law 6: {:?} of {:?}", order, (lane, must));
        }
    }
    drop(leases);
    let snapshot = pool.snapshot();
    prop_assert_eq!((snapshot.waiters, snapshot.in_flight), (0, 0), "law 4");
    Ok(())
}

/// Looks after those who were woken, until nobody is; then after all: nobody could have been served who was not.
fn serve(
    waiting: &mut Vec<Waiter>,
    leases: &mut Vec<Lease>,
    served: &mut Vec<((usize, Option<usize>), usize)>,
    all: bool,
) -> Result<(), TestCaseError> {
    let mut everybody = all;
    loop {
        let next = waiting.iter().position(|waiter| everybody || waiter.woken.0.load(Ordering::Relaxed));
        let Some(first) = next else { break };
        let mut at = first;
        let mut any = false;
        while at < waiting.len() {
            if (everybody || waiting[at].woken.0.load(Ordering::Relaxed))
                && let Poll::Ready(lease) = waiting[at].poll()
            {
                let waiter = waiting.remove(at);
                prop_assert!(lease.is_ok(), "{:?}", lease);
                leases.extend(lease.ok());
                served.push((waiter.wants, waiter.number));
                any = true;
            } else {
                at += 1;
            }
        }
        everybody = false;
        if !any && !waiting.iter().any(|waiter| waiter.woken.0.load(Ordering::Relaxed)) {
            break;
        }
    }
    for waiter in waiting {
        prop_assert!(waiter.poll().is_pending(), "law 6: {} was served, and not woken", waiter.number);
    }
    Ok(())
}
