//! What is said at the end.

use std::fmt::Write as _;

use gemini_sim::Report;

use super::traffic::Counts;

/// The summary, as lines.
pub(super) fn of(ours: &Counts, random: &Counts, report: &Report, keys: usize) -> String {
    let upstream = &report.total;
    let refused: u64 = upstream.rejected_as("consumer_suspended") + upstream.rejected_as("api_key_invalid");
    let failed = upstream.rejected_as("internal");
    let mut text = String::new();
    let _ =
        writeln!(text, "\n{} requests over {keys} keys (one suspended, one invalid, most of them small)", ours.sent);
    let _ = writeln!(text, "  through keypool    {}", share(ours));
    let _ = writeln!(text, "  with a random key  {}", share(random));
    let _ = writeln!(
        text,
        "  upstream saw {} calls: {} answered 429 (limits nobody had told the pool), {refused} refused for a bad key, \
         {failed} failed with 500{}",
        upstream.arrivals,
        upstream.over_limit,
        if ours.bad.is_empty() { "; the client saw none of them" } else { "" },
    );
    let _ = writeln!(text, "  the longest answer took {:.1} s", ours.longest.as_secs_f64());
    text
}

fn share(counts: &Counts) -> String {
    let percent = if counts.sent == 0 { 100.0 } else { counts.good as f64 * 100.0 / counts.sent as f64 };
    let mut text = format!("{} of {} succeeded ({percent:.0} %)", counts.good, counts.sent);
    for (status, count) in &counts.bad {
        let _ = match status {
            0 => write!(text, ", {count} broken off"),
            status => write!(text, ", {count} × {status}"),
        };
    }
    text
}
