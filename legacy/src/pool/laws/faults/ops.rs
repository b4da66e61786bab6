//! What may happen in a schedule of faults.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    Elsewhere, QuotaNews, RateHeader, Scope, Until, Verdict, VerdictKind, Violation,
    limit::{Span, Unit},
};

/// Keys of the pool.
pub(super) const KEYS: usize = 7;
/// Kinds of answers that [`verdict`] knows.
const VERDICTS: usize = 32;

#[derive(Clone, Debug)]
pub(in super::super) enum Op {
    /// `ahead`: it goes out later.
    Acquire {
        model: usize,
        tokens: u64,
        must: Option<usize>,
        ahead: bool,
    },
    /// The request goes out.
    Start {
        lease: usize,
    },
    /// `settles`: the lease ends with it.
    Judge {
        lease: usize,
        verdict: usize,
        seconds: u64,
        settles: bool,
    },
    /// The same request goes out with another key.
    Retry {
        lease: usize,
        verdict: usize,
        seconds: u64,
    },
    Usage {
        lease: usize,
    },
    Drop {
        lease: usize,
    },
    Advance {
        millis: u64,
    },
    Disable {
        key: usize,
    },
    Enable {
        key: usize,
    },
    Replace {
        key: usize,
    },
}

pub(in super::super) fn ops(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let lease = || 0..12usize;
    let answer = || (lease(), 0..VERDICTS, 1u64..200);
    let op = prop_oneof![
        12 => (0..2usize, 0u64..9_000, prop::option::weighted(0.1, 0..KEYS), prop::bool::weighted(0.3))
            .prop_map(|(model, tokens, must, ahead)| Op::Acquire { model, tokens, must, ahead }),
        3 => lease().prop_map(|lease| Op::Start { lease }),
        9 => (answer(), any::<bool>())
            .prop_map(|((lease, verdict, seconds), settles)| Op::Judge { lease, verdict, seconds, settles }),
        7 => answer().prop_map(|(lease, verdict, seconds)| Op::Retry { lease, verdict, seconds }),
        1 => lease().prop_map(|lease| Op::Usage { lease }),
        4 => lease().prop_map(|lease| Op::Drop { lease }),
        5 => (1u64..40_000).prop_map(|millis| Op::Advance { millis }),
        2 => (1u64..8_000_000).prop_map(|millis| Op::Advance { millis }),
        1 => (1u64..200_000_000).prop_map(|millis| Op::Advance { millis }),
        1 => (0..KEYS).prop_map(|key| Op::Disable { key }),
        1 => (0..KEYS).prop_map(|key| Op::Enable { key }),
        1 => (0..KEYS).prop_map(|key| Op::Replace { key }),
    ];
    prop::collection::vec(op, count)
}

/// An answer of every kind that the providers' tables know.
pub(super) fn verdict(number: usize, seconds: u64) -> Verdict {
    use VerdictKind as K;
    let pause = Duration::from_secs(seconds);
    let limited = |scope| Verdict::new(K::RateLimited).scope(scope).until(Until::For(pause));
    let news = |news: QuotaNews| limited(Scope::OwnerLane).news(news);
    let probed = |kind, scope| Verdict::new(kind).scope(scope).until(Until::Probed(Duration::from_secs(3_600)));
    match number {
        0..=5 => Verdict::SUCCESS,
        6 => limited(Scope::OwnerLane),
        7 => limited(Scope::Owner),
        8 => limited(Scope::KeyLane),
        9 => limited(Scope::Key),
        10 => limited(Scope::BillingAccount),
        11 => limited(Scope::Lane),
        12 => Verdict::new(K::Blocked),
        13 => Verdict::new(K::RateLimited).scope(Scope::KeyLane).unclear(),
        14 => Verdict::new(K::QuotaExhausted),
        15 => Verdict::new(K::InvalidKey).code("API_KEY_EXPIRED"),
        16 => Verdict::new(K::InvalidKey).confirm_after(Duration::from_secs(60)),
        17 => Verdict::new(K::InvalidKey).unclear(),
        18 => probed(K::Suspended, Scope::Owner),
        19 => probed(K::Suspended, Scope::BillingAccount),
        20 => Verdict::new(K::ModelUnavailable)
            .scope(Scope::OwnerLane)
            .until(Until::Backoff)
            .elsewhere(Elsewhere::OtherKey)
            .unclear(),
        21 => Verdict::new(K::Overloaded),
        22 => Verdict::new(K::Transient),
        23 => Verdict::CANCELLED,
        24 => Verdict::new(K::CallerFault),
        25 => Verdict::new(K::WrongOwner),
        26 => {
            let violation = Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(1 + seconds % 5) };
            news(QuotaNews { violations: vec![violation], ..QuotaNews::default() })
        }
        27 => news(QuotaNews { consumer: Some(format!("projects/{}", seconds % 3)), ..QuotaNews::default() }),
        28 => Verdict::new(K::Suspended).worded(),
        29 => Verdict::new(K::InvalidKey).scope(Scope::KeyLane).status(http::StatusCode::FORBIDDEN).unclear(),
        30 => Verdict::new(K::Broken).broken_by(K::InvalidKey).scope(Scope::Key).until(Until::Lifted),
        _ => {
            let remaining = RateHeader { unit: Unit::Requests, remaining: seconds % 3, limit: None, reset: pause };
            Verdict::SUCCESS.news(QuotaNews { remaining: vec![remaining], ..QuotaNews::default() })
        }
    }
}
