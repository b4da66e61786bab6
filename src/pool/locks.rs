//! The one lock of a pool, and what shuttle's scheduler takes its place by.
//!
//! Waiting is made by hand (`wait`), on nothing but this mutex: `RUSTFLAGS='--cfg shuttle' cargo test --test shuttle`
//! runs it under schedules that change hands at every taking of the lock.

/// Takes the mutex. It is held for some hundred nanoseconds: whoever finds it taken looks again before it goes to sleep,
/// since one sleeper makes every unlocking a call of the kernel.
#[cfg(not(shuttle))]
#[inline]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => lock_again(mutex),
    }
}

#[cfg(not(shuttle))]
#[cold]
#[inline(never)]
fn lock_again<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    for look in 0..LOOKS {
        // Each look takes the cache line from whoever holds it: seldom, and more and more so.
        for _ in 0..16 << look.min(4) {
            std::hint::spin_loop();
        }
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some ten microseconds in all. Measured with two threads that do nothing else: 0.72 times the rate of one; without, and
/// with pauses half or twice as long, 0.35 to 0.6.
#[cfg(not(shuttle))]
const LOOKS: usize = 24;

/// Takes the mutex.
#[cfg(shuttle)]
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

use std::sync::PoisonError;
#[cfg(not(shuttle))]
use std::sync::TryLockError;

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicBool};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic::AtomicBool};
