//! The layers through the public API, over services in process and over real sockets.

mod bodies;
mod cancelled;
mod many_keys;
mod properties;
mod retry;
mod secrets;
mod sockets;
mod stacks;
mod support;
