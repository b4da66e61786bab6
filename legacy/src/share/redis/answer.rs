//! What the script answers, as a process reads it.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{KEYS, ask::UNITS};
use crate::{
    limit::{Limit, Limits, Span, Told},
    share::{
        names::{Kind, UnitId},
        state::Seen,
        wire::{Correction, Days, Drawn, Granted, Mark, Reply, Rest, VERSION},
    },
};

#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    stale: bool,
    dead: bool,
    generation: Whole,
    time: i64,
    granted: Vec<Lent>,
    refused: Vec<UnitId>,
    recovering: Option<u64>,
    wanted: BTreeMap<Kind, Whole>,
    give: BTreeMap<Kind, Whole>,
    dry: Vec<Kind>,
    opens: BTreeMap<Kind, i64>,
    crowd: BTreeMap<Kind, (u64, u64)>,
    unknown_roster: bool,
    draws: Vec<Place>,
    facts: BTreeMap<String, Fact>,
    revision: u64,
    news: u64,
    corrections: Vec<Correct>,
    stricter: BTreeMap<UnitId, Vec<Limited>>,
    differ: bool,
    longest: u64,
    days: Vec<Counting>,
    keys: Option<u64>,
    /// Units whose records are gone from the server.
    pub(super) vanished: Vec<UnitId>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            stale: false,
            dead: false,
            generation: Whole(0),
            time: 0,
            granted: Vec::new(),
            refused: Vec::new(),
            recovering: None,
            wanted: BTreeMap::new(),
            give: BTreeMap::new(),
            dry: Vec::new(),
            opens: BTreeMap::new(),
            crowd: BTreeMap::new(),
            unknown_roster: false,
            draws: Vec::new(),
            facts: BTreeMap::new(),
            revision: 0,
            news: 0,
            corrections: Vec::new(),
            stricter: BTreeMap::new(),
            differ: false,
            longest: 0,
            days: Vec::new(),
            keys: None,
            vanished: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Lent {
    unit: UnitId,
    fence: u64,
    #[serde(default)]
    counts: Vec<Counted>,
    unknown: Option<i64>,
    days_unknown: Option<i64>,
    #[serde(default)]
    marks: Vec<(u8, u16, Whole)>,
    #[serde(default)]
    in_flight: Vec<i64>,
    #[serde(default)]
    departed: bool,
    last_start: Option<i64>,
    #[serde(default)]
    learned: Vec<Limited>,
    #[serde(default)]
    other: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Limited {
    u: u8,
    s: Whole,
    a: Whole,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(flatten)]
    limit: Limited,
    #[serde(default)]
    m: Vec<i64>,
    #[serde(default)]
    d: Vec<Whole>,
}

#[derive(Deserialize)]
struct Counting {
    unit: UnitId,
    #[serde(default)]
    marks: Vec<(u8, u16, Whole)>,
}

/// A unit that somebody looks at.
#[derive(Deserialize)]
pub(super) struct Shown {
    unit: UnitId,
    #[serde(default)]
    counts: Vec<Counted>,
    lost: Option<i64>,
    #[serde(default)]
    is_unasked: bool,
}

#[derive(Deserialize)]
struct Place {
    unit: UnitId,
    draw: Whole,
    requests: Whole,
    tokens: Whole,
    life: u64,
}

#[derive(Deserialize)]
struct Fact {
    ends: Option<i64>,
    generation: u32,
    why: String,
    revision: u64,
}

#[derive(Deserialize)]
struct Correct {
    unit: UnitId,
    number: u64,
    of: u8,
    began: i64,
    more: Whole,
}

/// A whole number, as a number or as a text.
#[derive(Clone, Copy)]
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(u64::try_from(number).unwrap_or(0)))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                Ok(Whole(number.max(0.0) as u64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Whole, E> {
                text.parse().map(Whole).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// An answer that makes no sense: of a later version, or not from this script.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unreadable(&'static str);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unreadable {}

impl Answer {
    /// As the answer to the renewal with this number.
    pub(super) fn into_reply(self, number: u64) -> Result<Reply, Unreadable> {
        let wholes = |map: BTreeMap<Kind, Whole>| map.into_iter().map(|(kind, whole)| (kind, whole.0)).collect();
        Ok(Reply {
            version: VERSION,
            number,
            stale: self.stale,
            dead: self.dead,
            generation: self.generation.0,
            time: self.time,
            granted: self.granted.into_iter().map(Lent::granted).collect::<Result<_, _>>()?,
            refused: self.refused,
            recovering: self.recovering,
            wanted: wholes(self.wanted),
            give: wholes(self.give),
            dry: self.dry,
            opens: self.opens,
            crowd: self.crowd,
            unknown_roster: self.unknown_roster,
            alone: false,
            draws: self.draws.into_iter().map(Place::drawn).collect(),
            facts: self.facts.into_iter().map(|(scope, fact)| (scope, fact.rest())).collect(),
            revision: self.revision,
            news: self.news,
            corrections: self.corrections.into_iter().map(Correct::correction).collect::<Result<_, _>>()?,
            stricter: self
                .stricter
                .into_iter()
                .map(|(unit, strict)| Ok((unit, limits(&strict)?)))
                .collect::<Result<_, _>>()?,
            differ: self.differ,
            longest: self.longest,
            days: self.days.into_iter().map(Counting::days).collect::<Result<_, _>>()?,
            other: self.keys.map(|keys| (KEYS.to_owned(), keys.into())).into_iter().collect(),
        })
    }
}

impl Lent {
    fn granted(self) -> Result<Granted, Unreadable> {
        let other = |(name, text): (String, String)| {
            let value: Value = serde_json::from_str(&text).map_err(|_| Unreadable("a field that is no JSON"))?;
            Ok((name, value))
        };
        Ok(Granted {
            unit: self.unit,
            fence: self.fence,
            counts: self.counts.iter().map(Counted::told).collect::<Result<_, _>>()?,
            unknown: self.unknown,
            days_unknown: self.days_unknown,
            marks: self.marks.iter().map(marked).collect::<Result<_, _>>()?,
            ahead: None,
            in_flight: self.in_flight,
            last_start: self.last_start,
            taken_over: false,
            departed: self.departed,
            learned: limits(&self.learned)?,
            other: self.other.into_iter().map(other).collect::<Result<_, _>>()?,
        })
    }
}

impl Shown {
    pub(super) fn seen(self) -> Result<Seen, Unreadable> {
        let counts = self.counts.iter().map(Counted::told).collect::<Result<_, _>>()?;
        Ok(Seen::of(self.unit, counts, self.lost, self.is_unasked))
    }
}

impl Counting {
    fn days(self) -> Result<Days, Unreadable> {
        Ok(Days { unit: self.unit, marks: self.marks.iter().map(marked).collect::<Result<_, _>>()? })
    }
}

fn marked((of, date, upto): &(u8, u16, Whole)) -> Result<Mark, Unreadable> {
    Ok(Mark { unit: unit(*of)?, date: *date, upto: upto.0 })
}

impl Counted {
    fn told(&self) -> Result<Told, Unreadable> {
        let moments = self.m.chunks_exact(2).map(|pair| (pair[0], pair[1].unsigned_abs()));
        let dates = self.d.chunks_exact(2).map(|pair| (pair[0].0 as u16, pair[1].0));
        Ok(Told { limit: self.limit.limit()?, moments: moments.collect(), dates: dates.collect() })
    }
}

impl Limited {
    fn limit(self) -> Result<Limit, Unreadable> {
        let span = if self.s.0 == 0 { Span::Day } else { Span::Sliding(Duration::from_nanos(self.s.0)) };
        Ok(Limit { unit: unit(self.u)?, span, amount: self.a.0 })
    }
}

impl Place {
    fn drawn(self) -> Drawn {
        Drawn { unit: self.unit, draw: self.draw.0, requests: self.requests.0, tokens: self.tokens.0, life: self.life }
    }
}

impl Fact {
    fn rest(self) -> Rest {
        let until = self.ends.unwrap_or(i64::MAX);
        Rest { until, generation: self.generation, why: self.why, revision: self.revision }
    }
}

impl Correct {
    fn correction(self) -> Result<Correction, Unreadable> {
        let of = unit(self.of)?;
        Ok(Correction { unit: self.unit, number: self.number, of, began: self.began, more: self.more.0 })
    }
}

fn limits(limits: &[Limited]) -> Result<Limits, Unreadable> {
    limits.iter().try_fold(Limits::new(), |all, limited| Ok(all.with(limited.limit()?)))
}

fn unit(code: u8) -> Result<crate::limit::Unit, Unreadable> {
    UNITS.get(usize::from(code)).copied().ok_or(Unreadable("a limit of a unit that this version does not know"))
}
