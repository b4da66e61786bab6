//! Refusals of whoever was not let in: the log tells of the first of each kind, and then how many others there were each
//! second. A flood of them turns over no log.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::{runtime::Handle, time::sleep};

/// A kind, by its status, has one line in this time.
const SPAN: Duration = Duration::from_secs(1);

/// Tells of so many others of a kind.
pub(crate) type Teller = fn(StatusCode, u64);

/// Kinds of which a line was told just now, and how many had none since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strangers(Arc<Mutex<BTreeMap<StatusCode, u64>>>);

impl Strangers {
    /// Whether this one has a line of its own; else it is among those that are told together.
    pub(crate) fn have_a_line(&self, status: StatusCode, others: Teller) -> bool {
        // Without a runtime nobody would tell of the others.
        let Ok(runtime) = Handle::try_current() else { return true };
        let mut told = self.lock();
        if let Some(untold) = told.get_mut(&status) {
            *untold += 1;
            return false;
        }
        told.insert(status, 0);
        drop(told);
        let mut following = Following { strangers: self.clone(), status, others: Some(others) };
        runtime.spawn(async move {
            while following.others.is_some() {
                sleep(SPAN).await;
                following.tell();
            }
        });
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StatusCode, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of the others as long as there are any.
struct Following {
    strangers: Strangers,
    status: StatusCode,
    /// `None` once there are none.
    others: Option<Teller>,
}

impl Following {
    fn tell(&mut self) {
        let Some(others) = self.others else { return };
        let mut told = self.strangers.lock();
        let untold = told.get_mut(&self.status).map_or(0, mem::take);
        if untold == 0 {
            told.remove(&self.status);
            self.others = None;
            return;
        }
        drop(told);
        others(self.status, untold);
    }
}

impl Drop for Following {
    /// The gateway ends: nobody is left uncounted.
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::advance;

    use super::*;

    thread_local! {
        static TOLD: RefCell<Vec<(u16, u64)>> = const { RefCell::new(Vec::new()) };
    }

    fn tell(status: StatusCode, others: u64) {
        TOLD.with_borrow_mut(|told| told.push((status.as_u16(), others)));
    }

    fn told() -> Vec<(u16, u64)> {
        TOLD.take()
    }

    /// What has to be done by then is.
    async fn pass(time: Duration) {
        tokio::task::yield_now().await;
        advance(time).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_a_line_a_second_and_a_kind() {
        let strangers = Strangers::default();
        let come = |many: usize, status| (0..many).filter(|_| strangers.have_a_line(status, tell)).count();
        let (wrong, foreign) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
        assert_eq!((come(1000, wrong), come(1, foreign)), (1, 1));
        assert!(told().is_empty());
        pass(SPAN).await;
        assert_eq!(told(), [(401, 999)], "of the other kind there was but one");
        assert_eq!(come(5, wrong), 0, "it goes on");
        pass(SPAN).await;
        assert_eq!(told(), [(401, 5)]);
        pass(SPAN).await;
        assert_eq!((told(), come(1, wrong)), (vec![], 1), "it was over");
    }

    #[test]
    fn at_the_end_the_rest_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let strangers = Strangers::default();
        let lines = runtime.block_on(async {
            let lines = (0..7).filter(|_| strangers.have_a_line(StatusCode::UNAUTHORIZED, tell)).count();
            tokio::task::yield_now().await;
            lines
        });
        drop(runtime);
        assert_eq!((lines, told()), (1, vec![(401, 6)]));
    }
}
