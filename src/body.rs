//! Functions that the bodies of several layers share.

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// Converts a frame to `Bytes`, without a copy if its data is `Bytes` already.
pub(crate) fn to_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

/// Returns the size hint of a body that has buffered `held` bytes before `rest`.
pub(crate) fn size_hint(held: usize, rest: &SizeHint) -> SizeHint {
    let held = held as u64;
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(held));
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(held));
    }
    hint
}
