//! What the client gets: the provider's answer without what is not the client's ([`head`], [`body`]), or why there is none
//! ([`failure`], [`exhausted`], [`reworded`]).

pub(in crate::gateway) mod addressed;
pub(in crate::gateway) mod body;
pub(in crate::gateway) mod come_back;
pub(in crate::gateway) mod exhausted;
pub(in crate::gateway) mod failure;
mod flowing;
pub(in crate::gateway) mod head;
pub(in crate::gateway) mod reworded;
pub(in crate::gateway) mod translated_stream;
pub(in crate::gateway) mod unpacked;
mod untold;
