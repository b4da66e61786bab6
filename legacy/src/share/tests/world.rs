//! The event loop: processes, the network, the board, and what goes wrong with them. A seed decides everything.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    oracle::{Provider, Rule},
    process::{Make, Process, Waiter},
};
use crate::{
    limit::{Limits, Span, Unit},
    share::{BoardState, Hint, Kind, Renewal, Reply, Server, Settings, UnitId, UnitInfo, apply},
};

pub(super) const SECOND: i64 = 1_000_000;
const MILLI: i64 = 1_000;
/// How often is noted what was started.
const NOTE: i64 = 150 * MILLI;

/// What is simulated.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) owners: usize,
    pub(super) limits: Limits,
    /// One unit an owner and lane.
    pub(super) lanes: usize,
    /// Requests a second of each process, in each lane.
    pub(super) demand: Vec<Vec<f64>>,
    /// How long a caller waits.
    pub(super) wait: i64,
    /// Tokens of each request, at most.
    pub(super) tokens: u64,
    /// Unix time of the beginning, in milliseconds.
    pub(super) epoch_ms: i64,
    /// How many of a thousand messages are lost.
    pub(super) loss: u64,
    /// How long a message to or from the board takes at most, in microseconds.
    pub(super) latency: i64,
    /// Clocks are off by this many millionths at most, and this many milliseconds.
    pub(super) drift: i64,
    pub(super) skew_ms: i64,
    pub(super) settings: Settings,
    /// How many of a thousand looks at what is due find a hint of the board, right or wrong.
    pub(super) hints: u64,
    pub(super) fresh: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            owners: 20,
            limits: Limits::new().per_minute(100),
            lanes: 1,
            demand: vec![vec![7.5]; 4],
            wait: SECOND,
            tokens: 0,
            epoch_ms: 1_800_000_000_000 / 86_400_000 * 86_400_000 + 43_200_000,
            loss: 0,
            latency: 2 * MILLI,
            drift: 100,
            skew_ms: 500,
            settings: Settings::default(),
            hints: 0,
            fresh: true,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The process is stopped for so long; its clocks run on.
    Freeze(usize, i64),
    /// The machine sleeps; the monotonic clock stands still.
    Sleep(usize, i64),
    Kill(usize),
    /// A new life of the process.
    Restart(usize),
    /// No message passes between the process and the board for so long.
    Cut(usize, i64),
    /// The board is gone for so long.
    Away(i64),
    Flush,
    /// The board becomes what it was some time ago.
    Stale(i64),
    /// The board is gone for so long, and another server has its place then, with all that it knew.
    Restarted(i64),
    /// The board's clock is set forward or back, in milliseconds.
    BoardClock(i64),
    /// The process's wall clock is set.
    WallClock(usize, i64),
    /// So many callers at once.
    Burst(usize, u64),
    /// Demand of a process in a lane.
    Demand(usize, usize, f64),
}

#[derive(Debug)]
enum Event {
    Ask(usize, usize, u64),
    Poll(usize, u64),
    AtBoard(usize, u64, Box<Renewal>),
    Answer(usize, u64, Box<Reply>),
    /// The process writes a request that it was allowed to start at that time.
    Write(usize, u64, UnitId, u64, i64),
    Serve(usize, u64),
    /// What is new is noted, of one who notes.
    Note(usize, u64),
    Fault(Fault),
    Snapshot,
}

struct Timed(i64, u64, Event);

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// What callers saw, by second, process and lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: i64,
    pub(super) process: usize,
    pub(super) lane: usize,
    pub(super) served: bool,
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) now: i64,
    events: BinaryHeap<Reverse<Timed>>,
    sequence: u64,
    rng: fastrand::Rng,
    pub(super) processes: Vec<Process>,
    pub(super) board: BoardState,
    identity: u64,
    away: i64,
    board_clock: i64,
    snapshots: Vec<(i64, BoardState)>,
    pub(super) provider: Provider,
    pub(super) seen: Vec<Seen>,
    demand: Vec<Vec<f64>>,
    infos: Vec<UnitInfo>,
    kinds: Vec<Kind>,
    /// Whether the server's identity tells when it was replaced.
    pub(super) identified: bool,
    pub(super) calls: Vec<(i64, usize)>,
    /// Another board that hears the same at the same times, and must say the same.
    pub(super) mirror: Option<Mirror>,
}

pub(super) type Mirror = Box<dyn FnMut(&Renewal, i64) -> Reply>;

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let kinds: Vec<Kind> = (0..setup.lanes).map(|lane| Kind::from(format!("lane-{lane}").as_str())).collect();
        let info = |owner: usize, lane: usize| UnitInfo {
            unit: UnitId::from(format!("o{owner:03}/{lane}").as_str()),
            kind: kinds[lane].clone(),
            limits: setup.limits.clone(),
            guard: None,
            joins: Vec::new(),
        };
        let infos = (0..setup.owners).flat_map(|owner| (0..setup.lanes).map(move |lane| (owner, lane)));
        let infos: Vec<UnitInfo> = infos.map(|(owner, lane)| info(owner, lane)).collect();
        let mut world = Self {
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            rng: fastrand::Rng::with_seed(setup.seed),
            processes: Vec::new(),
            board: if setup.fresh { BoardState::fresh() } else { BoardState::default() },
            identity: 1,
            away: 0,
            board_clock: 0,
            snapshots: Vec::new(),
            provider: Provider::default(),
            seen: Vec::new(),
            demand: vec![vec![0.0; setup.lanes]; setup.demand.len()],
            infos,
            kinds,
            identified: true,
            calls: Vec::new(),
            mirror: None,
            setup,
        };
        for process in 0..world.setup.demand.len() {
            let made = world.make(process, 1);
            world.processes.push(made);
            world.at(0, Event::Poll(process, 1));
            world.begin_notes(process, 1);
            for lane in 0..world.setup.lanes {
                let rate = world.setup.demand[process][lane];
                world.fault_at(0, Fault::Demand(process, lane, rate));
            }
        }
        world.at(SECOND, Event::Snapshot);
        world
    }

    fn make(&mut self, name: usize, life: u64) -> Process {
        let Setup { drift, skew_ms, .. } = self.setup;
        let drift = self.rng.i64(-drift..=drift);
        let skew = self.rng.i64(-skew_ms..=skew_ms) * MILLI;
        let make = Make { settings: &self.setup.settings, infos: &self.infos, kinds: &self.kinds };
        Process::new(name, life, self.now, drift, skew, &make)
    }

    fn at(&mut self, at: i64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse(Timed(at.max(self.now), self.sequence, event)));
    }

    pub(super) fn fault_at(&mut self, at: i64, fault: Fault) {
        self.at(at, Event::Fault(fault));
    }

    pub(super) fn run(&mut self, until: i64) {
        while self.events.peek().is_some_and(|event| event.0.0 <= until) {
            let Some(Reverse(Timed(at, _, event))) = self.events.pop() else { break };
            self.now = at;
            self.step(event);
        }
        self.now = until;
    }

    /// The process that an event is for, if it lives; an event for a frozen one waits until it wakes.
    fn awake(&mut self, process: usize, life: u64, event: Event) -> Option<Event> {
        let found = &self.processes[process];
        if !found.alive || found.life != life {
            return None;
        }
        if found.frozen > self.now {
            let wakes = found.frozen;
            self.at(wakes, event);
            return None;
        }
        Some(event)
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Ask(process, lane, epoch) => self.ask(process, lane, epoch),
            Event::Poll(process, life)
            | Event::Answer(process, life, _)
            | Event::Write(process, life, ..)
            | Event::Note(process, life)
            | Event::Serve(process, life) => {
                if let Some(event) = self.awake(process, life, event) {
                    self.of_process(process, event);
                }
            }
            Event::AtBoard(process, life, renewal) => self.at_board(process, life, &renewal),
            Event::Fault(fault) => self.fault(fault),
            Event::Snapshot => {
                self.snapshots.push((self.now, self.board.clone()));
                if self.snapshots.len() > 90 {
                    self.snapshots.remove(0);
                }
                self.at(self.now + SECOND, Event::Snapshot);
            }
        }
    }

    fn of_process(&mut self, process: usize, event: Event) {
        match event {
            Event::Answer(_, _, reply) => {
                let moment = self.moment(process);
                let held = &mut self.processes[process];
                held.holder.answered(&reply, &mut held.books, moment);
                self.serve(process);
                self.poll(process);
            }
            Event::Write(_, _, unit, tokens, allowed) => {
                if self.now > allowed + 10 * MILLI {
                    self.provider.residue += 1;
                } else {
                    let path = self.rng.i64(0..200 * MILLI);
                    let epoch = self.setup.epoch_ms * MILLI;
                    self.provider.arrives(unit.as_str(), epoch + self.now + path, tokens);
                }
            }
            Event::Note(_, life) => self.note(process, life),
            Event::Serve(..) => {
                self.processes[process].serving = false;
                self.serve(process);
                self.poll(process);
            }
            _ => self.poll(process),
        }
    }

    pub(super) fn moment(&self, process: usize) -> crate::share::Moment {
        self.processes[process].moment(self.setup.epoch_ms, self.now)
    }

    /// Sends what is due, and looks again when something will be.
    fn poll(&mut self, process: usize) {
        let moment = self.moment(process);
        let hint = match self.setup.hints {
            0 => None,
            hints => (self.rng.u64(0..1000) < hints).then(|| if self.rng.bool() { Hint::News } else { Hint::Echo }),
        };
        let held = &mut self.processes[process];
        if let Some(hint) = hint {
            held.holder.hinted(hint, moment.tick);
        }
        let life = held.life;
        if let Some(renewal) = held.holder.renewal(&mut held.books, moment) {
            held.calls += 1;
            self.calls.push((self.now, process));
            // What goes over the wire is text.
            let text = serde_json::to_string(&renewal).expect("a renewal is JSON");
            let renewal: Renewal = serde_json::from_str(&text).expect("what was written can be read");
            if !self.is_lost(process) {
                let arrives = self.now + self.rng.i64(100..=self.setup.latency);
                self.at(arrives, Event::AtBoard(process, life, Box::new(renewal)));
            }
        }
        let now = self.now;
        let held = &mut self.processes[process];
        let due = held.when(held.holder.due()).max(now + 50);
        if held.polls <= now || due < held.polls {
            held.polls = due;
            self.at(due, Event::Poll(process, life));
        }
    }

    fn begin_notes(&mut self, process: usize, life: u64) {
        if self.setup.settings.noting {
            self.at(self.now + NOTE, Event::Note(process, life));
        }
    }

    fn note(&mut self, process: usize, life: u64) {
        let moment = self.moment(process);
        let at = self.board_time();
        let held = &mut self.processes[process];
        let reaches = held.cut <= self.now && self.away <= self.now;
        if let Some((number, units)) = held.books.note(reaches, moment) {
            self.board.note(held.holder.id(), number, units, at);
        }
        self.at(self.now + NOTE, Event::Note(process, life));
    }

    fn board_time(&self) -> i64 {
        self.setup.epoch_ms + (self.now + self.board_clock) / MILLI
    }

    fn is_lost(&mut self, process: usize) -> bool {
        self.rng.u64(0..1000) < self.setup.loss || self.processes[process].cut > self.now
    }

    fn at_board(&mut self, process: usize, life: u64, renewal: &Renewal) {
        if self.away > self.now {
            return;
        }
        let identity = if self.identified { self.identity.to_string() } else { String::new() };
        let now = self.board_time();
        let mut renewal = renewal.clone();
        if self.setup.settings.noting {
            // Who notes has a lock that tells when he is gone.
            let dead = self.processes.iter().filter(|process| !process.alive);
            renewal.buried.extend(dead.map(|process| process.holder.id().clone()));
        }
        let renewal = &renewal;
        let reply = apply(&mut self.board, renewal, Server { now, identity: &identity });
        if let Some(mirror) = &mut self.mirror {
            assert_eq!(mirror(renewal, now), reply, "another board says otherwise");
        }
        if !self.is_lost(process) {
            let arrives = self.now + self.rng.i64(100..=self.setup.latency);
            self.at(arrives, Event::Answer(process, life, Box::new(reply)));
        }
    }

    fn ask(&mut self, process: usize, lane: usize, epoch: u64) {
        if epoch != self.epoch_of(process, lane) {
            return;
        }
        self.arrive(process, lane, 1);
        self.next_ask(process, lane, epoch);
    }

    fn epoch_of(&self, process: usize, lane: usize) -> u64 {
        self.demand[process][lane].to_bits()
    }

    fn next_ask(&mut self, process: usize, lane: usize, epoch: u64) {
        let rate = self.demand[process][lane];
        if rate > 0.0 {
            let pause = -(1.0 - self.rng.f64()).ln() / rate;
            self.at(self.now + (pause * 1e6) as i64 + 1, Event::Ask(process, lane, epoch));
        }
    }

    fn arrive(&mut self, process: usize, lane: usize, callers: u64) {
        let held = &mut self.processes[process];
        if !held.alive {
            return;
        }
        let kind = held.kinds[lane].clone();
        held.holder.asked(&kind, callers);
        for _ in 0..callers {
            let tokens = if self.setup.tokens > 0 { self.rng.u64(1..=self.setup.tokens) } else { 0 };
            let until = self.now + self.setup.wait;
            self.processes[process].waiters.push_back(Waiter { until, tokens, kind: lane });
        }
        if self.processes[process].frozen <= self.now {
            self.serve(process);
            self.poll(process);
        }
    }

    /// Starts what can be started, and says what cannot.
    fn serve(&mut self, process: usize) {
        let moment = self.moment(process);
        let now = self.now;
        let held = &mut self.processes[process];
        let mut left = std::collections::VecDeque::new();
        let mut stuck = vec![false; held.kinds.len()];
        let mut started = Vec::new();
        for waiter in std::mem::take(&mut held.waiters) {
            let seen = |served| Seen { at: now, process, lane: waiter.kind, served };
            // Of a kind none overtakes another, but for one that needs fewer tokens.
            let unit = if stuck[waiter.kind] && waiter.tokens == 0 { None } else { held.start(&waiter, moment) };
            match unit {
                Some(unit) => {
                    self.seen.push(seen(true));
                    started.push((unit, waiter.tokens));
                }
                None if waiter.until <= now => self.seen.push(seen(false)),
                None => {
                    stuck[waiter.kind] = true;
                    left.push_back(waiter);
                }
            }
        }
        held.waiters = left;
        for lane in 0..held.kinds.len() {
            let of_lane = || held.waiters.iter().filter(|waiter| waiter.kind == lane);
            let (waiting, tokens) = (of_lane().count() as u64, of_lane().map(|waiter| waiter.tokens).sum());
            let kind = held.kinds[lane].clone();
            held.holder.lacking(&kind, waiting, tokens, moment);
        }
        let life = held.life;
        let again = !held.waiters.is_empty() && !std::mem::replace(&mut held.serving, true);
        if again {
            self.at(self.now + 40 * MILLI, Event::Serve(process, life));
        }
        for (unit, tokens) in started {
            let writes = self.now + self.rng.i64(1..300);
            self.at(writes, Event::Write(process, life, unit, tokens, self.now));
        }
    }

    fn fault(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Freeze(process, long) => self.processes[process].frozen = now + long,
            Fault::Sleep(process, long) => {
                let process = &mut self.processes[process];
                // A machine that sleeps does not fall asleep.
                if process.frozen <= now {
                    process.frozen = now + long;
                    process.slept += long;
                }
            }
            Fault::Kill(process) => self.processes[process].alive = false,
            Fault::Restart(process) => {
                let life = self.processes[process].life + 1;
                let generation = self.processes[process].holder.generation();
                let mut made = self.make(process, life);
                made.holder = made.holder.remembering(generation);
                self.processes[process] = made;
                self.at(now, Event::Poll(process, life));
                self.begin_notes(process, life);
            }
            Fault::Cut(process, long) => self.processes[process].cut = now + long,
            Fault::Away(long) => self.away = now + long,
            Fault::Flush => self.board = BoardState::default(),
            Fault::Stale(ago) => {
                if let Some((_, old)) = self.snapshots.iter().rev().find(|snapshot| snapshot.0 <= now - ago) {
                    self.board = old.clone();
                    self.identity += 1;
                }
            }
            Fault::Restarted(long) => {
                self.away = now + long;
                self.identity += 1;
            }
            // Who was never answered cannot tell how much time has passed.
            Fault::BoardClock(ms)
                if ms > 0 && self.processes.iter().any(|process| process.holder.generation() == 0) => {}
            Fault::BoardClock(ms) => self.board_clock += ms * MILLI,
            Fault::WallClock(process, ms) => self.processes[process].skew += ms * MILLI,
            Fault::Burst(process, callers) => self.arrive(process, 0, callers),
            Fault::Demand(process, lane, rate) => {
                self.demand[process][lane] = rate;
                self.next_ask(process, lane, rate.to_bits());
            }
        }
    }

    // === what came of it ===

    /// The provider's own limits.
    pub(super) fn over(&mut self) -> Vec<String> {
        let rule = |limit: &crate::limit::Limit| {
            let span = match limit.span {
                Span::Sliding(span) => span.as_micros() as i64,
                Span::Day => 0,
            };
            let of = |unit| if limit.unit == unit { limit.amount } else { u64::MAX };
            Rule { span, requests: of(Unit::Requests), tokens: of(Unit::InputTokens) }
        };
        let rules: Vec<Rule> = self.setup.limits.iter().map(rule).collect();
        self.provider.over(&rules)
    }

    /// How many were served of those asked between two times.
    pub(super) fn served(&self, from: i64, until: i64, of: impl Fn(&Seen) -> bool) -> (usize, usize) {
        let within = self.seen.iter().filter(|seen| seen.at >= from && seen.at < until && of(seen));
        within.fold((0, 0), |(served, all), seen| (served + usize::from(seen.served), all + 1))
    }

    pub(super) fn calls(&self, from: i64, until: i64) -> usize {
        self.calls.iter().filter(|call| call.0 >= from && call.0 < until).count()
    }
}
