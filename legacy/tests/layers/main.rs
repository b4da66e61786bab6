//! The layers, each alone and together, over mocks and over the layers of tower that may stand between them.

mod as_response;
mod behind;
mod blame;
mod bounds;
mod cold;
mod cooldown;
mod fallback;
mod found_out;
mod herds;
mod later;
mod leased;
mod lost;
mod made;
mod once;
mod over;
mod overfull;
mod replay;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod rotation;
mod run;
mod secrets;
mod sockets;
mod spilling;
mod stack;
mod support;
mod unnamed;
mod unprocessed;
mod upstream;
