//! The gateway and the binary, from outside.

mod guarding;
mod support;
