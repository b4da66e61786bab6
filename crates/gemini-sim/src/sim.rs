//! The handle of a simulator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::server::Server;
use crate::simulator::Simulator;
use crate::{Builder, Log, Refusal, Report, Rule, SimService};

/// A simulated Gemini API.
///
/// Dropping it closes its port; services taken from it live on.
pub struct GeminiSim {
    pub(crate) simulator: Arc<Simulator>,
    pub(crate) server: Option<Server>,
}

impl GeminiSim {
    /// Begins a new one.
    pub fn builder() -> Builder {
        Builder::new()
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

    /// Adds rules, or bare [`Fault`](crate::Fault)s for every request.
    pub fn script(&self, rules: impl IntoIterator<Item = impl Into<Rule>>) {
        let seed = self.simulator.settings.seed;
        self.simulator.lock().rules.add(rules.into_iter().map(Into::into), seed);
    }

    /// Takes all rules away; keys that are refused stay so.
    pub fn clear_script(&self) {
        self.simulator.lock().rules.clear();
    }

    /// From now on the key of this label is refused like this, or works again (None). False when there is no such key.
    pub fn refuse_key(&self, label: &str, refusal: Option<Refusal>) -> bool {
        let index = self.simulator.accounts.keys.iter().position(|key| key.label == label);
        index.map(|index| self.simulator.lock().refused[index] = refusal).is_some()
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
