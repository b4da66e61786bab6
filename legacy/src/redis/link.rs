//! The connection: one for all calls, made anew when it is lost.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, aio::MultiplexedConnection};
use tokio::{task::AbortHandle, time::timeout};

use super::{
    ear::{Ear, Ears},
    failure::{RedisError, passes},
    options::Options,
    script::Script,
    stream::{self, Trust},
};
use crate::time::{Clock, Tick};

/// How long the first pause is after a connection that could not be made, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A connection to a server; clones share it. It is made again when it is lost: by the next call, one at a time, and not
/// more often than every half second while nobody answers; calls in between fail at once.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    options: Options,
    trust: Trust,
    clock: Clock,
    current: Mutex<Option<Arc<Connected>>>,
    /// Whoever connects holds it.
    attempts: tokio::sync::Mutex<Attempts>,
    /// What the start found.
    start: Mutex<Start>,
    ears: Mutex<Ears>,
    /// It was said that the server tells nothing of its own accord.
    unheard: AtomicBool,
}

#[derive(Default)]
pub(super) struct Start {
    pub(super) missing: Option<u32>,
    pub(super) warnings: Vec<String>,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Tick>,
}

struct Connected {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    /// The server tells over it what is written.
    listens: bool,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A call that does not come to its end, timed out or not waited for any more, takes its connection with it: what was
/// sent would still be done, late, and the next calls would stand in line behind it.
struct Call<'a> {
    link: &'a Shared,
    over: &'a Arc<Connected>,
    done: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.link.discard(self.over);
        }
    }
}

impl Shared {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connected>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn discard(&self, connected: &Arc<Connected>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|held| Arc::ptr_eq(held, connected)) {
            *current = None;
        }
        connected.driver.abort();
    }

    /// The connection, where it is not known to be lost.
    fn open(&self) -> Option<Arc<Connected>> {
        self.current().clone().filter(|connected| !connected.driver.is_finished())
    }

    async fn connected(&self) -> Result<Arc<Connected>, RedisError> {
        if let Some(connected) = self.open() {
            return Ok(connected);
        }
        let mut attempts = self.attempts.lock().await;
        if let Some(connected) = self.open() {
            return Ok(connected);
        }
        let address = &self.options.address;
        if attempts.not_before.is_some_and(|then| self.clock.tick() < then) {
            return Err(RedisError::unreachable(format!("{address} was not reached a moment ago")));
        }
        let failures = attempts.failures;
        attempts.failures += 1;
        let pause = (PAUSE * 2_u32.saturating_pow(failures.min(8))).min(LONGEST_PAUSE);
        // Also where the caller leaves before there is a connection.
        attempts.not_before = Some(self.clock.tick().plus(pause));
        let made = match timeout(self.options.timeout, self.connect()).await {
            Ok(made) => made?,
            Err(_) => return Err(RedisError::unreachable(format!("{address} did not answer in time"))),
        };
        *attempts = Attempts::default();
        if self.start.lock().unwrap_or_else(PoisonError::into_inner).missing.take().is_some() {
            tracing::info!(name: "keypool.store_reached", "{address} is reached");
        }
        let made = Arc::new(made);
        *self.current() = Some(Arc::clone(&made));
        Ok(made)
    }

    fn ears(&self) -> std::sync::MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connected, RedisError> {
        let ears = self.ears().clone();
        let Some(ask) = ears.ask() else { return self.reach(None).await };
        let address = &self.options.address;
        let listening = async {
            let mut made = self.reach(Some(ears)).await?;
            let asked = ask.query_async::<()>(&mut made.connection).await;
            asked.map_err(|error| RedisError::of(format!("{address} tells nothing of its own accord"), error))?;
            made.listens = true;
            Ok::<_, RedisError>(made)
        };
        match listening.await {
            Err(error) if !error.is_unreachable() => {
                let made = self.reach(None).await?;
                if !self.unheard.swap(true, Ordering::Relaxed) {
                    tracing::info!(name: "keypool.store_unheard", %error, "what other processes change is heard with the renewals alone: {address} is older than Redis 6, or forbids CLIENT TRACKING");
                }
                Ok(made)
            }
            made => made,
        }
    }

    /// A connection, over which these listen once the server was asked to tell.
    async fn reach(&self, ears: Option<Ears>) -> Result<Connected, RedisError> {
        let address = &self.options.address;
        let way = stream::connect(address, &self.trust).await?;
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let mut login = address.login.clone();
        if let Some(ears) = ears.clone() {
            login = login.set_protocol(ProtocolVersion::RESP3);
            config = config.set_push_sender(move |push| {
                ears.hear(push);
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let made = MultiplexedConnection::new_with_config(&login, way, config).await;
        let (connection, driver) = made.map_err(|error| RedisError::of_coming_in(address, error))?;
        let driver = tokio::spawn(async move {
            driver.await;
            // Not where it was given up here.
            ears.iter().for_each(Ears::miss);
        });
        Ok(Connected { connection, driver: driver.abort_handle(), listens: false })
    }

    /// Sends commands over the connection; `send` says which.
    async fn with<T>(
        &self,
        patience: Duration,
        send: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, redis::RedisError>,
    ) -> Result<T, RedisError> {
        let address = &self.options.address;
        let talk = async {
            let connected = self.connected().await?;
            let mut call = Call { link: self, over: &connected, done: false };
            let answer = send(connected.connection.clone()).await;
            // A server that cannot serve now may be another one by the time of the next call.
            call.done = answer.as_ref().err().is_none_or(|error| !passes(error));
            answer.map_err(|error| RedisError::of(format!("{address} did not do it"), error))
        };
        match timeout(patience, talk).await {
            Ok(answer) => answer,
            Err(_) => Err(RedisError::unreachable(format!("{address} did not answer in time"))),
        }
    }
}

impl Link {
    pub(super) fn new(options: Options, trust: Trust) -> Self {
        Self(Arc::new(Shared {
            options,
            trust,
            clock: Clock::system(),
            current: Mutex::default(),
            attempts: tokio::sync::Mutex::default(),
            start: Mutex::default(),
            ears: Mutex::default(),
            unheard: AtomicBool::new(false),
        }))
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn start(&self) -> std::sync::MutexGuard<'_, Start> {
        self.0.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many processes share the limits as long as the server has not been reached: it was missing at start, and
    /// [`OnMissing::Local`](super::OnMissing::Local) was asked for. None once it is reached. Until
    /// then a process is to take [`OnStoreLoss::FairShare`](crate::share::OnStoreLoss::FairShare).
    pub fn missing_at_start(&self) -> Option<u32> {
        self.start().missing
    }

    /// What is not as it should be with the server, in sentences. Empty where all is well.
    pub fn warnings(&self) -> Vec<String> {
        self.start().warnings.clone()
    }

    /// How long to wait for an answer where nobody says otherwise.
    pub(crate) fn patience(&self) -> Duration {
        self.0.options.timeout
    }

    /// The name under which all is kept.
    pub(crate) fn base(&self) -> String {
        format!("{{{}}}", self.0.options.namespace)
    }

    /// From the next call on the server is asked to tell what is written to the names of this ear, for as long as it lives.
    pub(crate) fn listen(&self, ear: &Arc<Ear>) {
        self.0.ears().add(ear);
        // Calls that are under way go on over the connection that there was.
        *self.0.current() = None;
    }

    /// Whether the server tells of its own accord, as far as is known.
    pub(crate) fn listens(&self) -> bool {
        self.0.open().is_some_and(|connected| connected.listens)
    }

    /// Runs a script in one call.
    pub(crate) async fn run(
        &self,
        script: &Script,
        arguments: &[&[u8]],
        patience: Duration,
    ) -> Result<Value, RedisError> {
        let base = self.base();
        self.0
            .with(patience, async |mut connection| {
                match script.by_hash(&base, arguments).query_async(&mut connection).await {
                    Err(error) if error.code() == Some("NOSCRIPT") => {
                        script.by_text(&base, arguments).query_async(&mut connection).await
                    }
                    answer => answer,
                }
            })
            .await
    }

    /// Runs several scripts in one call: what each came to.
    pub(crate) async fn run_all(
        &self,
        calls: &[(&Script, Vec<&[u8]>)],
        patience: Duration,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let (base, address) = (self.base(), &self.0.options.address);
        let answers = self.0.with(patience, async |mut connection| {
            let mut pipe = redis::pipe();
            pipe.ignore_errors();
            for (script, arguments) in calls {
                pipe.add_command(script.by_hash(&base, arguments));
            }
            let mut answers: Vec<redis::RedisResult<Value>> = pipe.query_async(&mut connection).await?;
            for ((script, arguments), answer) in calls.iter().zip(&mut answers) {
                if answer.as_ref().is_err_and(|error| error.code() == Some("NOSCRIPT")) {
                    *answer = script.by_text(&base, arguments).query_async(&mut connection).await;
                }
            }
            // A server that cannot serve now is left, as in a call alone.
            match answers.iter().position(|answer| answer.as_ref().is_err_and(passes)) {
                Some(at) => answers.swap_remove(at).map(|_| Vec::new()),
                None => Ok(answers),
            }
        });
        let said = |error| RedisError::of(format!("{address} did not do it"), error);
        Ok(answers.await?.into_iter().map(|answer| answer.map_err(said)).collect())
    }

    /// Sends several commands at once: what all of them say at one moment.
    pub(crate) async fn at_once<T: redis::FromRedisValue>(
        &self,
        commands: &redis::Pipeline,
        patience: Duration,
    ) -> Result<T, RedisError> {
        // Not `Pipeline::atomic`: a server that refuses MULTI itself answers one more error than that expects, and the
        // connection's task panics.
        let mut all = redis::pipe();
        all.ignore_errors().cmd("MULTI");
        for command in commands.cmd_iter() {
            all.add_command(command.clone());
        }
        all.cmd("EXEC");
        self.0
            .with(patience, async |mut connection| {
                let answers: Vec<redis::RedisResult<Value>> = all.query_async(&mut connection).await?;
                let mut last = Value::Nil;
                for answer in answers {
                    last = answer?;
                }
                Ok(T::from_redis_value(last.extract_error()?)?)
            })
            .await
    }

    /// Asks the server one thing.
    pub(super) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Result<T, RedisError> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        self.0.with(self.patience(), async |mut connection| command.query_async(&mut connection).await).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.options.address).field(&self.0.options.namespace).finish()
    }
}
