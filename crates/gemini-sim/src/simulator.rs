//! The simulator: its fixed settings, and the state that requests change.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::Refusal;
use crate::api::{Resources, Uploads};
use crate::builder::Settings;
use crate::clock::Clock;
use crate::fault::Rules;
use crate::log::{Arrival, Log};
use crate::model::Catalogue;
use crate::project::Accounts;
use crate::quota::Quotas;
use crate::report::{KeyReport, ProjectReport, Report, Tally};

pub(crate) struct Simulator {
    pub(crate) accounts: Accounts,
    pub(crate) catalogue: Catalogue,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) quotas: Quotas,
    pub(crate) rules: Rules,
    /// The refusal of each key.
    pub(crate) refused: Vec<Option<Refusal>>,
    pub(crate) uploads: Uploads,
    pub(crate) resources: Resources,
    by_key: Vec<Tally>,
    by_project: Vec<Tally>,
    total: Tally,
    log: Log,
}

impl Simulator {
    pub(crate) fn new(accounts: Accounts, catalogue: Catalogue, settings: Settings) -> Self {
        let state = State {
            rng: Rng::with_seed(settings.seed),
            quotas: Quotas::default(),
            rules: Rules::default(),
            refused: accounts.keys.iter().map(|key| key.refused.clone()).collect(),
            uploads: Uploads::default(),
            resources: Resources::default(),
            by_key: vec![Tally::default(); accounts.keys.len()],
            by_project: vec![Tally::default(); accounts.projects.len()],
            total: Tally::default(),
            log: Log::default(),
        };
        Self { clock: Clock::new(settings.wall), accounts, catalogue, settings, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.lock();
        let name = |project: usize| format!("projects/{}", self.accounts.projects[project].number);
        let keys = self.accounts.keys.iter().zip(&state.by_key);
        let keys = keys.map(|(key, tally)| KeyReport {
            label: key.label.clone(),
            project: name(key.project),
            tally: tally.clone(),
        });
        let projects = state.by_project.iter().enumerate();
        let projects = projects.map(|(project, tally)| ProjectReport { name: name(project), tally: tally.clone() });
        Report { keys: keys.collect(), projects: projects.collect(), total: state.total.clone() }
    }

    pub(crate) fn log(&self) -> Log {
        self.lock().log.clone()
    }
}

impl State {
    /// Counts and logs a completed request.
    pub(crate) fn record(&mut self, arrival: Arrival) {
        self.total.count(&arrival);
        if let (Some(key), Some(project)) = (arrival.key, arrival.project) {
            self.by_key[key].count(&arrival);
            self.by_project[project].count(&arrival);
        }
        self.log.push(arrival);
    }

    /// Returns an id as the provider uses for responses, files and caches.
    pub(crate) fn new_id(&mut self) -> String {
        (0..12).map(|_| self.rng.lowercase()).collect()
    }
}
