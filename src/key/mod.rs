//! Keys: what is shown of them ([`KeyId`]), what never is ([`Secret`]), and what they are worth ([`Key`]).

mod config;
mod endings;
mod exit;
mod exit_error;
pub(crate) mod forms;
mod hidden;
mod id;
mod secret;
mod shown;
mod spelled;

pub use config::{Key, Priority, Tier};
pub(crate) use endings::Endings;
pub use exit::Exit;
pub use exit_error::ExitError;
pub(crate) use hidden::Hidden;
pub use id::KeyId;
pub use secret::{InvalidSecret, Secret};
pub(crate) use secret::{UNRESERVED, rarest};
pub(crate) use shown::holds;
pub(crate) use spelled::{SHORTEST, holds_escaped, mask_escaped, mask_spelled};
