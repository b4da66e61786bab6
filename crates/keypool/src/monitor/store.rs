//! What the database tells: as pools wrote it last. What is in flight is not written.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tower_keypool::Limit;

use super::{KeyLine, LaneLine, Picture, Resting, Tone, Used};
use crate::{
    database::Whose,
    standing::{Calendar, Configured, Stand, Standings, State, Window},
};

/// The database of all commands, and what is configured.
#[derive(Clone, Debug)]
pub struct Store {
    place: Whose,
    configured: Configured,
}

impl Store {
    /// That at this place.
    pub fn at(place: Whose) -> Self {
        Self { configured: Configured::of(&place), place }
    }

    pub(super) async fn look(&self) -> anyhow::Result<Picture> {
        let site = self.place.site()?;
        // The calendar stood still since.
        let configured = Configured { calendar: self.configured.calendar.again(), ..self.configured.clone() };
        let (standings, _) = configured.look(&self.place).await?;
        Ok(picture(&standings, &configured.calendar, &format!("database {site}")))
    }
}

fn picture(standings: &Standings, calendar: &Calendar, title: &str) -> Picture {
    let keys: Vec<KeyLine> = standings.present().map(|key| line(key, calendar.now_ms())).collect();
    Picture {
        title: title.to_owned(),
        started: keys.iter().map(|key| key.started).sum(),
        lanes: lanes(standings),
        keys,
        notes: vec!["from the database, requests of today; --admin URL shows what is in flight, too".to_owned()],
        ..Picture::default()
    }
}

fn line(key: &Stand, now: i64) -> KeyLine {
    let left = |until: i64| Duration::from_millis(u64::try_from(until - now).unwrap_or(0));
    let mut rests: Vec<Resting> = key
        .rests
        .iter()
        .map(|rest| Resting {
            model: rest.model.as_deref().map(model),
            why: if rest.code.is_empty() { rest.advice.clone() } else { rest.code.clone() },
            ends_in: rest.until.map(left),
        })
        .collect();
    if rests.is_empty() && key.state != State::Usable {
        rests.push(Resting { model: None, why: key.reason.clone(), ends_in: None });
    }
    let used = key.windows.iter().filter(|window| window.used > 0);
    KeyLine {
        id: key.id.clone(),
        owner: key.owner.clone().unwrap_or_default(),
        tier: key.tier.clone().unwrap_or_default(),
        state: key.state.name().to_owned(),
        tone: match key.state {
            State::Usable => Tone::Good,
            State::Partly => Tone::Partly,
            State::Resting | State::OutForToday => Tone::Resting,
            State::Faulty | State::Disabled | State::Removed => Tone::Bad,
        },
        in_flight: None,
        started: u64::try_from(key.used_today).unwrap_or(0),
        used: used.map(|window| of(window, model(&window.model))).collect(),
        rests,
    }
}

/// Limits of all owners together: keys of one owner have one.
fn lanes(standings: &Standings) -> Vec<LaneLine> {
    let mut lanes: BTreeMap<String, (u64, BTreeMap<Limit, Used>)> = BTreeMap::new();
    for record in &standings.usage {
        lanes.entry(model(&record.lane)).or_default().0 += u64::try_from(record.requests).unwrap_or(0);
    }
    let mut seen = BTreeSet::new();
    for key in standings.present() {
        let owner = key.owner.as_ref().unwrap_or(&key.hash);
        for window in &key.windows {
            if !seen.insert((owner.clone(), window.model.clone(), window.limit)) {
                continue;
            }
            let limits = &mut lanes.entry(model(&window.model)).or_default().1;
            // One line for all limits of a kind.
            let kind = Limit { amount: 0, ..window.limit };
            let sum = limits.entry(kind).or_insert_with(|| Used { used: 0, amount: 0, ..of(window, String::new()) });
            sum.used += window.used;
            sum.amount += window.limit.amount;
        }
    }
    let line = |(model, (started, limits)): (String, (u64, BTreeMap<Limit, Used>))| LaneLine {
        model,
        started,
        used: limits.into_values().collect(),
        ..LaneLine::default()
    };
    lanes.into_iter().map(line).collect()
}

fn of(window: &Window, model: String) -> Used {
    Used { model, limit: window.limit.to_string(), used: window.used, amount: window.limit.amount }
}

/// A lane, as it is shown.
fn model(lane: &str) -> String {
    match lane {
        "" => "(no model)",
        "*" => "(other models)",
        model => model,
    }
    .to_owned()
}
