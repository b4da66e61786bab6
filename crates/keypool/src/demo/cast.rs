//! Who plays: ten keys of eight projects, good and bad, as the simulator knows them and as the pool is told.

use std::time::Duration;

use gemini_sim::{Builder, Fault, GeminiSim, Latency, Project, Refusal, Rule, Tier};
use tower_keypool::{Key, Limits};

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Player {
    pub(super) id: &'static str,
    /// The owner of its quota, as the pool is told.
    owner: &'static str,
    /// The same as the provider names it.
    project: &'static str,
    paid: bool,
    /// Requests a minute that its project really has, for each model.
    rpm: u64,
    /// Requests a day, where the project has such a limit.
    rpd: Option<u64>,
    told: Told,
    refused: Option<fn() -> Refusal>,
}

/// What the pool is told about a key's limits.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The truth.
    Limits,
    /// Nothing: it learns.
    Nothing,
}

const GOOD: Player =
    Player { id: "", owner: "", project: "", paid: false, rpm: 10, rpd: None, told: Told::Limits, refused: None };

/// The ten of them. `ada-1` and `ada-2` share a project, and so its quota.
pub(super) const PLAYERS: [Player; 10] = [
    Player { id: "ada-1", owner: "ada", project: "100000000001", ..GOOD },
    Player { id: "ada-2", owner: "ada", project: "100000000001", ..GOOD },
    Player { id: "bob", owner: "bob", project: "100000000002", rpm: 8, told: Told::Nothing, ..GOOD },
    Player { id: "cleo", owner: "cleo", project: "100000000003", rpm: 15, rpd: Some(6), ..GOOD },
    Player { id: "dan", owner: "dan", project: "100000000004", rpm: 5, ..GOOD },
    Player { id: "eve", owner: "eve", project: "100000000005", refused: Some(|| Refusal::ConsumerSuspended), ..GOOD },
    Player { id: "finn", owner: "finn", project: "100000000006", refused: Some(|| Refusal::ApiKeyInvalid), ..GOOD },
    Player { id: "gus", owner: "gus", project: "100000000007", rpm: 12, told: Told::Nothing, ..GOOD },
    Player { id: "paid-1", owner: "acme-1", project: "200000000001", paid: true, rpm: 200, ..GOOD },
    Player { id: "paid-2", owner: "acme-2", project: "200000000002", paid: true, rpm: 300, ..GOOD },
];

impl Player {
    /// A made-up key in the usual shape.
    pub(super) fn secret(&self) -> String {
        format!("AIzaSyDEMO-{:-<28}", self.id)
    }

    fn key(&self) -> Key {
        let secret = self.secret();
        let key = if self.paid { Key::paid(secret) } else { Key::free(secret) };
        let key = key.id(self.id).owner(self.owner);
        let mut limits = Limits::new().per_minute(self.rpm);
        if let Some(rpd) = self.rpd {
            limits = limits.per_day(rpd);
        }
        match self.told {
            Told::Limits => key.limits("*", limits),
            Told::Nothing => key,
        }
    }
}

/// The keys as the pool gets them.
pub(super) fn keys() -> impl Iterator<Item = Key> {
    PLAYERS.iter().map(Player::key)
}

/// A simulator that knows them all, with the pace and the small faults of a real provider.
pub(super) fn simulator(seed: u64) -> Builder {
    let mut sim = GeminiSim::builder().seed(seed).gzip(false);
    let mut projects: Vec<&str> = PLAYERS.iter().map(|player| player.project).collect();
    projects.dedup();
    for name in projects {
        let mut keys = PLAYERS.iter().filter(|player| player.project == name).peekable();
        let Some(first) = keys.peek() else { continue };
        let mut limits = gemini_sim::Limits::none().rpm(first.rpm);
        if let Some(rpd) = first.rpd {
            limits = limits.rpd(rpd);
        }
        let tier = if first.paid { Tier::Tier1 } else { Tier::Free };
        let project = Project::new(name).tier(tier).limits(limits);
        sim = sim.project(keys.fold(project, |project, player| {
            let key = gemini_sim::Key::new(player.secret()).label(player.id);
            project.key(match player.refused {
                Some(refusal) => key.refused(refusal()),
                None => key,
            })
        }));
    }
    sim.latency(Latency::Uniform(Duration::from_millis(120), Duration::from_millis(900)))
        .chunk_latency(Latency::Uniform(Duration::from_millis(20), Duration::from_millis(80)))
        .script([Rule::new(Fault::Refuse(Refusal::Internal)).probability(0.02)])
}
