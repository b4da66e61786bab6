//! What the binary tells a person.

mod assumed;
mod banner;
mod changes;
mod console;
mod files;
mod fold;
mod form;
mod plain;
mod shown;
mod sink;
mod snippet;

pub use banner::Banner;
pub use changes::report_changes;
pub(crate) use changes::{Told, spoken};
pub(crate) use console::MIGRATED;
pub use console::{Verbosity, say, start};
pub(crate) use plain::{plain, plain_text};
pub(crate) use shown::{harmless, pretty};
pub use sink::Written;
