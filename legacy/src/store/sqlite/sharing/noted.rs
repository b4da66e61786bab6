//! How a note stands in its row: what was started of units, and what keys used, packed. Whatever else there is of a unit is
//! JSON, as a whole note was before.

use super::super::{
    failure::Failure,
    numbers::Numbers,
    pack::{Packer, Unpacker},
    row,
};
use crate::{
    share::{Noted, Spent, Started, UnitId},
    store::{Batch, StoreError, UsageRecord},
};

/// The first byte says how it is packed; JSON, as it was before, begins with a bracket. Each name stands in it.
const PACKED: u8 = 1;
/// Names that earlier rows told go by their number.
const NUMBERED: u8 = 2;
/// The same, and numbers begin anew.
const ANEW: u8 = 3;

/// A unit of which only requests were started, on one date.
const PLAIN: u8 = 0;
/// One of which something else was, or around midnight.
const STARTED: u8 = 1;
const WHOLE: u8 = 2;

/// Names that the notes of one process told so far.
#[derive(Default)]
pub(super) struct Names {
    units: Vec<UnitId>,
    uses: row::Names,
}

/// Of a note: its units. Of a process that has told none, numbers begin with it.
pub(super) fn pack_units(units: &[Noted], numbers: &mut Numbers) -> Result<Vec<u8>, Failure> {
    let mut to = Packer(Vec::with_capacity(units.len() * 16 + 64));
    to.0.push(if numbers.is_empty() { ANEW } else { NUMBERED });
    to.number(units.len() as u64);
    for noted in units {
        let Some(started) = &noted.started else {
            to.0.push(WHOLE);
            to.bytes(&serde_json::to_vec(noted)?);
            continue;
        };
        let requests = |spent: &Spent| Spent { requests: spent.requests, ..Spent::default() };
        let plain = requests(&started.spent) == started.spent
            && requests(&noted.ahead) == noted.ahead
            && started.dates.0 == started.dates.1;
        to.0.push(if plain { PLAIN } else { STARTED });
        let (place, fresh) = numbers.noted(&noted.unit);
        to.number(place.into());
        if fresh {
            to.text(noted.unit.as_str());
        }
        to.number(noted.fence);
        to.number(started.dates.0.into());
        if !plain {
            to.number(started.dates.1.into());
        }
        for spent in [&started.spent, &noted.ahead] {
            to.number(spent.requests);
            if !plain {
                for amount in [spent.input_tokens, spent.output_tokens, spent.images] {
                    to.number(amount);
                }
            }
        }
    }
    Ok(to.0)
}

pub(super) fn unpack_units(row: &[u8], names: &mut Names) -> Result<Vec<Noted>, Failure> {
    if row.first() == Some(&b'[') {
        return serde_json::from_slice(row).map_err(|_| unreadable());
    }
    units_of(row, &mut names.units).ok_or_else(unreadable)
}

fn units_of(row: &[u8], names: &mut Vec<UnitId>) -> Option<Vec<Noted>> {
    let mut from = Unpacker(row);
    let packed = from.byte()?;
    match packed {
        PACKED | NUMBERED => {}
        ANEW => names.clear(),
        _ => return None,
    }
    let mut units = Vec::new();
    for _ in 0..from.number()? {
        let form = from.byte()?;
        if form == WHOLE {
            units.push(serde_json::from_slice(from.bytes()?).ok()?);
            continue;
        }
        if form != PLAIN && form != STARTED {
            return None;
        }
        let plain = form == PLAIN;
        let unit = if packed == PACKED {
            (&*from.text()?).into()
        } else {
            let place = usize::try_from(from.number()?).ok()?;
            if place == names.len() {
                names.push((&*from.text()?).into());
            }
            names.get(place)?.clone()
        };
        let fence = from.number()?;
        let first = u16::try_from(from.number()?).ok()?;
        let last = if plain { first } else { u16::try_from(from.number()?).ok()? };
        let mut spent = || {
            let requests = from.number()?;
            let mut next = || if plain { Some(0) } else { from.number() };
            Some(Spent { requests, input_tokens: next()?, output_tokens: next()?, images: next()? })
        };
        let started = Started { spent: spent()?, dates: (first, last) };
        units.push(Noted { unit, fence, counts: Vec::new(), started: Some(started), ahead: spent()? });
    }
    Some(units)
}

/// Of a note: what keys used.
pub(super) fn pack_usage(batch: &Batch, numbers: &mut Numbers) -> Result<Vec<u8>, Failure> {
    row::pack(batch, numbers)
}

pub(super) fn unpack_usage(row: &[u8], names: &mut Names) -> Result<Vec<UsageRecord>, Failure> {
    if row.first() == Some(&b'[') {
        return serde_json::from_slice(row).map_err(|_| unreadable());
    }
    row::unpack(row, &mut names.uses).map(|told| told.batch.usage).ok_or_else(unreadable)
}

fn unreadable() -> Failure {
    StoreError::new("a note of a process cannot be read: another version wrote it").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Limit, Span, Told, Unit};

    #[test]
    fn reads_what_it_wrote_and_what_was_written_before_and_nothing_that_is_cut_off() {
        let noted = |unit: &str, started, requests| Noted {
            unit: unit.into(),
            fence: u64::MAX,
            counts: Vec::new(),
            started,
            ahead: Spent { requests, ..Spent::default() },
        };
        let spent = |requests, input_tokens| Spent { requests, input_tokens, ..Spent::default() };
        let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 9 };
        let whole = Noted {
            counts: vec![Told { limit, moments: vec![(-4, 2)], dates: Vec::new() }],
            ..noted("flash\nkey:aa", None, 3)
        };
        let units = [
            noted("flash\nkey:bb", Some(Started { spent: spent(3, 0), dates: (700, 700) }), 4),
            noted("flash\nkey:cc", Some(Started { spent: spent(3, 5), dates: (700, 700) }), 4),
            noted("flash\nkey:dd", Some(Started { spent: spent(3, 0), dates: (700, 701) }), 4),
            whole,
        ];
        let mut numbers = Numbers::default();
        let row = pack_units(&units, &mut numbers).unwrap();
        let read = |row: &[u8]| unpack_units(row, &mut Names::default());
        assert_eq!(read(&row).unwrap(), units);
        assert_eq!(read(&serde_json::to_vec(&units).unwrap()).unwrap(), units);
        for end in 0..row.len() {
            assert!(read(&row[..end]).is_err(), "{end} bytes");
        }
        // As it was packed before names had numbers.
        let before = [&[PACKED, 1, PLAIN, 12], b"flash\nkey:bb".as_slice(), &[7, 9, 3, 4]].concat();
        let noted_before = Started { spent: spent(3, 0), dates: (9, 9) };
        assert_eq!(read(&before).unwrap(), [Noted { fence: 7, ..noted("flash\nkey:bb", Some(noted_before), 4) }]);
        // A later row of the same process has the numbers alone, and alone it says nothing.
        numbers.rows += 1;
        let next = pack_units(&units, &mut numbers).unwrap();
        assert!(!next.windows(6).any(|bytes| bytes == b"key:bb"));
        let mut names = Names::default();
        unpack_units(&row, &mut names).unwrap();
        assert_eq!(unpack_units(&next, &mut names).unwrap(), units);
        assert!(read(&next).is_err());
        let usage = vec![
            UsageRecord {
                day: "2026-06-15".into(),
                key: "aa".into(),
                requests: 4,
                last_success: Some(7),
                ..UsageRecord::default()
            },
            UsageRecord {
                day: "2026-06-15".into(),
                key: "bb".into(),
                requests: -1,
                input_tokens: 9,
                ..UsageRecord::default()
            },
        ];
        let batch = Batch { usage: usage.clone(), ..Batch::default() };
        let mut numbers = Numbers::default();
        let row = pack_usage(&batch, &mut numbers).unwrap();
        let mut names = Names::default();
        assert_eq!(unpack_usage(&row, &mut names).unwrap(), usage);
        assert_eq!(unpack_usage(&serde_json::to_vec(&usage).unwrap(), &mut Names::default()).unwrap(), usage);
        numbers.rows += 1;
        let next = pack_usage(&batch, &mut numbers).unwrap();
        assert!(next.len() < row.len() / 2);
        assert_eq!(unpack_usage(&next, &mut names).unwrap(), usage);
    }
}
