//! The board in Redis against real servers: the same as the pure function, and nothing over a limit whatever goes wrong
//! with the server.

mod dump;
mod faults;
#[path = "../tests/oracle.rs"]
mod oracle;
mod parties;
#[path = "../tests/process.rs"]
#[expect(dead_code, reason = "what the simulation needs of it")]
mod process;
mod same;
mod speed;
