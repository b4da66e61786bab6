//! What is left of a request's body once it is answered: whoever is still sending it would meet a closed connection, and
//! most clients look no further then, least of all for an answer.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::{runtime::Handle, time};

use crate::entire::Entire;

/// So much of it is taken, for so long. Most clients stop sending when they see their answer.
const MOST: usize = 32 << 20;
const LONGEST: Duration = Duration::from_secs(2);

/// Takes it in, and lets it go.
pub(super) fn take_in(body: Entire) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(time::timeout(LONGEST, pass_by(body)));
    }
}

async fn pass_by(mut body: Entire) {
    let mut left = MOST;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
