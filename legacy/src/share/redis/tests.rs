//! The board in Redis against real servers: the same as the pure function, and nothing over a limit whatever goes wrong
//! with the server.

mod children;
mod dump;
mod faults;
mod parties;
mod same;
mod seen;
mod speed;
