//! A unit as a process has it in its configuration.

use serde::{Deserialize, Serialize};

use super::names::{Kind, UnitId};
use crate::limit::{Limits, Span};

/// How a unit is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One process holds it and keeps its windows.
    #[default]
    Whole,
    /// The board keeps its windows and gives out places: few large units, or fewer units than processes.
    Drawn,
}

/// A unit as a process is configured to use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnitInfo {
    /// Which.
    pub unit: UnitId,
    /// What it can serve.
    pub kind: Kind,
    /// Its limits; of processes that differ the stricter hold.
    pub limits: Limits,
    /// The unit of what its keys allow by themselves: only who holds that may hold this. Its kind has its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<UnitId>,
    /// Other names of the same quota: what is counted there is counted here from now on, and those units are lent to
    /// nobody any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<UnitId>,
}

/// What a roster is called: the same in every process that has the same units, and never zero.
pub(super) fn number_of<'a>(roster: impl Iterator<Item = &'a UnitInfo>) -> u64 {
    let mut number = Number(0xcbf2_9ce4_8422_2325);
    for info in roster {
        number.text(info.unit.as_str());
        number.text(info.kind.as_str());
        number.take(info.limits.iter().count() as u64);
        for limit in info.limits.iter() {
            let span = match limit.span {
                Span::Day => 0,
                Span::Sliding(span) => span.as_nanos() as u64,
            };
            for part in [limit.unit as u64, span, limit.amount] {
                number.take(part);
            }
        }
        number.text(info.guard.as_ref().map_or("", UnitId::as_str));
        number.take(info.joins.len() as u64);
        for unit in &info.joins {
            number.text(unit.as_str());
        }
    }
    number.0.max(1)
}

/// Mixes eight bytes at a time: a roster has thousands of units, and a request may wait for it.
struct Number(u64);

impl Number {
    fn take(&mut self, part: u64) {
        let mixed = (self.0 ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn text(&mut self, text: &str) {
        self.take(text.len() as u64);
        for eight in text.as_bytes().chunks(8) {
            let mut part = [0; 8];
            part[..eight.len()].copy_from_slice(eight);
            self.take(u64::from_le_bytes(part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_has_another_number_as_soon_as_anything_in_it_is_another() {
        let info = |unit: &str, kind: &str, limits, guard: Option<&str>, joins: &[&str]| UnitInfo {
            unit: unit.into(),
            kind: kind.into(),
            limits,
            guard: guard.map(Into::into),
            joins: joins.iter().map(|unit| (*unit).into()).collect(),
        };
        let minute = || Limits::new().per_minute(7);
        let rosters = [
            vec![],
            vec![info("flash\nproject-a", "flash\n0", Limits::new(), None, &[])],
            vec![info("flash\nproject-b", "flash\n0", Limits::new(), None, &[])],
            vec![info("flash\nproject-a", "flash\n1", Limits::new(), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", minute(), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", Limits::new().per_minute(8), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", Limits::new().per_day(7), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", Limits::new().tokens_per_minute(7), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", minute().per_day(7), None, &[])],
            vec![info("flash\nproject-a", "flash\n0", minute(), Some("keys\nproject-a"), &[])],
            vec![info("flash\nproject-a", "flash\n0", minute(), None, &["keys\nproject-a"])],
            vec![info("flash\nproject-a", "flash\n0", minute(), None, &[]); 2],
        ];
        let numbers: std::collections::HashSet<u64> = rosters.iter().map(|roster| number_of(roster.iter())).collect();
        assert_eq!(numbers.len(), rosters.len());
        // Written down, since two builds are to say the same.
        assert_eq!(number_of(rosters[8].iter()), 0x3b3f_6080_5e07_92f2);
    }
}
