//! Keys that refuse all that is asked of them: what has to be known of them for a run to end.

use std::time::Duration;

use tower_keypool::{Exhausted, OutReason};

use super::turned_away::{is_disabled, is_held, is_refused};

/// So many keys are many: the pool's own guard holds no fewer.
const MANY: usize = 5;
/// Keys that are held are tried again after longer than this.
const ROUND: Duration = Duration::from_secs(30);
/// Keys that rest for what nobody gave a reason for are believed to be no good after longer than this.
const MINUTE: Duration = Duration::from_secs(60);

/// How long after all were found to be refused another refusal says that they stay so; `None`: they may be back.
pub(super) fn round(out: &Exhausted) -> Option<Duration> {
    if is_held(out) {
        return Some(ROUND);
    }
    let rest = |(reason, _): &(OutReason, usize)| matches!(reason, OutReason::Held | OutReason::Resting);
    let many = out.reasons().filter(rest).map(|(_, keys)| keys).sum::<usize>() >= MANY;
    (are_off(out) || (many && is_refused(out))).then_some(MINUTE)
}

/// Whether all are off, though some be tried now and then: not for money, which may come.
fn are_off(out: &Exhausted) -> bool {
    let off = |(reason, _): (OutReason, usize)| is_disabled(reason) && reason != OutReason::DisabledSpent;
    out.reasons().all(off)
}
