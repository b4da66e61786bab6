//! The one lock of a pool, and what shuttle's scheduler takes its place by.
//!
//! Waiting is made by hand (`wait`), on nothing but this mutex: `RUSTFLAGS='--cfg shuttle' cargo test -p schedules`
//! runs it under schedules that change hands at every taking of the lock.

use std::sync::{PoisonError, TryLockError};

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard};

/// How often whoever finds the mutex taken looks again before it sleeps: some ten microseconds in all. Measured with two
/// threads that do nothing else: 0.72 times the rate of one; without, and with pauses half or twice as long, 0.35 to 0.6.
/// Under shuttle nobody looks: its schedules change hands at the lock, not while somebody spins.
const LOOKS: usize = if cfg!(shuttle) { 0 } else { 24 };

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
        // Each look takes the cache line from whoever holds it: seldom, and more and more so.
        for _ in 0..16 << turn.min(4) {
            std::hint::spin_loop();
        }
        if let Some(guard) = look(mutex) {
            return guard;
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
