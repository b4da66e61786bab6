//! Events of a stream, as `OpenAI`'s clients read them.

use serde::Serialize;

use crate::one_line;

/// The last one.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";
/// Nothing, said where nothing came for a while.
pub(super) const PAUSE: &[u8] = b": keep-alive\n\n";

/// Writes one.
pub(super) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    one_line::write(value, out);
    out.extend_from_slice(b"\n\n");
}
