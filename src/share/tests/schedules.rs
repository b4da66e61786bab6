//! Random schedules of everything that goes wrong.
