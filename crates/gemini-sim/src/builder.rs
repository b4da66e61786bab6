//! The builder of a simulator.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Catalogue, default_models};
use crate::project::Accounts;
use crate::server::Server;
use crate::simulator::Simulator;
use crate::{AnswerText, GeminiSim, Key, Latency, Model, Project, Rule};

/// A builder of a [`GeminiSim`]. The defaults are meant for tests: no limits, no delays, no faults.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    projects: Vec<Project>,
    models: Vec<Model>,
    rules: Vec<Rule>,
    settings: Settings,
    port: u16,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            projects: Vec::new(),
            models: default_models(),
            rules: Vec::new(),
            settings: Settings::default(),
            port: 0,
        }
    }

    /// Adds a project with its keys and limits.
    pub fn project(mut self, project: Project) -> Self {
        self.projects.push(project);
        self
    }

    /// Adds a key to the last project, or to a new free project without limits if there is none yet.
    pub fn key(mut self, key: impl Into<Key>) -> Self {
        let project = self.projects.pop();
        let project = project.unwrap_or_else(|| Project::new("projects/100000000001"));
        self.projects.push(project.key(key));
        self
    }

    /// Adds a model to the catalogue, or replaces the one of that name. By default, the catalogue has the models of
    /// 2026 and `gemini-pro`.
    pub fn model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Accepts every model name. A name that contains `embed` is an embedding model.
    pub fn any_model(mut self) -> Self {
        self.settings.any_model = true;
        self
    }

    /// Adds rules, or [`Fault`](crate::Fault)s that apply to every request.
    pub fn script(mut self, rules: impl IntoIterator<Item = impl Into<Rule>>) -> Self {
        self.rules.extend(rules.into_iter().map(Into::into));
        self
    }

    /// Sets the seed of all random choices (default: 0). With the same seed, the same requests at the same times get
    /// the same responses.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Sets the time of the wall clock when the simulator is built (default: the system's time). It determines days,
    /// dates and expiries.
    pub fn wall(mut self, start: Timestamp) -> Self {
        self.settings.wall = Some(start);
        self
    }

    /// Sets the maximum time from the sender of a request to the quota check (default: 0). Each request takes a random
    /// part of it. A client that counts the requests it sends must allow for it.
    pub fn path_jitter(mut self, bound: Duration) -> Self {
        self.settings.path_jitter = bound;
        self
    }

    /// Sets the delay before each response head (default: none).
    pub fn latency(mut self, latency: impl Into<Latency>) -> Self {
        self.settings.latency = latency.into();
        self
    }

    /// Sets the delay between the chunks of a stream (default: none).
    pub fn chunk_latency(mut self, latency: impl Into<Latency>) -> Self {
        self.settings.chunk_latency = latency.into();
        self
    }

    /// Sets the number of chunks of a stream (default: 5). A shorter text has one chunk per character.
    pub fn chunks(mut self, chunks: usize) -> Self {
        self.settings.chunks = chunks.max(1);
        self
    }

    /// Sets the text of generated answers (default: 24 words).
    pub fn answer(mut self, answer: AnswerText) -> Self {
        self.settings.answer = answer;
        self
    }

    /// Sets the maximum size of a request body, in bytes (default: 100 MiB).
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.settings.max_body = bytes;
        self
    }

    /// Sets the HTTP port on 127.0.0.1 (default: any free port).
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Builds the simulator in process, without a socket. It needs no runtime until it is called.
    ///
    /// # Panics
    ///
    /// If two keys have the same secret.
    pub fn build(self) -> GeminiSim {
        let accounts = Accounts::new(self.projects);
        let catalogue = Catalogue::new(self.models, self.settings.any_model);
        let simulator = Arc::new(Simulator::new(accounts, catalogue, self.settings));
        let sim = GeminiSim { simulator, server: None };
        sim.script(self.rules);
        sim
    }

    /// Starts the simulator on a loopback port. It can also be used in process.
    ///
    /// # Errors
    ///
    /// If the port is not available.
    ///
    /// # Panics
    ///
    /// If two keys have the same secret.
    pub async fn start(self) -> io::Result<GeminiSim> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut sim = self.build();
        sim.server = Some(Server::start(address, sim.service()).await?);
        Ok(sim)
    }
}

/// The settings of the builder, except projects and models.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) wall: Option<Timestamp>,
    pub(crate) path_jitter: Duration,
    pub(crate) latency: Latency,
    pub(crate) chunk_latency: Latency,
    pub(crate) chunks: usize,
    pub(crate) answer: AnswerText,
    pub(crate) any_model: bool,
    pub(crate) max_body: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            wall: None,
            path_jitter: Duration::ZERO,
            latency: Duration::ZERO.into(),
            chunk_latency: Duration::ZERO.into(),
            chunks: 5,
            answer: AnswerText::Words(24),
            any_model: false,
            max_body: 100 * 1024 * 1024,
        }
    }
}
