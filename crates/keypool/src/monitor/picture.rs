//! What is shown, wherever it is from.

use std::time::Duration;

use serde::Serialize;

/// Keys and lanes at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Picture {
    /// Where it is from: `keypool 0.1.0 at http://127.0.0.1:5000, up 3 min`.
    pub title: String,
    /// The keys.
    pub keys: Vec<KeyLine>,
    /// The models.
    pub lanes: Vec<LaneLine>,
    /// Requests so far (of today, where a database tells).
    pub started: u64,
    /// Requests in flight, where that is known.
    pub in_flight: Option<u64>,
    /// Who waits for a key, where that is known.
    pub waiting: Option<u64>,
    /// Requests of the last minute, where that is known.
    pub last_minute: Option<u64>,
    /// 429s of the last minute, where that is known.
    pub limit_hits: Option<u64>,
    /// What is to be said beside.
    pub notes: Vec<String>,
}

impl Picture {
    /// Takes in what is told of another provider's pool, its name in front.
    pub(super) fn take_in(&mut self, name: &str, other: Self) {
        let named = |line: String| format!("{name}/{line}");
        self.keys.extend(other.keys.into_iter().map(|key| KeyLine { id: named(key.id), ..key }));
        self.lanes.extend(other.lanes.into_iter().map(|lane| LaneLine { model: named(lane.model), ..lane }));
        self.notes.extend(other.notes.into_iter().map(|note| format!("{name}: {note}")));
        self.started += other.started;
        let sums = [
            (&mut self.in_flight, other.in_flight),
            (&mut self.waiting, other.waiting),
            (&mut self.last_minute, other.last_minute),
            (&mut self.limit_hits, other.limit_hits),
        ];
        for (sum, more) in sums {
            *sum = sum.zip(more).map(|(sum, more)| sum + more).or(*sum);
        }
    }
}

/// A key.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KeyLine {
    /// Its name.
    pub id: String,
    /// Whose quota it is.
    pub owner: String,
    /// What the account pays.
    pub tier: String,
    /// Whether it may be used.
    pub state: String,
    /// How good that is.
    #[serde(skip)]
    pub tone: Tone,
    /// Requests in flight, where that is known.
    pub in_flight: Option<u64>,
    /// Requests so far.
    pub started: u64,
    /// What is used of its limits.
    pub used: Vec<Used>,
    /// What rests.
    pub rests: Vec<Resting>,
}

/// A model.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LaneLine {
    /// Its name.
    pub model: String,
    /// Keys that may carry a request of it now, where that is known.
    pub available: Option<u64>,
    /// Requests in flight, where that is known.
    pub in_flight: Option<u64>,
    /// Who waits, where that is known.
    pub waiting: Option<u64>,
    /// Requests so far.
    pub started: u64,
    /// What is used of its limits, over all owners.
    pub used: Vec<Used>,
    /// Whether all of it rests.
    pub rest: Option<Resting>,
}

/// A limit, and what is used of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// The model; empty where the line says it.
    pub model: String,
    /// What is counted: `requests/minute`.
    pub limit: String,
    /// How much is used.
    pub used: u64,
    /// Of how much.
    pub amount: u64,
}

/// Something that rests, or is full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Resting {
    /// The model, where it is bound to one.
    pub model: Option<String>,
    /// Why.
    pub why: String,
    /// How much longer, from when the picture was taken; none: without end.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub ends_in: Option<Duration>,
}

/// How good a state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// It serves.
    #[default]
    Good,
    /// For some models it does not.
    Partly,
    /// It comes back by itself.
    Resting,
    /// It does not.
    Bad,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

impl Used {
    /// `9/10 requests/minute`.
    pub fn text(&self) -> String {
        let model = if self.model.is_empty() { String::new() } else { format!("{} ", self.model) };
        format!("{model}{}/{} {}", self.used, self.amount, self.limit)
    }
}

impl Resting {
    /// `41 s: model: RESOURCE_EXHAUSTED`, so long after the picture was taken.
    pub fn text(&self, age: Duration) -> String {
        let model = self.model.as_deref().map(|model| format!("{model}: ")).unwrap_or_default();
        match self.ends_in {
            Some(left) => format!("{}: {model}{}", clock(left.saturating_sub(age)), self.why),
            None => format!("{model}{}", self.why),
        }
    }
}

/// `41 s`, `12 min 05 s`, `3 h 20 min`.
pub(super) fn clock(left: Duration) -> String {
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3_600 % 24),
    }
}

impl Picture {
    /// `12 keys: 9 ready, 2 resting, 1 disabled`.
    pub fn counts(&self) -> String {
        let mut states: Vec<(&str, usize)> = Vec::new();
        for key in &self.keys {
            match states.iter_mut().find(|(state, _)| *state == key.state) {
                Some((_, n)) => *n += 1,
                None => states.push((&key.state, 1)),
            }
        }
        if states.is_empty() {
            return "no key".to_owned();
        }
        let states: Vec<String> = states.iter().map(|(state, n)| format!("{n} {state}")).collect();
        format!("{}: {}", crate::config::count(self.keys.len(), "key"), states.join(", "))
    }

    /// `12 keys: … | in flight 8 | waiting 0 | 4.0/s | 231 in the last minute, 3 429s | 1024 so far`.
    pub fn totals(&self, per_second: Option<f64>) -> String {
        let mut parts = vec![self.counts()];
        parts.extend(self.in_flight.map(|n| format!("in flight {n}")));
        parts.extend(self.waiting.map(|n| format!("waiting {n}")));
        parts.extend(per_second.map(|rate| format!("{rate:.1}/s")));
        if let Some(minute) = self.last_minute {
            let hits = self.limit_hits.filter(|hits| *hits > 0).map(|hits| format!(", {hits} 429s"));
            parts.push(format!("{minute} in the last minute{}", hits.unwrap_or_default()));
        }
        parts.push(format!("{} so far", self.started));
        parts.join(" | ")
    }
}
