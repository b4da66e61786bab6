//! For how long the machine lets a thread wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tower_keypool::Clock;

const NAP: Duration = Duration::from_millis(5);

/// A thread that sleeps for a moment again and again, as long as the process lives.
pub struct Stalls(Arc<AtomicU64>);

impl Stalls {
    /// Begins.
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let most = Arc::<AtomicU64>::default();
        let noted = Arc::clone(&most);
        let clock = Clock::system();
        thread::spawn(move || {
            loop {
                let began = clock.tick();
                thread::sleep(NAP);
                let late = clock.tick().since(began).saturating_sub(NAP);
                noted.fetch_max(late.as_micros() as u64, Relaxed);
            }
        });
        Self(most)
    }

    /// How much later than it wanted it woke, at the most.
    pub fn most(&self) -> Duration {
        Duration::from_micros(self.0.load(Relaxed))
    }
}
