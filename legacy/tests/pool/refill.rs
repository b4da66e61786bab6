//! What rate headers say remains, where the provider fills a bucket and where it opens a window at its end.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, ManualClock, QuotaNews, RateHeader, Unit, Until, Verdict, VerdictKind};

use crate::support::{FLASH, keys, secs, take};

const MINUTE: Duration = Duration::from_secs(60);

/// A provider's quota, with headers in what it answers.
struct Quota {
    unit: Unit,
    limit: u64,
    kind: Kind,
}

enum Kind {
    /// What there is of it, and since when.
    Bucket(f64, Duration),
    /// What was used of it, and which minute's that is.
    Window(u64, u64),
}

impl Quota {
    fn bucket(limit: u64) -> Self {
        Self { unit: Unit::Requests, limit, kind: Kind::Bucket(limit as f64, Duration::ZERO) }
    }

    fn window(limit: u64) -> Self {
        Self { unit: Unit::Requests, limit, kind: Kind::Window(0, 0) }
    }

    /// Whether so much is let through, and what is said of the rest.
    fn ask(&mut self, amount: u64, now: Duration) -> Result<Verdict, Verdict> {
        let limit = self.limit as f64;
        let (good, remaining, reset) = match &mut self.kind {
            Kind::Bucket(level, at) => {
                *level = (*level + now.saturating_sub(*at).as_secs_f64() * limit / 60.0).min(limit);
                *at = now;
                let good = *level >= amount as f64;
                *level -= if good { amount as f64 } else { 0.0 };
                (good, *level as u64, MINUTE.mul_f64((limit - *level) / limit))
            }
            Kind::Window(used, minute) => {
                if *minute != now.as_secs() / 60 {
                    (*used, *minute) = (0, now.as_secs() / 60);
                }
                let good = *used + amount <= self.limit;
                *used += if good { amount } else { 0 };
                (good, self.limit - *used, secs((*minute + 1) * 60).saturating_sub(now))
            }
        };
        let header = RateHeader { unit: self.unit, remaining, limit: Some(self.limit), reset };
        let news = QuotaNews { remaining: vec![header], ..QuotaNews::default() };
        if good {
            Ok(Verdict::SUCCESS.news(news))
        } else {
            let rest = Verdict::new(VerdictKind::RateLimited).until(Until::For(secs(1)));
            Err(rest.news(news))
        }
    }
}

/// Asks as often as the pool lets it, a request each `every` at the most, of `amount`; how many were answered, and refused.
fn asked(
    (pool, time): &(KeyPool, ManualClock),
    quota: &mut Quota,
    (begins, lasts): (Duration, Duration),
    every: Duration,
    amount: u64,
) -> (u64, u64) {
    let (mut now, mut good, mut refused) = (begins, 0, 0);
    while now < begins + lasts {
        let demand = Demand::new(FLASH).tokens(amount);
        if let Ok(lease) = pool.try_acquire(demand) {
            match quota.ask(amount, now) {
                Ok(verdict) => {
                    good += 1;
                    lease.settle(&verdict);
                }
                Err(verdict) => {
                    refused += 1;
                    lease.settle(&verdict);
                }
            }
        }
        time.advance(every);
        now += every;
    }
    (good, refused)
}

#[test]
fn what_a_bucket_has_again_is_used_and_no_more() {
    for limit in [30, 60, 600] {
        let under = keys(1);
        let (good, refused) =
            asked(&under, &mut Quota::bucket(limit), (Duration::ZERO, secs(300)), Duration::from_millis(20), 1);
        assert_eq!(refused, 0, "{limit}");
        assert!(good + 10 >= limit * 6, "{good} of {limit} a minute in five minutes, the first at once");
    }
}

#[test]
fn what_a_bucket_has_of_tokens_is_used_as_well() {
    let under = keys(1);
    let mut quota = Quota { unit: Unit::InputTokens, ..Quota::bucket(30_000) };
    let (good, refused) = asked(&under, &mut quota, (Duration::ZERO, secs(300)), Duration::from_millis(20), 1_000);
    assert_eq!(refused, 0);
    assert!(good >= 170, "{good} of the 180 thousand");
}

#[test]
fn of_a_window_nothing_is_used_before_its_end() {
    for (limit, every) in [(60, 20), (60, 500), (90, 700), (600, 50), (20, 100)] {
        for offset in [0, 7, 23, 41, 59] {
            let under = keys(1);
            let (good, refused) =
                asked(&under, &mut Quota::window(limit), (secs(offset), secs(600)), Duration::from_millis(every), 1);
            assert_eq!(refused, 0, "{limit} a minute, one each {every} ms, begun at {offset} s");
            assert!(good > limit * 8 || every >= 500, "{good}");
        }
    }
}

#[test]
fn who_is_refused_though_it_refilled_waits_again_until_it_is_full() {
    let (pool, time) = keys(1);
    let header = |remaining, reset| QuotaNews {
        remaining: vec![RateHeader { unit: Unit::Requests, remaining, limit: Some(60), reset }],
        ..QuotaNews::default()
    };
    for remaining in (20..60).rev() {
        take(&pool, FLASH).settle(&Verdict::SUCCESS.news(header(remaining, secs(60 - remaining))));
    }
    take(&pool, FLASH).settle(&Verdict::SUCCESS.news(header(0, secs(60))));
    assert_eq!(pool.try_acquire(FLASH).unwrap_err().retry_after(), Some(secs(1)), "a second each");
    // Somebody else takes them.
    let refusal = Verdict::new(VerdictKind::RateLimited).news(header(0, secs(60)));
    let mut refusals = 0;
    loop {
        match pool.try_acquire(FLASH) {
            Ok(lease) => {
                refusals += 1;
                lease.settle(&refusal);
            }
            Err(exhausted) => {
                let rest = exhausted.retry_after().expect("a time");
                if rest > secs(50) {
                    break;
                }
                time.advance(rest);
            }
        }
        assert!(refusals < 8, "a bucket is not believed in for ever");
    }
}
