//! Windows and rests as they are written: by the wall clock.

use super::rest::{End, Rest};
use crate::{
    limit::{Kept, date_text},
    store::{RestId, RestRecord, WindowRecord},
    time::{Now, Tick},
    verdict::VerdictKind,
};

/// What is known of a window.
pub(super) fn window_record(kept: Kept, now: Now) -> WindowRecord {
    let mut moments: Vec<(i64, u64)> = Vec::with_capacity(kept.moments.len());
    for (tick, amount) in kept.moments {
        let at = wall(tick, now);
        match moments.last_mut() {
            Some((last, held)) if *last == at => *held += amount,
            _ => moments.push((at, amount)),
        }
    }
    let days = kept.dates.into_iter().filter(|(_, count)| *count > 0);
    WindowRecord {
        limit: kept.limit,
        moments,
        held: kept.held,
        days: days.map(|(date, count)| (date_text(date), count)).collect(),
    }
}

/// None where there is nothing to remember.
pub(super) fn rest_record(rest: &Rest, id: &RestId, now: Now) -> Option<RestRecord> {
    let nothing = rest.kind == VerdictKind::Unjudged || (rest.step == 0 && rest.incident == 0);
    // What somebody switched off by hand is the key's own state.
    if rest.by_hand || (nothing && !rest.is_active(now)) {
        return None;
    }
    let (ends, at_midnight) = match rest.end {
        End::At(tick) => (Some(wall(tick, now)), false),
        End::Wall(ms) => (Some(ms), true),
        End::Never => (None, false),
    };
    Some(RestRecord {
        id: id.clone(),
        kind: rest.kind,
        code: rest.code.to_string(),
        advice: rest.advice.to_string(),
        since: wall(rest.since, now),
        ends,
        at_midnight,
        step: rest.step,
        strikes: rest.strikes,
        probe: rest.probe.map(|probe| (wall(probe.at, now), probe.interval.as_millis() as u64)),
        confirming: rest.confirming,
        held: rest.held,
        raised: rest.incident != 0,
    })
}

/// A tick on the wall clock, in Unix milliseconds; rounded up.
pub(super) fn wall(tick: Tick, now: Now) -> i64 {
    now.ahead_ms.saturating_add(i64::try_from(tick.nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX))
}
