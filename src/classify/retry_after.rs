//! The forms in which providers name a delay: headers, fields of the body, sentences.
//!
//! Zero, negative and unreadable delays, and delays of more than a year, are ignored. Other delays are capped at
//! [`LONGEST`].

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde_json::Value;

/// Maximum delay. Longer delays are shortened to it.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Delays longer than this number of seconds are considered mistakes.
const ABSURD: f64 = 366.0 * 86_400.0;
/// Maximum length of a text that is parsed as a time.
const LONGEST_TEXT: usize = 64;

/// Reads `retry-after-ms`, or else `retry-after`: seconds with or without a fraction, or an HTTP date. A proxy may have
/// joined several headers to one with commas.
pub(super) fn in_headers(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let all = |name: &str, read: &dyn Fn(&str) -> Option<Duration>| {
        let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(", ").chain([text])).filter_map(read).max()
    };
    let wall = server_time(headers).unwrap_or(wall);
    let millis = |text: &str| seconds(number(text)? / 1e3);
    all("retry-after-ms", &millis)
        .or_else(|| all("x-ms-retry-after-ms", &millis))
        .or_else(|| ["retry-after", "x-retry-after"].iter().find_map(|name| all(name, &|text| moment(text, wall))))
}

/// Returns the delay until all limits that the rate-limit headers report as used up reset:
/// `x-ratelimit-remaining-requests: 0` with `x-ratelimit-reset-requests`, `anthropic-ratelimit-tokens-remaining: 0`
/// with `anthropic-ratelimit-tokens-reset`, `x-ratelimit-reset-after` alone, and so on. Brave lists several limits:
/// `x-ratelimit-remaining: 0, 1962` with `x-ratelimit-reset: 1, 1419704`.
pub(super) fn in_rate_limit_headers(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let wall = server_time(headers).unwrap_or(wall);
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // An overdrawn limit is negative, but -1 may mean that there is no limit.
    let is_used_up = |left: &str| {
        left == "rejected" || number(left) == Some(0.0) || left.trim().parse().is_ok_and(|left: i64| left < -1)
    };
    let resets = headers.iter().filter_map(|(name, left)| {
        let (name, left) = (name.as_str(), left.to_str().ok()?);
        let reset = name.replace("remaining", "reset").replace("unified-status", "unified-reset");
        // Some gateways send zeros for unknown values.
        let unknown = text(&name.replace("remaining", "limit")).and_then(number) == Some(0.0);
        if reset == name || !name.contains("rate") || unknown {
            return None;
        }
        let each = left.split(',').zip(text(&reset)?.splitn(left.split(',').count(), ','));
        each.filter(|(left, _)| is_used_up(left)).filter_map(|(_, reset)| moment(reset, wall)).max()
    });
    let after = || {
        let delay = text("x-ratelimit-reset-after")?;
        text("x-ratelimit-remaining").is_none_or(is_used_up).then(|| moment(delay, wall))?
    };
    resets.max().or_else(|| in_rate_limit_field(text("ratelimit")?)).or_else(after)
}

/// Reads the `RateLimit` header of the IETF draft: `limit=10, remaining=0, reset=5` in old versions,
/// `"burst";r=0;t=5, "day";r=3;t=3600` in new ones.
fn in_rate_limit_field(text: &str) -> Option<Duration> {
    let parameters: Vec<(&str, f64)> = text
        .split([',', ';'])
        .take(32)
        .filter_map(|part| part.split_once('='))
        .filter_map(|(name, value)| Some((name.trim(), number(value)?)))
        .collect();
    let resets = parameters.windows(2).filter(|pair| matches!(pair[0], ("r" | "remaining", 0.0)));
    resets.filter(|pair| matches!(pair[1].0, "t" | "reset")).filter_map(|pair| seconds(pair[1].1)).max()
}

/// Reads a delay from JSON: a number of seconds, or a string such as `"51s"` or `"12"`.
pub(super) fn in_value(value: &Value, scale: f64) -> Option<Duration> {
    match value {
        Value::Number(value) => seconds(value.as_f64()? * scale),
        Value::String(text) => number(text).map_or_else(|| duration(text), |value| seconds(value * scale)),
        _ => None,
    }
}

/// Reads a point in time from JSON, in any format that [`moment`] accepts, and returns the delay until then.
pub(super) fn moment_in_value(value: &Value, wall: SystemTime) -> Option<Duration> {
    match value {
        Value::Number(value) => moment(&value.to_string(), wall),
        Value::String(text) => moment(text, wall),
        _ => None,
    }
}

/// Returns the longest delay that a text names: `Please retry in 18h24m54.8s`, `try again in 20s`, `Retry after: 30
/// seconds`, `resets at 2026-11-20T08:00:00Z`, `请在 42 秒后重试`. A bare number means seconds.
pub(super) fn in_text(text: &str, wall: SystemTime) -> Option<Duration> {
    const BEFORE_MOMENTS: [&str; 8] =
        ["until ", "reset at ", "resets at ", "again at ", "again after ", "retry at ", "available at ", "将在 "];
    const PHRASES: [&str; 12] = [
        "retry in ",
        "retry after ",
        "retry-after ",
        "again in ",
        "try again after ",
        "available in ",
        "wait for ",
        "wait ",
        "reset after ",
        "reset in ",
        "resets in ",
        "replenished in ",
    ];
    let text = &text.replace(": ", " ");
    let lower = text.to_ascii_lowercase();
    let after = |phrase: &'static str| lower.match_indices(phrase).take(4).map(move |(at, _)| at + phrase.len());
    let first_word = |at: usize| text[at..].split(char::is_whitespace).next().unwrap_or_default();
    let moment = |at: usize| {
        date(first_word(at).trim_end_matches(['.', ',', ')']), wall).or_else(|| date_and_time(&text[at..], wall))
    };
    let delays = PHRASES.into_iter().flat_map(after).filter_map(|at| leading_delay(&lower[at..]));
    let in_phrases = PHRASES.into_iter().filter(|phrase| phrase.ends_with(" in "));
    let spans = in_phrases.flat_map(after).filter_map(|at| leading_time_span(&lower[at..]));
    let before = |(at, _)| seconds(number(lower[..at].trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?)?);
    let chinese = ["秒后", "秒後"].into_iter().flat_map(|unit| lower.match_indices(unit).take(4)).filter_map(before);
    delays.chain(spans).chain(chinese).chain(BEFORE_MOMENTS.into_iter().flat_map(after).filter_map(moment)).max()
}

/// Parses the time of a reset and returns the delay until then. Accepts seconds from now (`20`), seconds, milliseconds
/// or finer units since the epoch, a duration (`6m0s`), RFC 3339, and an HTTP date.
pub(super) fn moment(text: &str, wall: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let Some(value) = number(text) else { return duration(text).or_else(|| date(text, wall)) };
    // Seconds since the epoch have ten digits until 2286; each finer unit has three more.
    let since_epoch = match value {
        v if v < 1e9 => return seconds(v),
        v if v < 1e11 => v,
        v if v < 1e14 => v / 1e3,
        v if v < 1e17 => v / 1e6,
        v => v / 1e9,
    };
    let now = wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    seconds(since_epoch - now)
}

/// Parses a duration with units: `51s`, `1h2m3.5s`, `644ms`, `2 hours and 3 minutes`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (total, rest) = leading_units(text).filter(|_| text.len() <= LONGEST_TEXT)?;
    if rest.is_empty() { seconds(total) } else { None }
}

fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(http::header::DATE)?.to_str().ok()?).ok()
}

fn date(text: &str, wall: SystemTime) -> Option<Duration> {
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let then = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => SystemTime::from(stamp),
        Err(_) => httpdate::parse_http_date(text).ok()?,
    };
    seconds(then.duration_since(wall).ok()?.as_secs_f64())
}

/// Parses `2026-11-20 18:00:00`, optionally followed by `UTC`, `(UTC)`, `GMT` or an offset such as `+0000`. Without a zone
/// it is Beijing time, since only Chinese providers leave the zone out.
fn date_and_time(text: &str, wall: SystemTime) -> Option<Duration> {
    let mut words = text.split_whitespace();
    let stamp = format!("{} {}", words.next()?, words.next()?.trim_end_matches(['.', ',', ')', ']']));
    let zone = words.next().unwrap_or_default().trim_matches(|c: char| !c.is_alphanumeric() && !"+-".contains(c));
    let offset = match zone.trim_start_matches("UTC").trim_start_matches("GMT") {
        "" if !zone.is_empty() => "Z",
        offset => offset,
    };
    ["", offset, "+08:00"].iter().find_map(|zone| date(&format!("{stamp}{zone}"), wall))
}

fn leading_delay(text: &str) -> Option<Duration> {
    let text = ["~", "about "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    if let Some((total, _)) = leading_units(text) {
        return seconds(total);
    }
    let (value, rest) = leading_number(text)?;
    // A number that continues is part of a date, a time or a name.
    let goes_on = rest.starts_with(|next: char| next.is_alphanumeric() || "-:/".contains(next));
    if goes_on { None } else { seconds(value) }
}

/// Parses a duration in the style of .NET: `00:30:02`, or `5.03:23:11` with days.
fn leading_time_span(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).unwrap_or(text.len());
    let parts: Vec<&str> = text[..end].trim_end_matches('.').split(':').collect();
    let [hours, minutes, secs] = parts[..] else { return None };
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    seconds(number(days)? * 86_400.0 + number(hours)? * 3_600.0 + number(minutes)? * 60.0 + number(secs)?)
}

/// Parses numbers with units at the start of a text. Returns their sum in seconds and the rest of the text.
fn leading_units(text: &str) -> Option<(f64, &str)> {
    let (mut total, mut rest) = (None, text);
    for _ in 0..8 {
        let links = [", and ", " and ", ", ", " "];
        let part = links.iter().filter(|_| total.is_some()).find_map(|link| rest.strip_prefix(link)).unwrap_or(rest);
        let Some((value, after)) = leading_number(part) else { break };
        let after = after.strip_prefix(' ').unwrap_or(after);
        let unit = after.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        let Some(scale) = seconds_of(unit) else { break };
        total = Some(total.unwrap_or(0.0) + value * scale);
        rest = &after[unit.len()..];
    }
    Some((total?, rest))
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "w" | "week" | "weeks" => 604_800.0,
        "d" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "us" | "µs" | "microsecond" | "microseconds" => 1e-6,
        "ns" | "nanosecond" | "nanoseconds" => 1e-9,
        _ => return None,
    })
}

/// Parses digits with at most one dot, without a sign, an exponent or `inf`. Returns the number and the rest of the
/// text.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let mut dots = 0;
    let is_end = |b: u8| {
        dots += usize::from(b == b'.');
        !(b.is_ascii_digit() || (b == b'.' && dots == 1))
    };
    let end = text.bytes().position(is_end).unwrap_or(text.len());
    if !(1..=LONGEST_TEXT).contains(&end) {
        return None;
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn number(text: &str) -> Option<f64> {
    let (value, rest) = leading_number(text.trim())?;
    rest.is_empty().then_some(value)
}

fn seconds(value: f64) -> Option<Duration> {
    // NaN fails both comparisons.
    if value > 0.0 && value <= ABSURD {
        Some(Duration::from_secs_f64(value).min(LONGEST)).filter(|delay| !delay.is_zero())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn wall() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn millis(delay: Option<Duration>) -> Option<u128> {
        delay.map(|delay| delay.as_millis())
    }

    #[test]
    fn delays_are_read_from_sentences() {
        for (text, expected) in [
            ("Please retry in 18h24m54.846222292s.", Some(66_294_846)),
            ("Please retry in 644ms.", Some(644)),
            ("Please try again in 1m2.5s. Visit", Some(62_500)),
            ("Please retry after 86400 seconds.", Some(86_400_000)),
            ("Try again in 17 seconds.", Some(17_000)),
            ("please wait 2 hours and 3 minutes", Some(7_380_000)),
            ("retry after 30", Some(30_000)),
            ("retry in 5s, or retry in 9s", Some(9_000)),
            ("Please retry in 18h24m54.8", Some(66_240_000)),
            ("Resets in 13 days", Some(604_800_000)),
            ("Expected available in 17 seconds.", Some(17_000)),
            ("Try again in ~45 min.", Some(2_700_000)),
            ("Please try again in about 5 minutes.", Some(300_000)),
            ("limit reached, resets at 2026-11-20T08:00:00Z (2056)", Some(8_040_000)),
            ("Your limit will reset at 2026-11-20T06:46:17+01:00.", Some(17_000)),
            ("Your limit will reset at 2026-11-20 19:22:34", Some(20_194_000)),
            ("[1310][Your limit will reset at 2026-11-20 19:22:34]", Some(20_194_000)),
            ("您的限额将在 2026-11-20 19:22:34 重置。", Some(20_194_000)),
            ("It resets at 2026-11-20 08:00:00 UTC.", Some(8_040_000)),
            ("It resets at 2026-11-20 08:00:00 UTC; upgrade", Some(8_040_000)),
            ("It resets at 2026-11-20 16:00:00 UTC+08:00", Some(8_040_000)),
            ("It resets at 2026-11-20 08:00:00+01:00.", Some(4_440_000)),
            ("It will reset at 2026-11-20 06:00:00 +0000 UTC.", Some(840_000)),
            ("Limit resets at 2026-11-20 06:00:00 (UTC)", Some(840_000)),
            ("Limit resets at 2026-11-20 06:00:00 GMT", Some(840_000)),
            ("Limit resets at 2026-11-20 01:00:00 -05:00", Some(840_000)),
            ("You are rate limited until 2026-11-20T05:47:00Z.", Some(60_000)),
            ("Try again after 2026-11-20T05:47:00Z.", Some(60_000)),
            ("Next request available at 2026-11-20T05:47:00Z", Some(60_000)),
            ("Resets at 10:00 UTC.", None),
            ("retry after 2026-11-20", None),
            ("retry after 12:30", None),
            ("please wait before trying again", None),
            ("retry in 0s", None),
            ("Quota will be replenished in 00:30:02.", Some(1_802_000)),
            ("Quota will be replenished in 5.03:23:11.", Some(444_191_000)),
            ("try again in 00:00:00", None),
            ("try again in 1:2:3:4", None),
            ("please try again after 18:30:00", None),
            ("Limit resets at: 2026-11-20 05:47:17 UTC", Some(77_000)),
            ("Retry after: 42 seconds.", Some(42_000)),
            ("Retry-After: 42", Some(42_000)),
            ("Resets in: 42s", Some(42_000)),
            ("Wait 42 seconds.", Some(42_000)),
            ("请在 42 秒后重试。", Some(42_000)),
            ("请等待42秒后重试", Some(42_000)),
            ("秒后重试", None),
            ("retry in -5s", None),
            ("retry in 1e9h", None),
            ("retry in 87600h", None),
            ("retry in 99999999999999999999999999999999999999999999999999999999999999999999999999999999s", None),
        ] {
            assert_eq!(millis(in_text(text, wall())), expected, "{text}");
        }
    }

    #[test]
    fn delays_are_read_from_headers() {
        for (pairs, expected) in [
            (vec![("retry-after", "1.5")], Some(1_500)),
            (vec![("retry-after", "7"), ("retry-after-ms", "250")], Some(250)),
            (vec![("retry-after", "Fri, 20 Nov 2026 05:46:30 GMT")], Some(30_000)),
            // The local clock is wrong, so the server's date is used.
            (
                vec![("retry-after", "Fri, 20 Nov 2026 09:00:05 GMT"), ("date", "Fri, 20 Nov 2026 09:00:00 GMT")],
                Some(5_000),
            ),
            (vec![("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], None),
            (vec![("retry-after", "5, 30")], Some(30_000)),
            (vec![("x-retry-after", "30")], Some(30_000)),
            (vec![("retry-after", "0")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "inf")], None),
            (vec![("retry-after", "9999999")], Some(604_800_000)),
            (vec![("retry-after", "315360000")], None),
        ] {
            assert_eq!(millis(in_headers(&headers(&pairs), wall())), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_used_up_limits_count_among_rate_limit_headers() {
        for (pairs, expected) in [
            (vec![("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], Some(360_000)),
            (vec![("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "6m0s")], None),
            (vec![("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")], None),
            (vec![("x-ratelimit-remaining-tokens", "-120"), ("x-ratelimit-reset-tokens", "42s")], Some(42_000)),
            (vec![("x-ratelimit-remaining", "-1"), ("x-ratelimit-reset", "42")], None),
            (vec![("x-ratelimit-remaining", "0, 1962"), ("x-ratelimit-reset", "1, 1419704")], Some(1_000)),
            (vec![("x-ratelimit-remaining", "1, 0"), ("x-ratelimit-reset", "1, 86400")], Some(86_400_000)),
            (
                vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "Fri, 20 Nov 2026 05:46:30 GMT")],
                Some(30_000),
            ),
            (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795153590000")], Some(30_000)),
            (vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9"), ("x-ratelimit-limit", "0")], None),
            (
                vec![
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "2026-11-20T06:46:17+01:00"),
                ],
                Some(17_000),
            ),
            (
                vec![
                    ("anthropic-ratelimit-unified-status", "rejected"),
                    ("anthropic-ratelimit-unified-reset", "1795153620"),
                ],
                Some(60_000),
            ),
            (vec![("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "42")], Some(42_000)),
            (vec![("x-ratelimit-reset-after", "42")], Some(42_000)),
            (vec![("x-ratelimit-reset-after", "42"), ("x-ratelimit-remaining", "0")], Some(42_000)),
            (vec![("x-ratelimit-reset-after", "42"), ("x-ratelimit-remaining", "3")], None),
            (vec![("ratelimit", "limit=10, remaining=0, reset=5")], Some(5_000)),
            (vec![("ratelimit", "\"burst\";r=0;t=5, \"day\";r=3;t=3600")], Some(5_000)),
        ] {
            assert_eq!(millis(in_rate_limit_headers(&headers(&pairs), wall())), expected, "{pairs:?}");
        }
    }
}
