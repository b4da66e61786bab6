//! The layers through the public API, over services in process and over real sockets.

mod bodies;
mod cancelled;
mod herds;
mod laws;
mod matrix;
mod retry;
mod secrets;
mod sockets;
mod support;
