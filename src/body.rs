//! What the bodies of several layers do in the same way.

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// A frame of `Bytes`; those that are `Bytes` already are not copied.
pub(crate) fn to_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

/// The size of a body of which `held` bytes were read and not passed on yet.
pub(crate) fn size_hint(held: usize, rest: &SizeHint) -> SizeHint {
    let held = held as u64;
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(held));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(held));
    }
    hint
}
