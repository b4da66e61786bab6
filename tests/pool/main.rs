//! The pool's rules, one test each, over its public API and a clock moved by hand.

mod changes;
mod cost;
mod days;
mod demands;
mod events;
mod evidence;
mod exits;
mod given_back;
mod guard;
mod herds;
mod lanes;
mod learning;
mod many;
mod passing;
mod priorities;
mod probes;
mod ramp;
mod reconfigure;
mod rests;
mod returning;
mod snapshot;
mod strategies;
mod stress;
mod support;
mod unnamed;
mod waiting;
