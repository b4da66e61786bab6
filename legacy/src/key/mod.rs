//! Keys: what is shown of them ([`KeyId`]), what never is ([`Secret`]), and what they are worth ([`Key`]).

mod bunch;
mod config;
mod endings;
mod exit;
mod exit_error;
pub(crate) mod forms;
mod grams;
mod hidden;
mod id;
mod secret;
mod shown;
mod spelled;
mod start;

pub(crate) use bunch::{Bunch, Hit};
pub use config::{Key, Priority, Tier};
pub(crate) use endings::Endings;
pub use exit::Exit;
pub use exit_error::ExitError;
pub(crate) use hidden::Hidden;
pub use id::KeyId;
pub use secret::{InvalidSecret, Secret};
pub(crate) use secret::{UNRESERVED, rarest};
pub(crate) use shown::holds;
pub(crate) use spelled::{SHORTEST, holds_otherwise, mask_escaped, mask_otherwise, mask_spelled};
pub(crate) use start::Start;
