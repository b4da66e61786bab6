//! One engine under both faces: a request in, an ending out.

mod admit;
mod arrive;
mod books;
mod visit;
mod weigh;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use http::Response;

use crate::Refusal;
use crate::body::SimBody;
use crate::clock::Clock;
use crate::fast::FastAnswers;
use crate::fault::Rules;
use crate::log::Log;
use crate::quota::Ledger;
use crate::refusal::ApiError;
use crate::report::Tally;
use crate::settings::Settings;
use crate::store::{Caches, Files, Things, Uploads};
use crate::world::World;

pub(crate) use admit::Admitted;
pub(crate) use visit::Visit;
pub(crate) use weigh::{content_of, inputs};

/// Everything that a simulator is.
pub(crate) struct Engine {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) fast: Option<FastAnswers>,
    state: Mutex<State>,
}

/// What changes with each request.
pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) ledger: Ledger,
    pub(crate) rules: Rules,
    pub(crate) refused: Vec<Option<Refusal>>,
    pub(crate) files: Files,
    pub(crate) uploads: Uploads,
    pub(crate) caches: Caches,
    pub(crate) things: Things,
    tallies: Vec<Tally>,
    total: Tally,
    log: Log,
}

/// How a request ends.
pub(crate) enum Ending {
    /// With an answer, after some time.
    Answer(Duration, Box<Response<SimBody>>),
    /// With a reset, after some time.
    Reset(Duration),
    /// Not at all.
    Hang,
}

// === impl Engine ===

impl Engine {
    pub(crate) fn new(world: World, settings: Settings) -> Self {
        let refused = world.keys.iter().map(|key| key.refused.clone()).collect();
        let state = State {
            rng: Rng::with_seed(settings.seed),
            ledger: Ledger::new(),
            rules: Rules::default(),
            files: Files::default(),
            uploads: Uploads::default(),
            caches: Caches::default(),
            things: Things::default(),
            refused,
            tallies: vec![Tally::default(); world.keys.len()],
            total: Tally::default(),
            log: Log::new(settings.log_capacity),
        };
        Self {
            clock: Clock::new(settings.wall, settings.skew),
            fast: settings.fast.then(|| FastAnswers::new(&settings)),
            world,
            settings,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request takes from its sender to the quota check.
    pub(crate) fn travel(&self) -> Duration {
        let bound = self.settings.path_jitter;
        if bound.is_zero() {
            return bound;
        }
        bound.mul_f64(self.lock().rng.f64())
    }
}

/// What an error of the API itself turns a request into.
pub(crate) type Admission<T> = Result<T, ApiError>;
