//! Every form in which a provider says "when": headers, fields and sentences.
//!
//! Made for [`Provider`](crate::Provider)s, the shipped ones and your own. Whatever comes in, a function here answers
//! with a span between zero and [`LONGEST`], or with `None`; negative, unreadable and not-a-number values are ignored,
//! and a time that lies in the past is zero.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use tower_keypool::retry_after;
//!
//! assert_eq!(retry_after::duration("18h24m54.5s"), Some(Duration::from_millis(66_294_500)));
//! assert_eq!(retry_after::in_text("Please retry in 644ms."), Some(Duration::from_millis(644)));
//! assert_eq!(retry_after::duration("-3s"), None);
//!
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
//! assert_eq!(retry_after::reset("1795000060", now), Some(Duration::from_secs(60)));
//! ```

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};
use serde_json::Value;

use crate::time::{system_time, unix_ms};

/// The longest span that is believed: 32 days, a little more than the longest month. Longer ones are cut to it.
pub const LONGEST: Duration = Duration::from_secs(32 * 24 * 3600);

/// No form of "when" is longer than this; a longer text is not looked at.
const LONGEST_TEXT: usize = 64;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_MS_RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");

/// What the headers `retry-after-ms` (first) and `retry-after` (seconds, also with a fraction, or an HTTP date) say.
///
/// Of several the longest counts: something between may have added its own.
///
/// A date is measured against the answer's own `Date` where it has one, so that a clock that is off on either side
/// does no harm; else against `now`.
pub fn header(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let all = |name: &HeaderName, read: &dyn Fn(&str) -> Option<Duration>| {
        headers.get_all(name).iter().filter_map(|value| read(value.to_str().ok()?)).max()
    };
    let ms = |text: &str| number(text).and_then(|ms| seconds(ms / 1_000.0));
    [RETRY_AFTER_MS, X_MS_RETRY_AFTER_MS].iter().find_map(|name| all(name, &ms)).or_else(|| {
        let now = server_time(headers).unwrap_or(now);
        all(&header::RETRY_AFTER, &|text| seconds_or_date(text, now))
    })
}

/// The provider's clock, as the answer's `Date` tells it.
pub fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

/// Seconds (`120`, `1.5`) or an HTTP date, as `Retry-After` has them, or what it has not: a duration with its unit (`20s`),
/// seconds or finer since the Unix epoch, the same twice (`20, 20`, where something between made one of two).
pub fn seconds_or_date(text: &str, now: SystemTime) -> Option<Duration> {
    reset(text, now).or_else(|| reset(text.split_once(',')?.0, now))
}

/// When a count is restored, in the forms of the `*-reset` headers: seconds from now (`20`), seconds, milliseconds or
/// finer since the Unix epoch, a [`duration`] (`6m0s`, `120ms`), RFC 3339 with any offset, or an HTTP date.
pub fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let Some(value) = number(text) else { return duration(text).or_else(|| date(text, now)) };
    // Seconds since the epoch have ten digits till 2286; each finer unit has three more.
    let epoch_ms = match value {
        v if v < 1e9 => return seconds(v),
        v if v < 1e11 => v * 1e3,
        v if v < 1e14 => v,
        v if v < 1e17 => v / 1e3,
        v => v / 1e6,
    };
    Some(until(system_time(epoch_ms as i64), now))
}

/// A duration: protobuf (`51s`, `0.2s`), Go (`1h2m3s`, `644ms`), in words (`30 seconds`, `1 minute`), ISO 8601 (`PT1M30S`)
/// or as on a clock (`00:01:30`, behind days `10.05:20:11`).
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let (span, rest) = leading_span(text)?;
    rest.is_empty().then_some(span)
}

/// The longest span that a sentence asks to wait: `Please retry in 18h24m54.8s`, `try again in 20s`, `retry after
/// 30 seconds` (a bare number counts as seconds, and a sentence that was cut short as far as it goes; a date says nothing
/// here, since nobody tells the time).
pub fn in_text(text: &str) -> Option<Duration> {
    const PHRASES: [&str; 11] = [
        "retry in ",
        "retry after ",
        "retry-after: ",
        "try again in ",
        "try again after ",
        "wait for ",
        "please wait ",
        "reset after ",
        "resets in ",
        "expected available in ",
        "be replenished in ",
    ];
    let mut longest = None;
    for phrase in PHRASES {
        // A few occurrences are plenty; a hostile text may hold thousands.
        for at in occurrences(text, phrase).take(4) {
            longest = longest.max(leading_span_or_seconds(&text[at + phrase.len()..]));
        }
    }
    longest
}

/// How long a member of a JSON object asks to wait that is made for it: as a number or as text, longer than nothing.
pub(crate) fn in_members(object: &Value) -> Option<Duration> {
    const NAMES: [(&str, f64); 7] = [
        ("retry_after_ms", 1e-3),
        ("retry_after_seconds", 1.0),
        ("retry_after", 1.0),
        ("retryAfter", 1.0),
        // Of subscriptions.
        ("resets_in_seconds", 1.0),
        ("reset_seconds", 1.0),
        // Of models that are being loaded (Hugging Face).
        ("estimated_time", 1.0),
    ];
    let told = |(name, scale): &(&str, f64)| {
        let value = object.get(name)?;
        let number = value.as_f64().or_else(|| number(value.as_str()?));
        let span = number.map_or_else(|| duration(value.as_str()?), |number| seconds(number * scale));
        span.filter(|span| !span.is_zero())
    };
    NAMES.iter().find_map(told)
}

/// Where `needle` (ASCII) stands in `text`, whatever the case.
fn occurrences<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    text.windows(needle.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(needle)).map(|(at, _)| at)
}

fn leading_span_or_seconds(text: &str) -> Option<Duration> {
    leading_span(text).map(|(span, _)| span).or_else(|| {
        let (value, rest) = leading_number(text)?;
        let mut rest = rest.chars();
        let ended = match rest.next() {
            // The beginning of a date or of a time.
            Some('-' | ':' | '/') => !rest.next().is_some_and(|next| next.is_ascii_digit()),
            next => next.is_none_or(|next| !next.is_ascii_alphanumeric()),
        };
        if ended { seconds(value) } else { None }
    })
}

/// A span in any form, and what follows it.
fn leading_span(text: &str) -> Option<(Duration, &str)> {
    let (total, rest) = in_units(text).or_else(|| on_a_clock(text)).or_else(|| as_iso(text))?;
    Some((seconds(total)?, rest))
}

/// `1h2m3.5s…`, `1 hour, 2 minutes and 3 seconds`: at least one number with a unit.
fn in_units(text: &str) -> Option<(f64, &str)> {
    let mut rest = text;
    let mut total = None;
    // w, d, h, m, s, ms, us and ns.
    for _ in 0..8 {
        let part = if total.is_some() { behind_link(rest) } else { rest };
        let Some((value, after)) = leading_number(part) else { break };
        let after = after.strip_prefix(' ').unwrap_or(after);
        let unit = after.split(|c: char| !c.is_alphabetic()).next().unwrap_or("");
        let Some(scale) = seconds_of_unit(unit) else { break };
        total = Some(total.unwrap_or(0.0) + value * scale);
        rest = &after[unit.len()..];
    }
    Some((total?, rest))
}

/// `00:01:30`, `26:00:00.5`, `10.05:20:11`: hours, minutes and seconds, in front of them perhaps days.
fn on_a_clock(text: &str) -> Option<(f64, &str)> {
    let (mut total, mut rest) = behind_days(text).unwrap_or((0.0, text));
    for scale in [3_600.0, 60.0, 1.0] {
        let (value, after) = leading_number(rest)?;
        let written = &rest[..rest.len() - after.len()];
        let is_last = scale <= 1.0;
        let fits = scale > 60.0 || (value < 60.0 && written.split('.').next().is_some_and(|digits| digits.len() == 2));
        if !fits || (!is_last && written.contains('.')) {
            return None;
        }
        total += value * scale;
        rest = if is_last { after } else { after.strip_prefix(':')? };
    }
    let goes_on = rest.starts_with(|next: char| next == ':' || next.is_ascii_alphanumeric());
    (!goes_on).then_some((total, rest))
}

/// The days of `10.05:20:11`, and the clock behind them.
fn behind_days(text: &str) -> Option<(f64, &str)> {
    let (days, clock) = text.split_once('.')?;
    let hours = clock.split(':').next()?;
    let is_one = days.len() <= 5
        && days.parse::<u32>().is_ok()
        && hours.len() == 2
        && hours.parse::<u8>().is_ok_and(|hours| hours < 24);
    is_one.then(|| (days.parse::<f64>().unwrap_or(0.0) * 86_400.0, clock))
}

/// `PT30S`, `P1DT2H`, `PT1M30.5S`: ISO 8601. Years and months are as long as they are, and nobody waits for them.
fn as_iso(text: &str) -> Option<(f64, &str)> {
    let mut rest = text.strip_prefix('P')?;
    let (mut total, mut of_day) = (None, false);
    for _ in 0..8 {
        if let Some(after) = rest.strip_prefix('T').filter(|_| !of_day) {
            (rest, of_day) = (after, true);
        }
        let Some((value, after)) = leading_number(rest) else { break };
        let scale = match (after.chars().next()?, of_day) {
            ('W', false) => 604_800.0,
            ('D', false) => 86_400.0,
            ('H', true) => 3_600.0,
            ('M', true) => 60.0,
            ('S', true) => 1.0,
            _ => return None,
        };
        total = Some(total.unwrap_or(0.0) + value * scale);
        rest = &after[1..];
    }
    let goes_on = rest.starts_with(|next: char| next.is_ascii_alphanumeric());
    total.filter(|_| !goes_on).map(|total| (total, rest))
}

/// What comes behind the words between two parts of one span, if there are any.
fn behind_link(text: &str) -> &str {
    [", and ", " and ", ", ", " "].iter().find_map(|link| text.strip_prefix(link)).unwrap_or(text)
}

fn seconds_of_unit(unit: &str) -> Option<f64> {
    // A word may be written large; `M` alone may be anything.
    let word = if unit.len() > 2 { unit.to_ascii_lowercase() } else { unit.to_owned() };
    Some(match &*word {
        "w" | "week" | "weeks" => 604_800.0,
        "d" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1e-3,
        "us" | "µs" | "μs" | "microsecond" | "microseconds" => 1e-6,
        "ns" | "nanosecond" | "nanoseconds" => 1e-9,
        _ => return None,
    })
}

/// Digits with at most one dot between or behind them.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let mut dots = 0;
    let end = text
        .bytes()
        .position(|b| {
            dots += usize::from(b == b'.');
            !(b.is_ascii_digit() || (b == b'.' && dots == 1))
        })
        .unwrap_or(text.len());
    if end > LONGEST_TEXT || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A whole text that is one number of zero or more: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let (value, rest) = leading_number(text.trim())?;
    rest.is_empty().then_some(value)
}

fn seconds(value: f64) -> Option<Duration> {
    if !value.is_finite() || value < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(value.min(LONGEST.as_secs_f64())).unwrap_or(LONGEST))
}

fn date(text: &str, now: SystemTime) -> Option<Duration> {
    if text.len() > LONGEST_TEXT {
        return None;
    }
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return Some(until(system_time(stamp.as_millisecond()), now));
    }
    httpdate::parse_http_date(text).ok().map(|then| until(then, now))
}

fn until(then: SystemTime, now: SystemTime) -> Duration {
    let ms = unix_ms(then).saturating_sub(unix_ms(now)).max(0);
    Duration::from_millis(ms.unsigned_abs()).min(LONGEST)
}

#[cfg(test)]
mod tests;
