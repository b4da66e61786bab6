//! What the board in Redis holds, as the pure function's state.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use crate::{
    limit::{Limit, Limits, Span, Told},
    redis::{Link, Script},
    share::{
        BoardState, Correction, HolderId, Kind, Mark, Mode, Rest, UnitId, UnitInfo,
        recovery::Gap,
        redis::ask::UNITS,
        state::{Booking, HolderRecord, Recovery, UnitRecord},
        units::Units,
        wire::Other,
    },
};

pub(super) async fn dump(link: &Link) -> BoardState {
    let script = Script::new(concat!(include_str!("../lua/without_empty.lua"), include_str!("dump.lua")));
    let answer = link.run(&script, &[], Duration::from_secs(5)).await.unwrap();
    let redis::Value::BulkString(text) = answer else { panic!("{answer:?}") };
    state(&serde_json::from_slice(&text).unwrap())
}

fn state(all: &Value) -> BoardState {
    let board = &all["board"];
    let recovery = &board["recovery"];
    BoardState {
        generation: big(&board["generation"]),
        past: list(&board["past"]).iter().map(big).collect(),
        server: text(&board["server"]),
        fresh: false,
        clock: number(&board["clock"]),
        lag: number(&board["lag"]),
        broke: number(&board["broke"]),
        fence: big(&board["fence"]),
        lease: number(&board["lease"]),
        recovery: recovery.is_object().then(|| Recovery {
            until: number(&recovery["ends"]),
            since: number(&recovery["since"]),
            empty: recovery["empty"].as_bool().unwrap(),
            known: recovery["known"].as_bool().unwrap(),
        }),
        awaited: board["is_awaiting"]
            .is_string()
            .then(|| list(&board["awaited"]).iter().map(|id| HolderId::from(id.as_str().unwrap())).collect()),
        gap: board["gap"].is_array().then(|| Gap { since: number(&board["gap"][0]), until: number(&board["gap"][1]) }),
        blank: maybe(&board["blank"]),
        bounds: entries(&all["bounds"])
            .map(|(unit, marks)| (UnitId::from(&**unit), list(marks).iter().map(mark).collect()))
            .collect(),
        left: entries(&all["left"])
            .map(|(unit, counts)| (UnitId::from(&**unit), list(counts).iter().map(told).collect()))
            .collect(),
        units: units(&all["units"]),
        joining: list(&board["joining"]).iter().map(|unit| UnitId::from(unit.as_str().unwrap())).collect(),
        notes: BTreeMap::new(),
        holders: entries(&all["holders"]).map(|(name, holder)| (HolderId::from(&**name), holder_of(holder))).collect(),
        dead: list(&board["dead"]).iter().map(|id| HolderId::from(id.as_str().unwrap())).collect(),
        rosters: entries(&all["rosters"])
            .map(|(hash, roster)| (hash.parse().unwrap(), roster_of(roster).into()))
            .collect(),
        facts: entries(&all["facts"]).map(|(scope, fact)| (scope.clone(), fact_of(fact))).collect(),
        revision: big(&board["revision"]),
        used: entries(&all["used"]).map(|(name, sum)| (name.clone(), big(sum))).collect(),
        other: other(&board["other"]),
    }
}

fn units(all: &Value) -> Units {
    let mut units = Units::default();
    for (name, unit) in entries(all) {
        units.or_insert_with(&UnitId::from(&**name), || unit_of(unit));
    }
    units
}

fn unit_of(unit: &Value) -> UnitRecord {
    let holder = |name: &str| unit[name].as_str().map(HolderId::from);
    UnitRecord {
        generation: big(&unit["generation"]),
        into: unit["into"].as_str().map(UnitId::from),
        holder: holder("holder"),
        until: number(&unit["ends"]),
        fence: big(&unit["fence"]),
        mode: if unit["mode"] == "drawn" { Mode::Drawn } else { Mode::Whole },
        counts: list(&unit["counts"]).iter().map(told).collect(),
        told: number(&unit["told"]),
        marks: list(&unit["marks"]).iter().map(mark).collect(),
        ahead: None,
        dates: (0, 0),
        unknown: maybe(&unit["unknown"]),
        days_unknown: maybe(&unit["days_unknown"]),
        lost: maybe(&unit["lost"]),
        in_flight: list(&unit["in_flight"]).iter().map(number).collect(),
        last_start: maybe(&unit["last_start"]),
        opens: maybe(&unit["opens"]),
        before: holder("before"),
        left: false,
        learned: limits(&unit["learned"]),
        corrections: list(&unit["corrections"]).iter().map(correction).collect(),
        corrected: big(&unit["corrected"]),
        bookings: list(&unit["bookings"]).iter().map(booking).collect(),
        other: other(&unit["other"]),
    }
}

fn holder_of(holder: &Value) -> HolderRecord {
    let kinds = |map: &Value| entries(map).map(|(kind, n)| (Kind::from(&**kind), big(n))).collect::<BTreeMap<_, _>>();
    let came = list(&holder["came"]);
    HolderRecord {
        number: big(&holder["number"]),
        seen: number(&holder["seen"]),
        lease: number(&holder["lease"]),
        came: came.chunks_exact(2).map(|pair| (big(&pair[0]), number(&pair[1]))).collect(),
        roster: big(&holder["roster"]),
        demand: kinds(&holder["demand"]),
        wanted: kinds(&holder["wanted"]),
        news: big(&holder["news"]),
        ended: holder["ended"] == true,
        other: other(&holder["other"]),
    }
}

fn roster_of(roster: &Value) -> Vec<UnitInfo> {
    let mut units = Vec::new();
    for kind in list(&roster["kinds"]) {
        for (at, unit) in list(&kind["units"]).iter().enumerate() {
            let name = unit.as_str().unwrap();
            let guard = kind["guards"][at].as_str().filter(|guard| !guard.is_empty()).map(UnitId::from);
            let joins = list(&kind["joins"][name]).iter().map(|old| UnitId::from(old.as_str().unwrap())).collect();
            let kind = Kind::from(kind["kind"].as_str().unwrap());
            let limits = limits(&roster["limits"][name]);
            units.push(UnitInfo { unit: UnitId::from(name), kind, limits, guard, joins });
        }
    }
    units.sort_by(|one, other| one.unit.cmp(&other.unit));
    units
}

fn fact_of(fact: &Value) -> Rest {
    Rest {
        until: maybe(&fact["ends"]).unwrap_or(i64::MAX),
        generation: number(&fact["generation"]) as u32,
        why: text(&fact["why"]),
        revision: big(&fact["revision"]),
    }
}

fn booking(booking: &Value) -> Booking {
    Booking {
        draw: big(&booking["draw"]),
        holder: HolderId::from(booking["holder"].as_str().unwrap()),
        until: number(&booking["ends"]),
        requests: big(&booking["requests"]),
        tokens: big(&booking["tokens"]),
        dates: (number(&booking["from"]) as u16, number(&booking["to"]) as u16),
    }
}

fn correction(correction: &Value) -> Correction {
    Correction {
        // The record says of which unit; `normal` leaves it out on the other side.
        unit: UnitId::from(""),
        number: big(&correction["n"]),
        of: UNITS[number(&correction["u"]) as usize],
        began: number(&correction["b"]),
        more: big(&correction["m"]),
    }
}

/// The pure function's state in the same form.
pub(super) fn normal(state: &BoardState) -> BoardState {
    let mut state = state.clone();
    for unit in state.units.named(|unit| !unit.corrections.is_empty()) {
        let record = state.units.get_mut(&unit).unwrap();
        record.corrections.iter_mut().for_each(|correction| correction.unit = UnitId::from(""));
    }
    state.fresh = false;
    state
}

fn mark(mark: &Value) -> Mark {
    Mark { unit: UNITS[number(&mark[0]) as usize], date: number(&mark[1]) as u16, upto: big(&mark[2]) }
}

fn told(told: &Value) -> Told {
    let (moments, dates) = (list(&told["m"]), list(&told["d"]));
    Told {
        limit: limit(told),
        moments: moments.chunks_exact(2).map(|pair| (number(&pair[0]), big(&pair[1]))).collect(),
        dates: dates.chunks_exact(2).map(|pair| (number(&pair[0]) as u16, big(&pair[1]))).collect(),
    }
}

fn limit(limit: &Value) -> Limit {
    let span = match big(&limit["s"]) {
        0 => Span::Day,
        nanos => Span::Sliding(Duration::from_nanos(nanos)),
    };
    Limit { unit: UNITS[number(&limit["u"]) as usize], span, amount: big(&limit["a"]) }
}

fn limits(limits: &Value) -> Limits {
    list(limits).iter().fold(Limits::new(), |all, one| all.with(limit(one)))
}

fn other(other: &Value) -> Other {
    let parsed = |value: &Value| serde_json::from_str(value.as_str().unwrap()).unwrap();
    entries(other).map(|(name, value)| (name.clone(), parsed(value))).collect()
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flatten()
}

fn list(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number, or a text that is one; none where there is nothing.
fn maybe(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => Some(text.parse::<f64>().unwrap() as i64),
        value => value.as_i64().or_else(|| value.as_f64().map(|number| number as i64)),
    }
}

fn number(value: &Value) -> i64 {
    maybe(value).unwrap_or(0)
}

fn big(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => number(value) as u64,
    }
}
