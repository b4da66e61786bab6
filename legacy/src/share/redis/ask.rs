//! A renewal as the script reads it. Numbers of 64 bits that only name something are texts, since the script's numbers
//! are exact to 53 bits; what another version added is text as well, so that nothing becomes of an empty list.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    limit::{Limit, Limits, Span, Told, Unit},
    share::{
        counts,
        names::{HolderId, Kind, UnitId},
        wire::{Claim, Days, Held, Left, Mark, Mode, News, Other, Renewal, Settled, UnitInfo},
    },
};

/// Amounts are no larger: what the script writes has 14 digits.
pub(super) const MOST: u64 = 99_999_999_999_999;

#[derive(Serialize)]
pub(super) struct Ask<'a> {
    holder: &'a HolderId,
    number: u64,
    generation: String,
    acknowledged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed: Option<u64>,
    trip: u64,
    nonce: String,
    lease: u64,
    longest: u64,
    roster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<Vec<OfKind<'a>>>,
    held: Vec<Said<'a>>,
    returned: Vec<Said<'a>>,
    demand: BTreeMap<&'a Kind, u64>,
    claims: Vec<Claimed<'a>>,
    settled: Vec<Became<'a>>,
    news: Vec<(u64, Heard<'a>)>,
    revision: u64,
    buried: &'a [HolderId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    looks: &'a [UnitId],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    days: Vec<Bounded<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Gone<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ends: bool,
    other: Texts<'a>,
}

/// Units of one kind, in the order of their names.
#[derive(Serialize)]
struct OfKind<'a> {
    kind: &'a Kind,
    units: Vec<&'a UnitId>,
    /// How many requests a minute each allows.
    sizes: Vec<u64>,
    /// Their guards; empty where there is none.
    guards: Vec<&'a str>,
    /// Other names of those that have some.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    joins: BTreeMap<&'a UnitId, &'a [UnitId]>,
    limits: Vec<Vec<Limited>>,
}

/// A limit: unit, span in nanoseconds (0: a day), amount.
#[derive(Serialize)]
struct Limited {
    u: u8,
    s: u64,
    a: u64,
}

/// What a window counts: moments and amounts, dates and amounts, in turn.
#[derive(Serialize)]
struct Counted {
    u: u8,
    s: u64,
    a: u64,
    m: Vec<i64>,
    d: Vec<u64>,
}

#[derive(Serialize)]
struct Said<'a> {
    unit: &'a UnitId,
    fence: u64,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Vec<Counted>>,
    marks: Vec<(u8, u16, u64)>,
    in_flight: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    last_start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens: Option<i64>,
    mode: Mode,
    corrected: u64,
    #[serde(skip_serializing_if = "Texts::is_empty")]
    other: Texts<'a>,
}

#[derive(Serialize)]
struct Bounded<'a> {
    unit: &'a UnitId,
    marks: Vec<(u8, u16, u64)>,
}

#[derive(Serialize)]
struct Gone<'a> {
    unit: &'a UnitId,
    counts: Vec<Counted>,
}

#[derive(Serialize)]
struct Claimed<'a> {
    kind: &'a Kind,
    requests: u64,
    tokens: u64,
    waiting: u64,
    from: u16,
    to: u16,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    units: &'a [UnitId],
}

#[derive(Serialize)]
struct Became<'a> {
    unit: &'a UnitId,
    draw: String,
    /// When, how many requests, how many tokens, in turn.
    starts: Vec<i64>,
}

#[derive(Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Heard<'a> {
    Used {
        name: &'a str,
        more: u64,
    },
    Corrected {
        unit: &'a UnitId,
        of: u8,
        began: i64,
        more: u64,
    },
    Rest {
        scope: &'a str,
        /// None: without end.
        #[serde(skip_serializing_if = "Option::is_none")]
        ends: Option<i64>,
        generation: u32,
        why: &'a str,
    },
    Learned {
        unit: &'a UnitId,
        limits: Vec<Limited>,
    },
}

/// Fields of a later version, each as its text.
struct Texts<'a>(&'a Other);

impl Texts<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, &value.to_string())?;
        }
        map.end()
    }
}

impl<'a> Ask<'a> {
    pub(super) fn of(renewal: &'a Renewal) -> Self {
        Self {
            holder: &renewal.holder,
            number: renewal.number,
            generation: renewal.generation.to_string(),
            acknowledged: renewal.acknowledged,
            elapsed: renewal.elapsed,
            trip: renewal.trip,
            nonce: renewal.nonce.to_string(),
            lease: renewal.lease,
            longest: renewal.longest,
            roster: renewal.roster.to_string(),
            units: renewal.units.as_deref().map(kinds),
            held: renewal.held.iter().map(told).collect(),
            returned: renewal.returned.iter().map(told).collect(),
            demand: renewal.demand.iter().map(|(kind, demand)| (kind, amount(*demand))).collect(),
            claims: renewal.claims.iter().map(claimed).collect(),
            settled: renewal.settled.iter().map(became).collect(),
            news: renewal.news.iter().map(|(number, news)| (*number, heard(news))).collect(),
            revision: renewal.revision,
            buried: &renewal.buried,
            looks: &renewal.looks,
            days: renewal.days.iter().map(bounded).collect(),
            left: renewal.left.iter().map(gone).collect(),
            heard: renewal.heard,
            ends: renewal.ends,
            other: Texts(&renewal.other),
        }
    }
}

fn kinds(units: &[UnitInfo]) -> Vec<OfKind<'_>> {
    let mut sorted: Vec<&UnitInfo> = units.iter().collect();
    sorted.sort_unstable_by_key(|info| &info.unit);
    let mut kinds: BTreeMap<&Kind, OfKind<'_>> = BTreeMap::new();
    for info in sorted {
        let kind = &info.kind;
        let of_kind = || OfKind {
            kind,
            units: Vec::new(),
            sizes: Vec::new(),
            guards: Vec::new(),
            joins: BTreeMap::new(),
            limits: Vec::new(),
        };
        let kind = kinds.entry(kind).or_insert_with(of_kind);
        kind.units.push(&info.unit);
        kind.sizes.push(amount(counts::size(&info.limits)));
        kind.guards.push(info.guard.as_ref().map_or("", UnitId::as_str));
        if !info.joins.is_empty() {
            kind.joins.insert(&info.unit, &info.joins);
        }
        kind.limits.push(limits(&info.limits));
    }
    kinds.into_values().collect()
}

fn told(held: &Held) -> Said<'_> {
    Said {
        unit: &held.unit,
        fence: held.fence,
        valid: held.valid,
        counts: held.counts.as_deref().map(|counts| counts.iter().map(counted).collect()),
        marks: held.marks.iter().map(marked).collect(),
        in_flight: &held.in_flight,
        last_start: held.last_start,
        opens: held.opens,
        mode: held.mode,
        corrected: held.corrected,
        other: Texts(&held.other),
    }
}

fn marked(mark: &Mark) -> (u8, u16, u64) {
    (code(mark.unit), mark.date, amount(mark.upto))
}

fn bounded(days: &Days) -> Bounded<'_> {
    Bounded { unit: &days.unit, marks: days.marks.iter().map(marked).collect() }
}

fn gone(left: &Left) -> Gone<'_> {
    Gone { unit: &left.unit, counts: left.counts.iter().map(counted).collect() }
}

fn counted(told: &Told) -> Counted {
    let Limited { u, s, a } = limited(&told.limit);
    let moments = told.moments.iter().flat_map(|(moment, more)| [*moment, amount(*more) as i64]);
    let dates = told.dates.iter().flat_map(|(date, more)| [u64::from(*date), amount(*more)]);
    Counted { u, s, a, m: moments.collect(), d: dates.collect() }
}

fn claimed(claim: &Claim) -> Claimed<'_> {
    Claimed {
        kind: &claim.kind,
        requests: amount(claim.requests),
        tokens: amount(claim.tokens),
        waiting: amount(claim.waiting),
        from: claim.dates.0,
        to: claim.dates.1,
        units: &claim.units,
    }
}

fn became(settled: &Settled) -> Became<'_> {
    let starts = settled
        .starts
        .iter()
        .flat_map(|(at, requests, tokens)| [*at, amount(*requests) as i64, amount(*tokens) as i64]);
    Became { unit: &settled.unit, draw: settled.draw.to_string(), starts: starts.collect() }
}

fn heard(news: &News) -> Heard<'_> {
    match news {
        News::Used { name, more } => Heard::Used { name, more: amount(*more) },
        News::Corrected { unit, of, began, more } => {
            Heard::Corrected { unit, of: code(*of), began: *began, more: amount(*more) }
        }
        News::Rest { scope, until, generation, why } => {
            let ends = (*until != i64::MAX).then(|| (*until).clamp(-(MOST as i64), MOST as i64));
            Heard::Rest { scope, ends, generation: *generation, why }
        }
        News::Learned { unit, limits: learned } => Heard::Learned { unit, limits: limits(learned) },
    }
}

fn limits(limits: &Limits) -> Vec<Limited> {
    limits.iter().map(limited).collect()
}

fn limited(limit: &Limit) -> Limited {
    let span = match limit.span {
        Span::Sliding(span) => u64::try_from(span.as_nanos()).unwrap_or(MOST).clamp(1, MOST),
        Span::Day => 0,
    };
    Limited { u: code(limit.unit), s: span, a: amount(limit.amount) }
}

fn amount(amount: u64) -> u64 {
    amount.min(MOST)
}

/// Every unit, by its number on the board.
pub(super) const UNITS: [Unit; 5] = [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Tokens, Unit::Images];

fn code(unit: Unit) -> u8 {
    match unit {
        Unit::Requests => 0,
        Unit::InputTokens => 1,
        Unit::OutputTokens => 2,
        Unit::Tokens => 3,
        Unit::Images => 4,
    }
}
