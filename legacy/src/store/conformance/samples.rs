//! Records with something in every field.

use crate::{
    limit::{Limit, Limits, Span, Unit},
    store::{Credit, KeyRecord, RestId, RestRecord, UnitRecord, WindowRecord},
    verdict::{Scope, VerdictKind},
};

pub(super) fn key(hash: &str) -> KeyRecord {
    KeyRecord {
        hash: hash.to_owned(),
        id: format!("k-{hash}"),
        tier: Some("free".to_owned()),
        priority: 10,
        weight: 2.0,
        weight_now: 1.5,
        ramp: 2,
        owner: Some("project".to_owned()),
        consumer: Some("projects/1".to_owned()),
        source: Some("vault".to_owned()),
        reason: "by hand".to_owned(),
        last_success: Some(1_781_550_000_000),
        last_failure: Some(1_781_550_000_001),
        consecutive_failures: 3,
        created: 12,
        ..KeyRecord::default()
    }
}

pub(super) fn unit(owner: &str, lane: &str) -> UnitRecord {
    let minute = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 10 };
    let day = Limit { unit: Unit::InputTokens, span: Span::Day, amount: 1_000_000 };
    let moments = vec![(1_781_550_000_000, 1), (1_781_550_000_000, 2), (1_781_550_012_345, 3)];
    UnitRecord {
        owner: owner.to_owned(),
        lane: lane.to_owned(),
        epoch: 3,
        windows: vec![
            WindowRecord { limit: minute, moments, held: 2, days: Vec::new() },
            WindowRecord { limit: day, moments: Vec::new(), held: 0, days: vec![("2026-06-15".to_owned(), 77)] },
        ],
        credit: Credit { requests: 2, input_tokens: 5_000, ..Credit::default() },
        learned: Limits::new().per_day(250),
        lost: None,
    }
}

pub(in crate::store) fn rest(scope: Scope, whom: &str, lane: Option<&str>) -> RestRecord {
    RestRecord {
        id: RestId { scope, whom: whom.to_owned(), lane: lane.map(str::to_owned) },
        kind: VerdictKind::RateLimited,
        code: "RESOURCE_EXHAUSTED".to_owned(),
        advice: "wait".to_owned(),
        since: 1_781_550_000_000,
        ends: Some(1_781_550_060_000),
        at_midnight: true,
        step: 2,
        strikes: 1,
        probe: None,
        confirming: true,
        held: true,
        raised: true,
    }
}
