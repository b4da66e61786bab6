//! What goes over the stack, and with which demand: how long it may wait and beside whom ([`wishes`], [`affinity`]), with
//! the key of whoever has what it names ([`belongings`]: [`resource`], [`upload`]).

pub(in crate::gateway) mod affinity;
pub(in crate::gateway) mod belongings;
pub(in crate::gateway) mod catalogue;
pub(in crate::gateway) mod head;
pub(in crate::gateway) mod inventory;
pub(in crate::gateway) mod page;
mod place;
mod reading;
pub(in crate::gateway) mod renamed;
pub mod resource;
pub(in crate::gateway) mod results;
pub(in crate::gateway) mod send;
pub(in crate::gateway) mod shelf;
pub(in crate::gateway) mod upload;
pub(in crate::gateway) mod wishes;
