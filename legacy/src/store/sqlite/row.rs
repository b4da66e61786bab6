//! A row of the journal: the counts of a batch.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    failure::Failure,
    numbers::Numbers,
    pack::{Packer, Unpacker},
};
use crate::{
    store::{Batch, Credit, StartedRecord, UsageRecord},
    verdict::VerdictKind,
};

/// The first byte says how it is packed; JSON, as it was before, begins with a brace.
const PACKED: u8 = 1;
/// The same, and numbers begin anew: what was told of this writer before is not meant any more.
const ANEW: u8 = 2;

/// What a usage record says beside its requests.
const TOKENS: u8 = 2;
const ERRORS: u8 = 4;
const SUCCESS: u8 = 8;

/// What a record of starts says beside its requests.
const TIME: u8 = 1;
const AMOUNTS: u8 = 2;
const CREDIT: u8 = 4;

/// When, on which dates, in which run: the same for most records of a batch.
type When<'a> = (i64, &'a str, &'a str, u64);

fn when(record: &StartedRecord) -> When<'_> {
    (record.at, &record.days.0, &record.days.1, record.epoch)
}

/// Packs a batch's counts: names that were told once go by their number.
pub(super) fn pack(batch: &Batch, numbers: &mut Numbers) -> Result<Vec<u8>, Failure> {
    let mut to = Packer::for_records(batch.started.len() + batch.usage.len(), numbers.is_empty());
    to.0.push(if numbers.is_empty() { ANEW } else { PACKED });
    to.number(batch.units_gone.len() as u64);
    for (owner, lane) in &batch.units_gone {
        to.text(owner);
        to.text(lane);
    }
    to.number(batch.units.len() as u64);
    for unit in &batch.units {
        to.bytes(&serde_json::to_vec(unit)?);
    }
    to.number(batch.started.len() as u64);
    let mut last: When<'_> = (0, "", "", 0);
    for record in &batch.started {
        pack_started(record, &mut last, numbers, &mut to);
    }
    to.number(batch.usage.len() as u64);
    numbers.last_used.clear();
    for record in &batch.usage {
        pack_usage(record, numbers, &mut to);
    }
    Ok(to.0)
}

fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

fn pack_started<'a>(record: &'a StartedRecord, last: &mut When<'a>, numbers: &mut Numbers, to: &mut Packer) {
    let (place, fresh) = numbers.unit(record);
    to.number(place.into());
    if fresh {
        to.text(&record.owner);
        to.text(&record.lane);
    }
    let only_requests = |credit: &Credit| *credit == Credit { requests: credit.requests, ..Credit::default() };
    let told = when(record) == *last;
    to.0.push(
        flag(!told, TIME)
            | flag(!only_requests(&record.amounts), AMOUNTS)
            | flag(!only_requests(&record.credit), CREDIT),
    );
    if !told {
        *last = when(record);
        to.signed(last.0);
        to.text(last.1);
        to.text(last.2);
        to.number(last.3);
    }
    for credit in [&record.amounts, &record.credit] {
        to.number(credit.requests);
        if !only_requests(credit) {
            for amount in [credit.input_tokens, credit.output_tokens, credit.images] {
                to.number(amount);
            }
        }
    }
}

fn pack_usage(record: &UsageRecord, numbers: &mut Numbers, to: &mut Packer) {
    let (place, fresh) = numbers.used(record);
    numbers.last_used.push(place);
    to.number(place.into());
    if fresh {
        for name in [&record.day, &record.key, &record.lane, &record.id] {
            to.text(name);
        }
    }
    let tokens = record.input_tokens != 0 || record.output_tokens != 0;
    to.0.push(
        flag(tokens, TOKENS) | flag(!record.errors.is_empty(), ERRORS) | flag(record.last_success.is_some(), SUCCESS),
    );
    to.signed(record.requests);
    if tokens {
        to.number(record.input_tokens);
        to.number(record.output_tokens);
    }
    if !record.errors.is_empty() {
        to.number(record.errors.len() as u64);
        for (kind, count) in &record.errors {
            to.text(kind.word());
            to.number(*count);
        }
    }
    if let Some(at) = record.last_success {
        to.signed(at);
    }
}

/// Names that the rows of one writer told so far.
#[derive(Default)]
pub(super) struct Names {
    units: Vec<Unit>,
    uses: Vec<[Arc<str>; 4]>,
}

/// What a row says.
pub(super) struct Told {
    /// Numbers began anew with it.
    pub(super) anew: bool,
    pub(super) batch: Batch,
    /// The numbers of `batch.started`.
    pub(super) started: Vec<usize>,
    /// The numbers of `batch.usage`, where it has any.
    pub(super) used: Vec<usize>,
}

/// What a row says; `None` where another version wrote it.
pub(super) fn unpack(row: &[u8], names: &mut Names) -> Option<Told> {
    if row.first() == Some(&b'{') {
        let batch = serde_json::from_slice(row).ok()?;
        return Some(Told { anew: false, batch, started: Vec::new(), used: Vec::new() });
    }
    let mut from = Unpacker(row);
    let anew = match from.byte()? {
        PACKED => false,
        ANEW => true,
        _ => return None,
    };
    if anew {
        *names = Names::default();
    }
    let mut batch = Batch::default();
    let (mut started, mut used) = (Vec::new(), Vec::new());
    for _ in 0..from.number()? {
        batch.units_gone.push((from.text()?.to_string(), from.text()?.to_string()));
    }
    for _ in 0..from.number()? {
        batch.units.push(serde_json::from_slice(from.bytes()?).ok()?);
    }
    let mut last = (0, Arc::from(""), Arc::from(""), 0);
    for _ in 0..from.number()? {
        let (place, record) = unpack_started(&mut from, &mut names.units, &mut last)?;
        started.push(place);
        batch.started.push(record);
    }
    for _ in 0..from.number()? {
        let (place, record) = unpack_usage(&mut from, &mut names.uses)?;
        used.push(place);
        batch.usage.push(record);
    }
    Some(Told { anew, batch, started, used })
}

type Unit = (Arc<str>, Arc<str>);

fn unpack_started(
    from: &mut Unpacker<'_>,
    units: &mut Vec<Unit>,
    last: &mut (i64, Arc<str>, Arc<str>, u64),
) -> Option<(usize, StartedRecord)> {
    let place = usize::try_from(from.number()?).ok()?;
    if place == units.len() {
        units.push((from.text()?, from.text()?));
    }
    let (owner, lane) = units.get(place)?.clone();
    let says = from.byte()?;
    if says & TIME != 0 {
        *last = (from.signed()?, from.text()?, from.text()?, from.number()?);
    }
    let mut credit = |more: bool| {
        let requests = from.number()?;
        let mut next = || if more { from.number() } else { Some(0) };
        Some(Credit { requests, input_tokens: next()?, output_tokens: next()?, images: next()? })
    };
    let (amounts, credit) = (credit(says & AMOUNTS != 0)?, credit(says & CREDIT != 0)?);
    let (at, first, second, epoch) = last.clone();
    Some((place, StartedRecord { owner, lane, epoch, at, days: (first, second), amounts, credit }))
}

fn unpack_usage(from: &mut Unpacker<'_>, uses: &mut Vec<[Arc<str>; 4]>) -> Option<(usize, UsageRecord)> {
    let place = usize::try_from(from.number()?).ok()?;
    if place == uses.len() {
        uses.push([from.text()?, from.text()?, from.text()?, from.text()?]);
    }
    let [day, key, lane, id] = uses.get(place)?.clone();
    let says = from.byte()?;
    let requests = from.signed()?;
    let mut tokens = || if says & TOKENS != 0 { from.number() } else { Some(0) };
    let (input_tokens, output_tokens) = (tokens()?, tokens()?);
    let mut errors = BTreeMap::new();
    for _ in 0..if says & ERRORS != 0 { from.number()? } else { 0 } {
        let (kind, count) = (from.text()?, from.number()?);
        // A kind that a later version knows.
        if let Ok(kind) = serde_json::from_value::<VerdictKind>((*kind).into()) {
            errors.insert(kind, count);
        }
    }
    let last_success = if says & SUCCESS != 0 { Some(from.signed()?) } else { None };
    Some((place, UsageRecord { day, key, id, lane, requests, input_tokens, output_tokens, errors, last_success }))
}
