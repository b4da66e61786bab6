use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const NOW_S: u64 = 1_795_000_000; // 2026-11-18T11:06:40Z

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

#[test]
fn durations_of_every_dialect() {
    for (text, expected) in [
        ("51s", ms(51_000)),
        ("0.2s", ms(200)),
        ("900ms", ms(900)),
        ("6m0s", ms(360_000)),
        ("1h2m3s", ms(3_723_000)),
        ("1m2.5s", ms(62_500)),
        ("8.64s", ms(8_640)),
        ("43262s", ms(43_262_000)),
        ("250us", Some(Duration::from_micros(250))),
        ("1d", ms(86_400_000)),
        ("30 seconds", ms(30_000)),
        ("1 minute", ms(60_000)),
        (" 7s ", ms(7_000)),
        ("1h 2m 3s", ms(3_723_000)),
        ("2 hrs", ms(7_200_000)),
        ("90 Seconds", ms(90_000)),
        ("1 week", ms(604_800_000)),
        ("250 msec", ms(250)),
        ("0s", ms(0)),
        ("00:01:30", ms(90_000)),
        ("1:00:05", ms(3_605_000)),
        ("26:00:00.5", ms(93_600_500)),
        ("00:00:00", ms(0)),
        ("PT30S", ms(30_000)),
        ("PT1M30.5S", ms(90_500)),
        ("P1DT2H", ms(93_600_000)),
        ("P1W", ms(604_800_000)),
        ("10.05:20:11", ms(883_211_000)),
        ("1.00:00:30.5", ms(86_430_500)),
        ("1.24:00:00", None),
        ("1.5:00:00", None),
        ("01:30", None),
        ("00:90:00", None),
        ("00:1:30", None),
        ("0.5:00:00", None),
        ("00:01:30:00", None),
        ("00:01:30s", None),
        ("P", None),
        ("PT", None),
        ("P1M", None),
        ("P30S", None),
        ("PT-30S", None),
        ("PT30", None),
        ("PT1D", None),
        ("", None),
        ("s", None),
        ("-1s", None),
        ("NaNs", None),
        ("infs", None),
        ("1e9s", None),
        ("1..5s", None),
        ("5 parsecs", None),
        ("51", None),
    ] {
        assert_eq!(duration(text), expected, "{text:?}");
    }
    assert_eq!(duration("999999999999999999999999s"), Some(LONGEST));
    assert_eq!(duration(&"9".repeat(10_000)), None);
}

#[test]
fn sentences() {
    for (text, expected) in [
        ("quota.\nPlease retry in 51.606482386s.", Some(Duration::from_nanos(51_606_482_386))),
        ("Please retry in 18h24m54.846222292s.", Some(Duration::from_nanos(66_294_846_222_292))),
        ("Please retry in 644ms", ms(644)),
        ("Please try again in 20s. Visit https://example.org", ms(20_000)),
        ("PLEASE TRY AGAIN IN 1M", None),
        ("please Try Again In 6m0s.", ms(360_000)),
        ("Please retry after 86400 seconds. Please contact", ms(86_400_000)),
        ("Please retry after 3", ms(3_000)),
        ("Please retry in 18h24m54.8", ms(66_240_000)),
        ("retry in 5s or try again in 9s", ms(9_000)),
        ("Please try again in 1 hour 30 minutes.", ms(5_400_000)),
        ("Try again in 2 hours, 5 minutes and 10 seconds.", ms(7_510_000)),
        ("Try again in 1 minute and 5 seconds, or upgrade in 3 days", ms(65_000)),
        ("RETRY AFTER 30 SECONDS.", ms(30_000)),
        ("please wait for 2 hrs, 3 keys are out", ms(7_200_000)),
        ("Please try again in 5s and 9x", ms(5_000)),
        ("Please try again in 00:01:30.", ms(90_000)),
        ("try again in 00:01:30 or later", ms(90_000)),
        ("retry after PT1M30S.", ms(90_000)),
        ("retry after 2026-11-18T11:07:40Z", None),
        ("retry after 11:07", None),
        ("retry after 18/11/2026", None),
        ("retry after 30-", ms(30_000)),
        ("Please try again later.", None),
        ("retry in a moment", None),
        ("retry in -5s", None),
        ("retry in ", None),
        ("retry in 12x", None),
    ] {
        assert_eq!(in_text(text), expected, "{text:?}");
    }
}

#[test]
fn resets() {
    for (text, expected) in [
        ("20", ms(20_000)),
        ("0", ms(0)),
        ("-1", None),
        ("1795000060", ms(60_000)),
        ("1795000060500", ms(60_500)),
        ("1795000060500000", ms(60_500)),
        ("1794999999", ms(0)),
        ("6m0s", ms(360_000)),
        ("00:06:00", ms(360_000)),
        ("PT6M", ms(360_000)),
        ("2026-11-18T11:07:40Z", ms(60_000)),
        ("2026-11-18T12:07:40+01:00", ms(60_000)),
        ("2026-11-18T11:07:40.250Z", ms(60_250)),
        ("2020-01-01T00:00:00Z", ms(0)),
        ("9998-12-31T23:59:59Z", Some(LONGEST)),
        ("Wed, 18 Nov 2026 11:07:40 GMT", ms(60_000)),
        ("tomorrow", None),
        ("", None),
    ] {
        assert_eq!(reset(text, now()), expected, "{text:?}");
    }
}

#[test]
fn the_finer_header_wins() {
    assert_eq!(header(&headers(&[("retry-after", "20"), ("retry-after-ms", "1500.5")]), now()), {
        Some(Duration::from_secs_f64(1.5005))
    });
    assert_eq!(header(&headers(&[("retry-after", "20"), ("retry-after-ms", "soon")]), now()), ms(20_000));
    assert_eq!(header(&headers(&[("retry-after", "1.5")]), now()), ms(1_500));
    assert_eq!(header(&headers(&[("retry-after", "-5")]), now()), None);
    assert_eq!(header(&headers(&[("retry-after", "1m30s")]), now()), ms(90_000));
    assert_eq!(header(&headers(&[("retry-after", "00:01:30")]), now()), ms(90_000));
    assert_eq!(header(&headers(&[("retry-after", "PT1M30S")]), now()), ms(90_000));
    assert_eq!(header(&headers(&[("retry-after", "-20s")]), now()), None);
    assert_eq!(header(&headers(&[("retry-after", "1795000060")]), now()), ms(60_000), "seconds since the epoch");
    assert_eq!(header(&headers(&[("retry-after", "20, 20")]), now()), ms(20_000));
    assert_eq!(header(&headers(&[("retry-after", "315360000")]), now()), Some(LONGEST));
    assert_eq!(
        header(&headers(&[("retry-after", "3"), ("retry-after", "30"), ("retry-after", "x")]), now()),
        ms(30_000)
    );
    assert_eq!(header(&HeaderMap::new(), now()), None);
}

#[test]
fn a_date_is_measured_by_the_servers_clock() {
    let date = [("retry-after", "Wed, 18 Nov 2026 11:07:40 GMT")];
    assert_eq!(header(&headers(&date), now()), ms(60_000));
    let skewed = [date[0], ("date", "Wed, 18 Nov 2026 11:07:30 GMT")];
    assert_eq!(header(&headers(&skewed), now()), ms(10_000));
}

proptest! {
    #[test]
    fn nothing_panics_or_leaves_its_range(text in "\\PC*", number in any::<f64>(), secs in 0u64..=u64::MAX / 4) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(secs % 300_000_000_000);
        for text in [text.clone(), format!("{number}"), format!("{number}s"), format!("retry in {text}"), format!("{number:e}")] {
            for span in [duration(&text), in_text(&text), reset(&text, now), seconds_or_date(&text, now)].into_iter().flatten() {
                prop_assert!(span <= LONGEST);
            }
        }
    }

    #[test]
    fn seconds_come_back(ms in 0u64..2_000_000_000) {
        let text = format!("{}.{:03}s", ms / 1000, ms % 1000);
        let span = duration(&text).unwrap();
        prop_assert!(span.abs_diff(Duration::from_millis(ms)) < Duration::from_micros(1), "{text} {span:?}");
    }
}
