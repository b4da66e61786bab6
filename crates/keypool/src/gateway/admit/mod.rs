//! Whether a request may come in: is it meant for this gateway ([`guard`]), can its answer be read (`hiding`), who asks ([`token`], [`tenant`]), and has that
//! tenant something left ([`budget`], of what is `held` of each of the `kinds` of limits and [`reserved`] for what is under way, and [`account`]
//! of sockets)?

pub(in crate::gateway) mod account;
pub(in crate::gateway) mod budget;
pub mod capability;
pub(in crate::gateway) mod cross_origin;
pub mod guard;
pub(in crate::gateway) mod headers;
mod held;
mod hiding;
mod kinds;
mod path;
pub(in crate::gateway) mod reserved;
pub mod tenant;
pub mod token;
mod told;
