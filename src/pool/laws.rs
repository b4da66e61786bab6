//! The ten invariants of the pool, over random schedules on a manual clock.
