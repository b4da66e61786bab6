//! The one lock of a pool, and what shuttle's scheduler takes its place by.
//!
//! Waiting is made by hand (`wait`), on nothing but this mutex: `RUSTFLAGS='--cfg shuttle' cargo test -p schedules`
//! runs it under schedules that change hands at every taking of the lock.

use std::sync::{PoisonError, TryLockError};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard};

/// How often whoever finds the mutex taken looks again before it sleeps: some hundred microseconds in all. Under shuttle
/// nobody looks: its schedules change hands at the lock, not while somebody spins.
const LOOKS: usize = if cfg!(shuttle) { 0 } else { 10 };

/// How many pauses (of 15 to 40 ns, by processor) go before a look. The first is soon, since the mutex is mostly held for
/// less than that. Whoever finds it taken again meets somebody who takes it over and over: then it is worth more to leave
/// what that one has near its core there for a while than to have each request fetch it. When they
/// were chosen two threads that did nothing else had 0.65 times the rate of one with these (`scripts/figures threads`), 0.53
/// with 16, 32, 64, 128, 256 pauses, and 0.56 with 32 and 256 alone.
const PAUSES: [usize; 3] = [32, 256, 1024];

/// Takes the mutex. It is held for some hundred nanoseconds: whoever finds it taken looks again before it goes to sleep,
/// since one sleeper makes every unlocking a call of the kernel.
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    if cfg!(shuttle) {
        return lock_again(mutex);
    }
    look(mutex).unwrap_or_else(|| lock_again(mutex))
}

/// The mutex, if it is free.
#[inline]
fn look<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cold]
#[inline(never)]
fn lock_again<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for turn in 0..LOOKS {
        // Each look takes the cache line from whoever holds it.
        for _ in 0..PAUSES[turn.min(PAUSES.len() - 1)] {
            std::hint::spin_loop();
        }
        if let Some(guard) = look(mutex) {
            return guard;
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
