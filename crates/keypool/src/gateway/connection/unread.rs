//! What is left of a request's body once it is answered: whoever is still sending it would meet a closed connection, and
//! most clients look no further then, least of all for an answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
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

/// A body whose sender asked first whether to send it, and waits for that or does not. Reading any of it says yes, until an
/// answer is there: so what nobody read is kept until then.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Asked(Arc<Mutex<Option<Entire>>>);

impl Asked {
    pub(super) fn keep(&self, body: Entire) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// An answer with these headers goes out in the very poll of its connection that this is called in.
    pub(in crate::gateway) fn answered(self, headers: &mut HeaderMap) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = kept {
            // Whether the next bytes are of this body or of another request, its sender alone knows.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            take_in(body);
        }
    }
}
