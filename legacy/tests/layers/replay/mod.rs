//! `ReplayLayer`: every attempt gets the caller's body, byte for byte.

mod attempts;
mod budget;
mod endings;
mod model;
mod retarget;
mod socket;
mod support;
