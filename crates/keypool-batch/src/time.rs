//! The clock, the only module that reads the time, and the format of waits.

use tokio::time::Instant;

/// Returns the monotonic time, which does not advance under a paused runtime.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Formats the time left: `41 s`, `12 min`, `3 h 05 min`, `2 d 4 h`.
pub fn time_left(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        7_200..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_readable_units() {
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (121, "3 min"), (7_260, "2 h 01 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(time_left(seconds), text);
        }
    }
}
