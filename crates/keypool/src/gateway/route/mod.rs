//! Where a request goes: in which dialect it is asked and whether it is translated (`way`), and to which of several
//! providers (`choice`).

pub(in crate::gateway) mod base_url;
pub(in crate::gateway) mod choice;
pub(in crate::gateway) mod deployment;
pub(in crate::gateway) mod providers;
pub(in crate::gateway) mod task;
pub(in crate::gateway) mod way;

pub use providers::Beside;
pub use way::Dialects;
