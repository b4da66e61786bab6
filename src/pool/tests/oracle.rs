//! A naive model of a pool: it remembers every start, and computes each result from all of them.

use std::collections::BTreeMap;

use crate::classify::ErrorClass;

pub(super) const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// How much longer than needed a window may stay closed: its guard plus the length of a part.
const LATE: u64 = 600;
/// How long after midnight requests may count for both days.
const MIDNIGHT: u64 = 30_100;
/// How long before midnight requests may count for both days.
const EARLY: u64 = 1_000;

/// A request for a key.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) model: &'static str,
    pub(super) tokens: u64,
    pub(super) excluded: Vec<usize>,
    pub(super) only: Option<usize>,
}

/// The options of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    pub(super) project: u8,
    pub(super) most: Option<u32>,
    pub(super) priority: u16,
    pub(super) interval: Option<u64>,
    pub(super) only_model: Option<&'static str>,
}

#[derive(Clone, Debug)]
struct Key {
    options: Options,
    /// Tells apart keys that were added with the same number.
    life: u32,
    last_start: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) key: usize,
    life: u32,
    project: u8,
    pub(super) model: &'static str,
    started: u64,
    started_before: Option<u64>,
    start: usize,
    trials: Vec<Target>,
    pub(super) used: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Key(usize),
    ProjectModel(u8, &'static str),
}

#[derive(Clone, Debug)]
struct Breaker {
    state: State,
    since: u64,
    /// The number of failures of the class in a row.
    failures: u32,
    class: Option<ErrorClass>,
    by_hand: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Cooling { until: u64, guessed: bool },
    HalfOpen { trial: bool },
    Disabled,
}

/// A started request with its tokens; `None` if it was given back.
#[derive(Clone, Debug)]
struct Start {
    project: u8,
    model: &'static str,
    at: u64,
    tokens: Option<u64>,
}

/// The limits of every project for a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) requests: u64,
    pub(super) tokens: u64,
    pub(super) day: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Oracle {
    pub(super) now: u64,
    /// Milliseconds from the last midnight to time 0.
    morning: u64,
    given: BTreeMap<&'static str, Given>,
    learned: BTreeMap<(u8, &'static str), (u64, u64)>,
    keys: BTreeMap<usize, Key>,
    lives: u32,
    starts: Vec<Start>,
    breakers: BTreeMap<Target, Breaker>,
    pub(super) leases: Vec<Lease>,
}

impl Oracle {
    pub(super) fn new(given: BTreeMap<&'static str, Given>, morning: u64) -> Self {
        Self {
            now: 0,
            morning,
            given,
            learned: BTreeMap::new(),
            keys: BTreeMap::new(),
            lives: 0,
            starts: Vec::new(),
            breakers: BTreeMap::new(),
            leases: Vec::new(),
        }
    }

    pub(super) fn has(&self, key: usize) -> bool {
        self.keys.contains_key(&key)
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.keys.keys().copied().collect()
    }

    pub(super) fn options(&self, key: usize) -> &Options {
        &self.keys[&key].options
    }

    pub(super) fn in_flight(&self, key: usize) -> usize {
        self.leases.iter().filter(|lease| lease.key == key && lease.life == self.keys[&key].life).count()
    }

    pub(super) fn put(&mut self, key: usize, options: Options) {
        if let Some(held) = self.keys.get_mut(&key) {
            held.options = options;
        } else {
            self.lives += 1;
            self.keys.insert(key, Key { options, life: self.lives, last_start: None });
        }
    }

    pub(super) fn remove(&mut self, key: usize) {
        let Some(removed) = self.keys.remove(&key) else { return };
        let project = removed.options.project;
        let alone = self.keys.values().all(|key| key.options.project != project);
        self.close(key, alone.then_some(project));
    }

    fn close(&mut self, key: usize, project: Option<u8>) {
        self.breakers.retain(|target, _| match target {
            Target::Key(held) => *held != key,
            Target::ProjectModel(held, _) => Some(*held) != project,
        });
    }

    pub(super) fn disable(&mut self, key: usize) {
        let failures = self.breakers.get(&Target::Key(key)).map_or(0, |breaker| breaker.failures);
        let breaker = Breaker { state: State::Disabled, since: self.now, failures, class: None, by_hand: true };
        self.breakers.insert(Target::Key(key), breaker);
    }

    pub(super) fn enable(&mut self, key: usize) {
        self.close(key, Some(self.keys[&key].options.project));
    }

    /// Returns why a key must not serve a request now; `None` if it may.
    pub(super) fn forbids(&self, key: usize, asked: &Asked) -> Option<String> {
        self.blocked(key, asked, 0)
    }

    /// Reports whether a key must be able to serve a request now.
    pub(super) fn must_serve(&self, key: usize, asked: &Asked) -> bool {
        self.blocked(key, asked, LATE).is_none()
    }

    fn blocked(&self, number: usize, asked: &Asked, late: u64) -> Option<String> {
        let key = self.keys.get(&number)?;
        let options = &key.options;
        if asked.excluded.contains(&number) || asked.only.is_some_and(|only| only != number) {
            return Some("it is excluded".into());
        }
        if options.only_model.is_some_and(|model| model != asked.model) {
            return Some("it is for another model".into());
        }
        for target in [Target::Key(number), Target::ProjectModel(options.project, asked.model)] {
            let open = match self.breakers.get(&target).map(|breaker| breaker.state) {
                None | Some(State::HalfOpen { trial: false }) => true,
                Some(State::Cooling { until, .. }) => until <= self.now,
                Some(State::HalfOpen { trial: true } | State::Disabled) => false,
            };
            if !open {
                return Some(format!("{target:?} is {:?}", self.breakers[&target]));
            }
        }
        if options.most.is_some_and(|most| self.in_flight(number) >= most as usize) {
            return Some("it is busy".into());
        }
        if let (Some(interval), Some(last)) = (options.interval, key.last_start)
            && last + interval > self.now
        {
            return Some("its interval has not passed".into());
        }
        let counted = |since: u64, what: &dyn Fn(&Start) -> u64| -> u64 {
            let counts =
                |start: &&Start| (start.project, start.model) == (options.project, asked.model) && start.at >= since;
            self.starts.iter().filter(counts).map(what).sum()
        };
        let requests = |start: &Start| u64::from(start.tokens.is_some());
        let tokens = |start: &Start| start.tokens.unwrap_or(0);
        let minute = (self.now + 1).saturating_sub(MINUTE + late);
        let given = self.given.get(asked.model);
        let learned = self.learned.get(&(options.project, asked.model)).filter(|(_, at)| self.now - at < DAY);
        let most = given.map_or(u64::MAX, |given| given.requests).min(learned.map_or(u64::MAX, |(most, _)| *most));
        if counted(minute, &requests) + 1 > most {
            return Some(format!("{most} requests a minute are used"));
        }
        let given = given?;
        if counted(minute, &tokens) + asked.tokens > given.tokens {
            return Some(format!("{} tokens a minute are used", given.tokens));
        }
        let early = if late > 0 { EARLY } else { 0 };
        let midnight = (self.now + self.morning + early) / DAY * DAY;
        let guarded = late > 0 && self.now + self.morning < midnight + MIDNIGHT;
        // The previous day counts, too, during the guard after midnight.
        let begins = midnight.saturating_sub(if guarded { DAY } else { early }).saturating_sub(self.morning);
        if counted(begins, &requests) + 1 > given.day {
            return Some(format!("{} requests a day are used", given.day));
        }
        None
    }

    pub(super) fn granted(&mut self, number: usize, asked: &Asked) {
        let key = self.keys.get_mut(&number).expect("the key is there");
        let (life, project) = (key.life, key.options.project);
        let started_before = key.last_start.replace(self.now);
        let mut trials = Vec::new();
        for target in [Target::Key(number), Target::ProjectModel(project, asked.model)] {
            if let Some(breaker) = self.breakers.get_mut(&target)
                && !matches!(breaker.state, State::Cooling { guessed: false, .. })
            {
                breaker.state = State::HalfOpen { trial: true };
                breaker.since = self.now;
                trials.push(target);
            }
        }
        self.starts.push(Start { project, model: asked.model, at: self.now, tokens: Some(asked.tokens) });
        self.leases.push(Lease {
            key: number,
            life,
            project,
            model: asked.model,
            started: self.now,
            started_before,
            start: self.starts.len() - 1,
            trials,
            used: None,
        });
    }

    pub(super) fn ended(&mut self, at: usize, sent: bool) {
        let lease = self.leases.remove(at);
        if !sent {
            self.starts[lease.start].tokens = None;
        } else if let Some(used) = lease.used {
            self.starts[lease.start].tokens = Some(used);
        }
        for target in lease.trials {
            if let Some(breaker) = self.breakers.get_mut(&target)
                && breaker.since == lease.started
                && matches!(breaker.state, State::HalfOpen { .. })
            {
                breaker.state = State::HalfOpen { trial: false };
            }
        }
        if let Some(key) = self.keys.get_mut(&lease.key).filter(|key| key.life == lease.life)
            && !sent
            && key.last_start == Some(lease.started)
        {
            key.last_start = lease.started_before;
        }
    }

    /// Learns a limit of requests per minute for the lease's project and model.
    pub(super) fn learned(&mut self, at: usize, requests: u64) {
        let lease = &self.leases[at];
        self.learned.insert((lease.project, lease.model), (requests, self.now));
    }

    pub(super) fn succeeded(&mut self, at: usize) {
        let lease = self.leases[at].clone();
        let Some(key) = self.keys.get(&lease.key).filter(|key| key.life == lease.life) else { return };
        for target in [Target::Key(lease.key), Target::ProjectModel(key.options.project, lease.model)] {
            let Some(breaker) = self.breakers.get(&target) else { continue };
            let later = match breaker.state {
                State::HalfOpen { .. } => lease.started >= breaker.since,
                _ => lease.started > breaker.since,
            };
            if later && !breaker.by_hand {
                self.breakers.remove(&target);
            }
        }
    }

    pub(super) fn failed(&mut self, at: usize, class: ErrorClass, named: Option<u64>) {
        let lease = self.leases[at].clone();
        let Some(key) = self.keys.get(&lease.key).filter(|key| key.life == lease.life) else { return };
        let target = match class {
            ErrorClass::RateLimit | ErrorClass::NotEntitled => Target::ProjectModel(key.options.project, lease.model),
            ErrorClass::KeyRejected | ErrorClass::Unclear => Target::Key(lease.key),
            _ => return,
        };
        let now = self.now;
        let named = named.map(|delay| now + delay);
        let mut held = 0;
        let failures = match self.breakers.get_mut(&target) {
            None => 1,
            Some(breaker) => {
                match &mut breaker.state {
                    State::Disabled => return,
                    State::Cooling { until, .. } if lease.started <= breaker.since => {
                        *until = named.unwrap_or(0).max(*until);
                        return;
                    }
                    State::HalfOpen { .. } if lease.started < breaker.since => return,
                    State::Cooling { until, .. } => held = *until,
                    State::HalfOpen { .. } => {}
                }
                if breaker.class == Some(class) { breaker.failures + 1 } else { 1 }
            }
        };
        let guess = |seconds: u64| State::Cooling { until: now + seconds * 1_000, guessed: true };
        let state = match (class, named) {
            (ErrorClass::KeyRejected, _) => State::Disabled,
            (ErrorClass::Unclear, _) if failures >= 3 => State::Disabled,
            (_, Some(until)) => State::Cooling { until, guessed: false },
            (ErrorClass::Unclear, None) => guess(300),
            (ErrorClass::NotEntitled, None) => guess(86_400),
            _ => guess((10 << (failures - 1).min(20)).min(600)),
        };
        let state = match state {
            State::Cooling { until, guessed } => State::Cooling { until: until.max(held), guessed },
            state => state,
        };
        self.breakers.insert(target, Breaker { state, since: now, failures, class: Some(class), by_hand: false });
    }
}
