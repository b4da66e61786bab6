//! What a process and the board say to each other: one [`Renewal`] there, one [`Reply`] back.
//!
//! Times are milliseconds relative to the message's own moment: of a renewal when it was sent, of a reply when the board
//! answered. Whoever reads it puts its own, later moment in their place: nothing seems to have begun earlier than it did.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::{
    days::{Days, Mark},
    info::{Mode, UnitInfo},
    left::Left,
    lent::{Drawn, Granted},
};
use super::{
    ledger::Spent,
    names::{HolderId, Kind, UnitId},
};
use crate::limit::{Limits, Told, Unit};

/// The wire form that this library speaks. Readers keep fields that they do not know.
pub const VERSION: u16 = 1;

/// Fields of a later version, kept and handed on.
pub type Other = BTreeMap<String, Value>;

/// All that a process tells the board, in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renewal {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// Who sends it.
    pub holder: HolderId,
    /// One more than that of the last renewal that it sent, answered or not.
    pub number: u64,
    /// The board's generation as last heard; zero when the process never heard from one.
    pub generation: u64,
    /// The number of the last renewal that was answered.
    pub acknowledged: u64,
    /// How long ago that one was sent, at the least.
    #[serde(default)]
    pub elapsed: Option<u64>,
    /// How long answers took lately.
    #[serde(default)]
    pub trip: u64,
    /// A random number: the board's next generation, should it need one.
    pub nonce: u64,
    /// How long what is granted or renewed now is held, in milliseconds.
    pub lease: u64,
    /// The longest time that any process is known to hold what it is granted.
    #[serde(default)]
    pub longest: u64,
    /// The hash of what this process can serve.
    pub roster: u64,
    /// That itself, when the board does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Arc<[UnitInfo]>>,
    /// What it holds.
    #[serde(default)]
    pub held: Vec<Held>,
    /// What it gives back.
    #[serde(default)]
    pub returned: Vec<Held>,
    /// How many requests a thousand seconds are asked for, smoothed; as many a second as wait,
    /// up to 16, where those are more.
    #[serde(default)]
    pub demand: BTreeMap<Kind, u64>,
    /// What it lacks.
    #[serde(default)]
    pub claims: Vec<Claim>,
    /// Draws of which it tells what became.
    #[serde(default)]
    pub settled: Vec<Settled>,
    /// What adds up whoever tells it, numbered by the sender.
    #[serde(default)]
    pub news: Vec<(u64, News)>,
    /// The last revision of [`Reply::facts`] that it heard.
    #[serde(default)]
    pub revision: u64,
    /// Processes that it knows to be dead.
    #[serde(default)]
    pub buried: Vec<HolderId>,
    /// What it starts it notes in the store before it goes beyond [`Held::ahead`]: no more is unknown should it die.
    #[serde(default)]
    pub noting: bool,
    /// The number of the last note that this renewal is newer than.
    #[serde(default)]
    pub noted: u64,
    /// Units of whose days it asks what is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<UnitId>,
    /// To a board that lost what it knew: what can have been used of days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Days>,
    /// To the same: what units counted that it gave back before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    /// The board's [time](Reply::time) as others on this machine heard it last from that generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<i64>,
    /// The process ends: it gives all back, and starts nothing any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

/// A unit that its holder holds, or gives back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub unit: UnitId,
    /// The number under which it was granted.
    pub fence: u64,
    /// Whether the holder could still use it when it sent this.
    pub valid: bool,
    /// Its windows; none where they are as last told.
    #[serde(default)]
    pub counts: Option<Vec<Told>>,
    /// Up to where the day may be used before the board hears of it.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// How much may be started before a later word of it: of one who [notes](Renewal::noting) what he starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<Spent>,
    /// When each request that is under way ends at the latest.
    #[serde(default)]
    pub in_flight: Vec<i64>,
    /// When its last request started.
    #[serde(default)]
    pub last_start: Option<i64>,
    /// Of a unit given back: it has no room before.
    #[serde(default)]
    pub opens: Option<i64>,
    /// How it is to be shared from now on.
    #[serde(default)]
    pub mode: Mode,
    /// The last correction that the holder heard.
    #[serde(default)]
    pub corrected: u64,
    /// Fields of a later version, kept with the unit.
    #[serde(flatten)]
    pub other: Other,
}

/// What a holder notes of a unit between two renewals. Times are relative to the note's own moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Which.
    pub unit: UnitId,
    /// The number under which it is held.
    pub fence: u64,
    /// What its windows count; nothing where `started` says what is new.
    pub counts: Vec<Told>,
    /// All that is new since the note before, or since its holder told of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
    /// How much may be started before the next note.
    pub ahead: Spent,
}

/// What was started of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// So much, no later than the note.
    pub spent: Spent,
    /// On one of these dates, and what is between them, in days since 1970-01-01 plus one.
    pub dates: (u16, u16),
}

/// What a process lacks of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Of which kind.
    pub kind: Kind,
    /// For how many requests.
    pub requests: u64,
    /// For how many tokens of the prompt together.
    #[serde(default)]
    pub tokens: u64,
    /// How many of the requests wait already.
    #[serde(default)]
    pub waiting: u64,
    /// Units without which some of those that wait cannot be served: these first, whatever room there is in others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitId>,
    /// The first and the last date that counts now: what is granted may be used a little before the board hears of it.
    #[serde(default)]
    pub dates: (u16, u16),
}

/// What became of a draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Of which unit.
    pub unit: UnitId,
    /// Its number.
    pub draw: u64,
    /// When how many requests, with how many tokens of the prompt, started. The rest was not used.
    pub starts: Vec<(i64, u64, u64)>,
}

/// What adds up: it is accepted from whoever tells it, also when he holds nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Counters.
    Used {
        /// What is counted.
        name: String,
        /// How much more.
        more: u64,
    },
    /// A request cost more than was reserved.
    Corrected {
        /// In which unit.
        unit: UnitId,
        /// What the limit counts.
        of: Unit,
        /// When it started.
        began: i64,
        /// How much more.
        more: u64,
    },
    /// A rest of a scope, a disabled key: of one generation the latest end holds, of two the later generation.
    Rest {
        /// Key, owner, account or lane.
        scope: String,
        /// Until when; `i64::MAX` without end.
        until: i64,
        /// One more after each lift.
        generation: u32,
        /// Why, in words.
        why: String,
    },
    /// An answer named a limit of a unit: the smaller holds.
    Learned {
        /// Of which unit.
        unit: UnitId,
        /// Which.
        limits: Limits,
    },
}

/// A rest that some process told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Until when; `i64::MAX` without end.
    pub until: i64,
    /// One more after each lift.
    pub generation: u32,
    /// Why, in words.
    pub why: String,
    /// When the board heard of it, by its own count.
    pub revision: u64,
}

/// What the board answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`] of the board.
    pub version: u16,
    /// The renewal that this answers.
    pub number: u64,
    /// The renewal is older than one that the board has seen: nothing was done.
    #[serde(default)]
    pub stale: bool,
    /// Why: others took this process for dead, and what it held is theirs.
    #[serde(default)]
    pub dead: bool,
    /// The board's generation.
    pub generation: u64,
    /// The board's time.
    pub time: i64,
    /// What is held from now on, beside what was renewed.
    #[serde(default)]
    pub granted: Vec<Granted>,
    /// What is not held any more.
    #[serde(default)]
    pub refused: Vec<UnitId>,
    /// How long the board only hears what is held and grants nothing.
    #[serde(default)]
    pub recovering: Option<u64>,
    /// Kinds of which somebody else lacks units: for how many requests. Units that are wanted by name: [`Kind::naming`].
    #[serde(default)]
    pub wanted: BTreeMap<Kind, u64>,
    /// How much (requests a minute) of a kind is held beyond the own share while another lacks his.
    #[serde(default)]
    pub give: BTreeMap<Kind, u64>,
    /// Kinds of which not all could be granted that was claimed.
    #[serde(default)]
    pub dry: Vec<Kind>,
    /// Of those kinds whose every unit was given back full: after how long the first of them has room.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opens: BTreeMap<Kind, i64>,
    /// Of a kind: how many units, and processes that ask for it.
    #[serde(default)]
    pub crowd: BTreeMap<Kind, (u64, u64)>,
    /// Nobody else was heard of lately: all that is free was granted. Said to one who [notes](Renewal::noting).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// The board does not know what the process can serve.
    #[serde(default)]
    pub unknown_roster: bool,
    /// Places given out.
    #[serde(default)]
    pub draws: Vec<Drawn>,
    /// What others told since.
    #[serde(default)]
    pub facts: BTreeMap<String, Rest>,
    /// Up to where `facts` go.
    #[serde(default)]
    pub revision: u64,
    /// Up to which number news are booked.
    #[serde(default)]
    pub news: u64,
    /// Corrections of what earlier holders of held units started.
    #[serde(default)]
    pub corrections: Vec<Correction>,
    /// Limits stricter than the process has them.
    #[serde(default)]
    pub stricter: BTreeMap<UnitId, Limits>,
    /// The longest [lease](Renewal::lease) of a process that is there.
    #[serde(default)]
    pub longest: u64,
    /// Others can serve other units, or have other limits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differ: bool,
    /// What is counted of the days that it asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Days>,
    /// Fields of a later version.
    #[serde(flatten)]
    pub other: Other,
}

/// A request of an earlier holder cost more than was reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// In which unit.
    pub unit: UnitId,
    /// The board's number of it.
    pub number: u64,
    /// What the limit counts.
    pub of: Unit,
    /// When it started.
    pub began: i64,
    /// How much more.
    pub more: u64,
}
