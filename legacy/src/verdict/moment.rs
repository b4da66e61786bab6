//! A moment that a sentence names: `It will reset at 2026-08-03 23:59:59 +0800 CST.`

use std::time::{Duration, SystemTime};

use super::retry_after::reset;

/// How long it is till everything begins anew, by what a sentence says, with the offset that it tells (`+0800`, `UTC`, `Z`):
/// without one nobody knows which moment it is. The latest of several.
pub(crate) fn in_text(text: &str, now: SystemTime) -> Option<Duration> {
    const PHRASES: [&str; 3] = ["reset at ", "resets at ", "resets at: "];
    let told = PHRASES.iter().flat_map(|phrase| text.split(phrase).skip(1).take(4));
    told.filter_map(|rest| till(rest, now)).filter(|span| !span.is_zero()).max()
}

/// The same of the moment that a text begins with.
fn till(text: &str, now: SystemTime) -> Option<Duration> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix([' ', 't', 'T'])?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ":.".contains(c)))?;
    let (time, zone) = (&rest[..end], rest[end..].trim_start_matches(' '));
    let is_of_utc = ["z", "Z", "utc", "UTC", "gmt", "GMT"].iter().any(|name| zone.starts_with(name));
    let offset = if is_of_utc { "Z".to_owned() } else { offset(zone)? };
    reset(&format!("{date}T{time}{offset}"), now)
}

/// `+0800` or `+08:00`, as the latter.
fn offset(zone: &str) -> Option<String> {
    let sign = zone.chars().next().filter(|sign| "+-".contains(*sign))?;
    let digits: String = zone[1..].chars().filter(|c| *c != ':').take_while(char::is_ascii_digit).take(4).collect();
    (digits.len() == 4).then(|| format!("{sign}{}:{}", &digits[..2], &digits[2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_with_an_offset_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560); // 2026-11-20T05:46:00Z
        for (text, seconds) in [
            ("it will reset at 2026-11-20 18:00:00 +0800 cst.", Some(15_240)),
            ("limit resets at: 2026-11-20 05:47:00 utc", Some(60)),
            ("resets at 2026-11-20t14:00:00+08:00 (2056)", Some(840)),
            ("resets at 2026-11-20T05:46:30.5Z", Some(30)),
            ("resets at 2026-11-20 05:46:10Z, or it will reset at 2026-11-20 05:46:20Z", Some(20)),
            // What is over, or nobody knows when it is.
            ("resets at 2026-11-20 05:45:00 UTC", None),
            ("will reset at 2026-11-20 22:19:54", None),
            ("will reset at 2026-11-20 22:19:54 CST", None),
            ("resets at midnight", None),
            ("resets at 2026-11-2\u{e4} 05:47:00Z", None),
            ("resets at 2026-99-20 05:47:00Z", None),
            ("resets at 2026-11-20 05:47:00+08", None),
            ("resets at ", None),
            ("", None),
        ] {
            assert_eq!(in_text(text, now).map(|span| span.as_secs()), seconds, "{text}");
        }
    }
}
