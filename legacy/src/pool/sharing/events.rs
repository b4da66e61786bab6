//! What a person should hear of: the events of docs/tracing.md.

use crate::{pool::SharingState, share::Counters};

/// Where these are told.
macro_rules! told {
    ($level:ident, $name:literal, $($rest:tt)+) => {
        tracing::event!(name: $name, target: "tower_keypool::sharing", tracing::Level::$level, $($rest)+)
    };
}

/// What happened since. `stood`: how sharing stood, where the store has answered.
pub(super) fn tell(before: &Counters, now: &Counters, stood: Option<SharingState>) {
    let more = |before: u64, now: u64| (now > before).then(|| now - before);
    if let Some(units) = more(before.failed_over, now.failed_over) {
        told!(
            WARN,
            "keypool.failed_over",
            units,
            "taken over without the last word of who had them: he died, or the store lost what it knew"
        );
    }
    if let Some(units) = more(before.refused, now.refused) {
        told!(
            WARN,
            "keypool.lost",
            units,
            "another process has what this one held: it was away for too long, or taken for dead"
        );
    }
    // What was noticed while it lasted was told then.
    if more(before.store_lost, now.store_lost).is_some() && stood == Some(SharingState::Connected) {
        told!(
            WARN,
            "keypool.lapsed",
            "leases had ended when they were renewed: this process stood still; nothing with limits was sent meanwhile"
        );
    }
    if more(before.generations, now.generations).is_some() {
        told!(
            ERROR,
            "keypool.board_lost",
            "the board lost what it knew: for a lease it only hears who holds what; what nobody tells it counts as used, \
             a minute's for a minute and a day's until the day ends"
        );
    }
    if more(before.clocks_parted, now.clocks_parted).is_some() {
        told!(WARN, "keypool.clocks_parted", "the wall clock was set, or the machine slept: leases are renewed");
    }
    if let Some(units) = more(before.conflicts, now.conflicts) {
        told!(
            WARN,
            "keypool.conflict",
            units,
            "another process has stricter limits for these owners or keys: they hold"
        );
    }
    if more(before.leases_differ, now.leases_differ).is_some() {
        told!(
            WARN,
            "keypool.conflict",
            units = 0_u64,
            "another process holds what it is lent for longer: the longest is waited for should the store lose what it \
             knew; give all the same store.lease"
        );
    }
}

/// Keys have other owners elsewhere.
pub(super) fn tell_conflict(units: u64) {
    told!(WARN, "keypool.conflict", units, "another process was told of other owners of these keys: the quota is one");
}

/// It stands otherwise than before. `among`: how many processes limits are divided among.
pub(super) fn tell_turn(state: SharingState, before: SharingState, error: Option<&str>, among: u32) {
    match state {
        SharingState::Connected | SharingState::Recovering if before == SharingState::Connected => {}
        SharingState::Connected => {
            let was = before.word();
            told!(INFO, "keypool.store_back", was, "the store that processes share answers");
        }
        // The loss itself was told.
        SharingState::Recovering => {}
        SharingState::Grace => {
            told!(
                WARN,
                "keypool.store_away",
                error,
                "the store that processes share does not answer; what is held goes on to its end"
            );
        }
        SharingState::FailClosed => {
            told!(
                ERROR,
                "keypool.failed_closed",
                error,
                "leases have ended: nothing with limits is sent until the store that processes share answers"
            );
        }
        SharingState::FairShare => {
            told!(
                ERROR,
                "keypool.fair_share",
                error,
                processes = among,
                "leases have ended: limits are divided until the store that processes share answers, and may be exceeded"
            );
        }
        SharingState::Local => {
            told!(
                ERROR,
                "keypool.local",
                error,
                processes = among,
                "the store that processes share is missing: limits are divided until it answers, and may be exceeded"
            );
        }
    }
}
