//! The connection to the server.

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Script, ScriptInvocation, ServerErrorKind};
use redis::{ConnectionAddr, InfoDict, aio::MultiplexedConnection};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::error::RedisError;

/// Timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Timeout of a connection attempt, TLS handshake included.
const CONNECT: Duration = Duration::from_secs(3);

/// How long calls fail without a new connection attempt after one failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of queued calls; further callers wait.
const QUEUE: usize = 1_024;

/// The pipelined connection that all calls share.
///
/// After it broke or a call timed out, the next call opens a new connection; calls in flight stay on the old one.
pub(super) struct Connection {
    client: Client,
    address: String,
    current: Mutex<Current>,
    info_checked: Once,
}

#[derive(Default)]
struct Current {
    live: Option<Arc<Live>>,
    failed: Option<(Instant, RedisError)>,
}

struct Live {
    connection: MultiplexedConnection,
    /// The server's run id, which is new after each start; empty if the server does not report it.
    run: String,
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        let address = client.get_connection_info().addr();
        let tls = if matches!(address, ConnectionAddr::TcpTls { .. }) { " over TLS" } else { "" };
        let address = format!("{address}{tls}");
        Self { client, address, current: Mutex::default(), info_checked: Once::new() }
    }

    /// Runs a script; `fill` adds its keys and arguments and receives the run id of the server.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>, &str),
    ) -> Result<T, RedisError> {
        let live = self.live().await?;
        let mut call = script.prepare_invoke();
        fill(&mut call, &live.run);
        let (error, lost) = match timeout(TIMEOUT, call.invoke_async(&mut live.connection.clone())).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (RedisError::new(&self.address, &error), is_lost(&error)),
            Err(_) => (RedisError::timed_out(&self.address), true),
        };
        if lost {
            let mut current = self.current.lock().await;
            if current.live.as_ref().is_some_and(|held| Arc::ptr_eq(held, &live)) {
                current.live = None;
            }
        }
        Err(error.sent())
    }

    /// Opens the connection if there is none.
    pub(super) async fn connect(&self) -> Result<(), RedisError> {
        self.live().await.map(drop)
    }

    #[expect(clippy::disallowed_methods, reason = "the pause between two connections is real time")]
    async fn live(&self) -> Result<Arc<Live>, RedisError> {
        let mut current = self.current.lock().await;
        if let Some(live) = &current.live {
            return Ok(Arc::clone(live));
        }
        if let Some((at, error)) = &current.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let error = match timeout(CONNECT, self.open()).await {
            Ok(Ok(live)) => {
                let live = Arc::new(live);
                *current = Current { live: Some(Arc::clone(&live)), failed: None };
                return Ok(live);
            }
            Ok(Err(error)) => RedisError::new(&self.address, &error),
            Err(_) => RedisError::timed_out(&self.address),
        };
        current.failed = Some((Instant::now(), error.clone()));
        Err(error)
    }

    async fn open(&self) -> Result<Live, redis::RedisError> {
        // `run` and `live` have their own timeouts.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let info: InfoDict = match redis::cmd("INFO").query_async(&mut connection).await {
            Ok(info) => info,
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => InfoDict::new(""),
            Err(error) => return Err(error),
        };
        self.info_checked.call_once(|| self.check_info(&info));
        Ok(Live { connection, run: info.get("run_id").unwrap_or_default() })
    }

    fn check_info(&self, info: &InfoDict) {
        if info.get::<String>("run_id").is_none() {
            tracing::warn!(
                address = self.address,
                "this Redis server does not report its run id, so counts that a restart loses may not be noticed: allow \
                 its user to run INFO"
            );
        }
        let policy: String = info.get("maxmemory_policy").unwrap_or_default();
        if !policy.is_empty() && policy != "noeviction" {
            tracing::warn!(
                address = self.address,
                policy,
                "this Redis server may evict counts when its memory is full, and then limits may be exceeded: set its \
                 maxmemory-policy to noeviction"
            );
        }
    }
}

/// Whether the next call needs another connection.
fn is_lost(error: &redis::RedisError) -> bool {
    use ServerErrorKind::{MasterDown, ReadOnly};
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown))
}
