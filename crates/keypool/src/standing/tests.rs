//! Who is out for today: those whose day is used up, and days end where the key's owner has them end.

use tower_keypool::{
    Key, Limit, Unit,
    config::Origin,
    store::{Image, KeyBook, RestId, RestRecord, UnitRecord, WindowRecord},
};

use super::*;

const NOW: &str = "2026-06-16T05:00:00Z";
const HOUR: i64 = 3_600_000;

fn spec(secret: &str, zone: Option<&str>, owner: Option<&str>) -> tower_keypool::config::KeySpec {
    let mut spec = tower_keypool::config::KeySpec::new(secret, Origin::default());
    spec.zone = zone.map(str::to_owned);
    spec.owner = owner.map(str::to_owned);
    spec.id = Some(secret.to_owned());
    spec
}

/// In Los Angeles it is 22:00 of the 15th, in Tokyo 14:00 of the 16th.
fn configured(keys: Vec<tower_keypool::config::KeySpec>) -> Configured {
    Configured { calendar: Calendar::at(NOW, "America/Los_Angeles"), keys, exits: None, is_adaptive: true }
}

fn book(configured: &Configured) -> KeyBook {
    let records = configured.keys.iter().map(|spec| KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, 0));
    KeyBook::new(records, Vec::new(), 0)
}

fn rest(owner: &str, lane: &str, ends: i64) -> (String, RestRecord) {
    let id = RestId { scope: Scope::OwnerLane, whom: owner.to_owned(), lane: Some(lane.to_owned()) };
    let record: RestRecord = serde_json::from_value(serde_json::json!({
        "scope": "owner_lane", "whom": owner, "lane": lane, "kind": "quota_exhausted", "code": lane, "advice": "",
        "since": 0, "ends": ends,
    }))
    .unwrap();
    assert_eq!(record.id, id);
    (id.name(), record)
}

fn day_unit(owner: &str, lane: &str, day: &str, used: u64) -> UnitRecord {
    let limit = Limit { unit: Unit::Requests, span: Span::Day, amount: 10 };
    let window = WindowRecord { limit, moments: Vec::new(), held: 0, days: vec![(day.to_owned(), used)] };
    UnitRecord { owner: owner.to_owned(), lane: lane.to_owned(), windows: vec![window], ..UnitRecord::default() }
}

/// Models for which a key is out.
fn out(configured: &Configured, image: &Image, id: &str) -> Vec<String> {
    let book = book(configured);
    let days = Days::new(&book, configured);
    let scene = Scene::new(&book, image, &[], &days, configured.calendar.now_ms());
    let (hash, key) = book.keys().find(|(_, key)| key.record.id == id).unwrap();
    scene.stand(hash, key, None).out_for_today.into_iter().filter_map(|out| out.model).collect()
}

#[test]
fn a_quota_that_comes_back_today_is_not_the_days() {
    let configured = configured(vec![spec("one", None, Some("a"))]);
    let now = configured.calendar.now_ms();
    let mut image = Image::default();
    image.rests.extend([rest("a", "minute", now + 60_000), rest("a", "day", now + 2 * HOUR)]);
    image.rests.extend([rest("a", "longer", now + 20 * HOUR)]);
    assert_eq!(out(&configured, &image, "one"), ["day", "longer"]);
    let book = book(&configured);
    let days = Days::new(&book, &configured);
    image.rests.retain(|_, rest| rest.id.lane.as_deref() == Some("minute"));
    let scene = Scene::new(&book, &image, &[], &days, now);
    let (hash, key) = book.keys().next().unwrap();
    assert_eq!(scene.stand(hash, key, None).state, State::Partly, "it rests for a minute");
}

#[test]
fn a_day_ends_where_the_keys_owner_has_it_end() {
    let keys = vec![
        spec("pacific", None, Some("us")),
        spec("japanese", Some("Asia/Tokyo"), Some("jp")),
        // Their owner has one zone, whichever of them says it.
        spec("sister", None, Some("jp")),
    ];
    let configured = configured(keys);
    let now = configured.calendar.now_ms();
    let mut image = Image::default();
    for (owner, lane, day) in
        [("us", "15", "2026-06-15"), ("us", "16", "2026-06-16"), ("jp", "15", "2026-06-15"), ("jp", "16", "2026-06-16")]
    {
        let unit = day_unit(owner, lane, day, 10);
        image.units.insert(unit.name(), unit);
    }
    image.rests.extend([rest("us", "evening", now + 2 * HOUR), rest("jp", "evening", now + 2 * HOUR)]);
    image.rests.extend([rest("jp", "night", now + 10 * HOUR)]);
    assert_eq!(out(&configured, &image, "pacific"), ["15", "evening"]);
    assert_eq!(out(&configured, &image, "japanese"), ["16", "night"]);
    assert_eq!(out(&configured, &image, "sister"), ["16", "night"]);
    let days = Days::new(&book(&configured), &configured);
    assert_eq!(days.span("today").unwrap(), ("2026-06-15".to_owned(), "2026-06-16".to_owned()));
    assert_eq!(days.span("2026-06-01").unwrap(), ("2026-06-01".to_owned(), "2026-06-01".to_owned()));
    assert_eq!(days.of(&Key::new("nobody's").key_id().to_string()).today(), "2026-06-15");
}

/// What a process that was killed may have started counts as started.
#[test]
fn a_day_of_which_more_may_be_used_than_there_is_is_used_up() {
    let configured = configured(vec![spec("one", None, Some("a"))]);
    let units = [8, 10, 12].map(|used| (format!("{used}\na"), day_unit("a", &format!("m{used}"), "2026-06-15", used)));
    let image = Image { units: units.into(), ..Image::default() };
    let book = book(&configured);
    let days = Days::new(&book, &configured);
    let scene = Scene::new(&book, &image, &[], &days, configured.calendar.now_ms());
    let (hash, key) = book.keys().next().unwrap();
    let told: Vec<String> = scene.stand(hash, key, None).out_for_today.into_iter().map(|out| out.why).collect();
    assert_eq!(told, ["10 of 10 requests/day", "all of 10 requests/day"]);
}

/// The store that processes share was lost: whose day nobody knows is out, and why is said.
#[test]
fn a_day_that_nobody_knows_since_the_store_was_lost_is_out() {
    let configured = configured(vec![spec("one", None, Some("a")), spec("far", Some("Asia/Tokyo"), Some("b"))]);
    let now = configured.calendar.now_ms();
    let lost = |owner: &str, lane: &str, used: Option<u64>, ago: i64| {
        let mut unit = day_unit(owner, lane, "2026-06-15", used.unwrap_or(0));
        unit.windows.retain(|_| used.is_some());
        (format!("{lane}\n{owner}"), UnitRecord { lost: Some(now - ago), ..unit })
    };
    let units = [
        // Nobody has asked for it since; a holder took the day for used; one knew what was left of it.
        lost("a", "unasked", None, HOUR),
        lost("a", "taken", Some(10), HOUR),
        lost("a", "known", Some(9), HOUR),
        lost("a", "yesterday", None, 24 * HOUR),
        // In Tokyo it was yesterday.
        lost("b", "unasked", None, 15 * HOUR),
    ];
    let image = Image { units: units.into_iter().collect(), ..Image::default() };
    assert_eq!(out(&configured, &image, "one"), ["taken", "unasked"]);
    assert_eq!(out(&configured, &image, "far"), [""; 0]);
    let book = book(&configured);
    let days = Days::new(&book, &configured);
    let scene = Scene::new(&book, &image, &[], &days, now);
    let (hash, key) = book.keys().find(|(_, key)| key.record.id == "one").unwrap();
    let told = scene.stand(hash, key, None).out_for_today;
    assert!(told.iter().all(|out| out.why.starts_with("unknown since the store lost what it knew")), "{told:?}");
}

/// A rest of a way out keeps out the keys that take it, and no others.
#[test]
fn a_key_rests_with_the_exit_that_it_takes() {
    let configured = configured(vec![spec("one", None, Some("tokyo")), spec("two", None, None)]);
    let now = configured.calendar.now_ms();
    let rest = |exit: &str, advice: &str| {
        let record: RestRecord = serde_json::from_value(serde_json::json!({
            "scope": "exit", "whom": exit, "kind": "blocked", "code": "LOCATION", "advice": advice, "since": 0,
            "ends": now + HOUR,
        }))
        .unwrap();
        (record.id.name(), record)
    };
    let image = Image { rests: [rest("", "the usual"), rest("osaka", "another")].into(), ..Image::default() };
    let book = book(&configured);
    let days = Days::new(&book, &configured);
    let scene = Scene::new(&book, &image, &[], &days, now);
    for (hash, key) in book.keys() {
        for (exit, state, why) in [
            (None, State::Resting, "the usual"),
            (Some("tokyo"), State::Usable, ""),
            (Some("osaka"), State::Resting, "another"),
        ] {
            let stand = scene.stand(hash, key, exit);
            assert_eq!((stand.state, &*stand.reason), (state, why), "{exit:?}");
            assert_eq!(stand.rests.len(), usize::from(state == State::Resting));
        }
    }
}

#[tokio::test]
async fn the_limits_of_a_file_are_told_before_anything_was_used_of_them() {
    let mut key = spec("AIza-not-a-real-key-1", None, None);
    key.limits.insert("*".to_owned(), tower_keypool::Limits::new().per_minute(7));
    let standings = Standings::of(None, &configured(vec![key])).await.unwrap();
    assert_eq!(standings.keys[0].limits["*"], ["7 requests/minute"]);
}
