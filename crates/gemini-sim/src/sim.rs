//! The handle of a simulator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{KeyMatch, Script};
use crate::server::Server;
use crate::simulator::Simulator;
use crate::{Builder, Log, Refusal, Report, SimService};

/// A simulated Gemini API.
///
/// Dropping it closes its port; services taken from it live on.
pub struct GeminiSim {
    simulator: Arc<Simulator>,
    server: Option<Server>,
}

impl GeminiSim {
    /// Begins a new one.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(simulator: Arc<Simulator>) -> Self {
        Self { simulator, server: None }
    }

    pub(crate) fn with_server(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    /// Its base URL without a slash at the end: `http://127.0.0.1:PORT`. One
    /// that only lives in process says `http://gemini-sim.invalid`; its
    /// service looks at paths alone.
    pub fn url(&self) -> String {
        self.server
            .as_ref()
            .map_or_else(|| "http://gemini-sim.invalid".to_owned(), |server| format!("http://{}", server.address))
    }

    /// The simulator in process.
    pub fn service(&self) -> SimService {
        SimService::new(Arc::clone(&self.simulator))
    }

    /// What has arrived so far.
    pub fn report(&self) -> Report {
        self.simulator.report()
    }

    /// The arrivals one by one.
    pub fn log(&self) -> Log {
        self.simulator.log()
    }

    /// Adds faults: a [`Rule`](crate::Rule), several in an array or a `Vec`,
    /// or a bare [`Fault`](crate::Fault) for every request.
    pub fn script(&self, script: impl Into<Script>) {
        let seed = self.simulator.settings.seed;
        self.simulator.lock().rules.add(script.into(), seed);
    }

    /// Takes all faults away; what the builder said of keys and projects
    /// stays.
    pub fn clear_script(&self) {
        self.simulator.lock().rules.clear();
    }

    /// From now on this key (index, label or secret) is refused like this, or
    /// works again (None). False when there is no such key.
    pub fn refuse_key(&self, key: impl Into<KeyMatch>, refusal: Option<Refusal>) -> bool {
        let index = match key.into() {
            KeyMatch::Index(index) => Some(index),
            KeyMatch::Name(name) => self.simulator.accounts.by_name(&name),
        };
        let mut state = self.simulator.lock();
        let slot = index.and_then(|index| state.refused.get_mut(index));
        slot.map(|slot| *slot = refusal).is_some()
    }

    /// Time since it was built, as its rules and its log count it.
    pub fn elapsed(&self) -> Duration {
        self.simulator.clock.elapsed()
    }

    /// Closes the port: no new connections, open answers get two seconds to
    /// end. The report stays readable through the returned handle.
    #[must_use = "the handle still holds report and log"]
    pub async fn shutdown(mut self) -> Self {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
        self
    }
}

impl fmt::Debug for GeminiSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeminiSim")
            .field("url", &self.url())
            .field("keys", &self.simulator.accounts.keys.len())
            .finish_non_exhaustive()
    }
}
