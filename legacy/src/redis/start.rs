//! The first look at a server: whether it is there, and keeps what it is given.

use std::time::Duration;

use super::{failure::RedisError, link::Link, options::Options, stream::Trust};
use crate::{missing::OnMissing, time::Clock};

/// How long after a look in vain the next follows.
const AGAIN: Duration = Duration::from_millis(500);

impl Link {
    /// Connects, and looks whether the server keeps what it is given. Where it cannot be reached,
    /// [`Options::on_missing`] says what happens; see [`Link::missing_at_start`].
    ///
    /// # Errors
    /// When the options make no sense, the server cannot be reached in time, lets this process not in, or would evict
    /// what it holds.
    pub async fn open(options: Options) -> Result<Self, RedisError> {
        let trust = trust(&options)?;
        let on_missing = options.on_missing;
        let link = Self::new(options, trust);
        let clock = Clock::system();
        let begun = clock.tick();
        loop {
            let error = match link.look().await {
                Ok(()) => return Ok(link),
                Err(error) if error.is_passing() => error,
                Err(error) => return Err(error),
            };
            match on_missing {
                OnMissing::Wait(patience) if clock.tick().since(begun) < patience => {
                    tokio::time::sleep(AGAIN.min(patience)).await;
                }
                OnMissing::Wait(_) => return Err(error),
                OnMissing::Local { expected_processes } => {
                    tracing::warn!(name: "keypool.store_missing", %error, expected_processes, "the shared store is missing: limits are divided until it answers");
                    link.start().missing = Some(expected_processes.max(1));
                    return Ok(link);
                }
            }
        }
    }

    async fn look(&self) -> Result<(), RedisError> {
        self.start().warnings.clear();
        let _: String = self.ask(&["PING"]).await?;
        self.look_at_role().await?;
        self.look_at_kinds().await?;
        let policy = match self.policy_of_info().await? {
            None => self.policy_of_config().await?,
            known => known,
        };
        let at = &self.options().address;
        let warning = match &policy {
            Some((policy, _)) if policy == "noeviction" => return Ok(()),
            Some((policy, limit)) if policy.starts_with("allkeys") && *limit > 0 => {
                return Err(RedisError::evicting(format!(
                    "{at} throws away what it holds when its memory is full (maxmemory-policy {policy}): limits would be \
                     exceeded; set it to noeviction"
                )));
            }
            Some((policy, _)) => {
                format!("{at} has maxmemory-policy {policy}: set it to noeviction, so that nothing is ever thrown away")
            }
            None => format!("{at} does not tell its maxmemory-policy: see to it that it is noeviction"),
        };
        self.warn(warning);
        Ok(())
    }

    /// A replica that takes no words of anybody's but its master's says so only when the first is written. It may be that
    /// it is about to take the master's place.
    async fn look_at_role(&self) -> Result<(), RedisError> {
        let info: String = match self.ask(&["INFO", "replication"]).await {
            // Who may not ask finds out later.
            Err(error) if error.is_refused() => return Ok(()),
            info => info?,
        };
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map_or("", str::trim)
        };
        if value("role") != "slave" || value("slave_read_only") != "1" {
            return Ok(());
        }
        Err(RedisError::unreachable(format!(
            "{} is a read-only replica of {}:{}, and nothing can be counted on it: name the master (store.url, --redis, \
             KEYPOOL_REDIS_URL), or let this one take its place (redis-cli REPLICAOF NO ONE)",
            self.options().address,
            value("master_host"),
            value("master_port"),
        )))
    }

    /// Whether the server writes each change to a file, so that it has all when it is started again; none where it does not
    /// say, or nobody may ask.
    pub async fn is_lasting(&self) -> Option<bool> {
        let info: String = self.ask(&["INFO", "persistence"]).await.ok()?;
        let enabled = info.lines().find_map(|line| line.trim().strip_prefix("aof_enabled:"))?;
        Some(enabled == "1")
    }

    fn warn(&self, warning: String) {
        tracing::warn!(name: "keypool.store_warning", "{warning}");
        self.start().warnings.push(warning);
    }

    /// The policy, and how much memory there is at most (0: as much as there is); none where one may not ask.
    async fn policy_of_info(&self) -> Result<Option<(String, u64)>, RedisError> {
        let info: String = match self.ask(&["INFO", "memory"]).await {
            Err(error) if error.is_refused() => {
                self.warn(format!(
                    "{} lets this user not ask with INFO which server it is: should a copy that is behind take its place, \
                     limits may be exceeded before that is noticed; allow INFO (ACL SETUSER … +info)",
                    self.options().address
                ));
                return Ok(None);
            }
            info => info?,
        };
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let limit = value("maxmemory").and_then(|limit| limit.parse().ok()).unwrap_or(0);
        Ok(value("maxmemory_policy").map(|policy| (policy, limit)))
    }

    async fn policy_of_config(&self) -> Result<Option<(String, u64)>, RedisError> {
        let answer: Vec<String> = match self.ask(&["CONFIG", "GET", "maxmemory-policy"]).await {
            Err(error) if error.is_refused() => return Ok(None),
            answer => answer?,
        };
        // That there is no limit is not known from it.
        Ok(answer.into_iter().nth(1).map(|policy| (policy, 1)))
    }
}

#[cfg(feature = "redis-tls")]
fn trust(options: &Options) -> Result<Trust, RedisError> {
    if options.address.tls { super::tls::trust(options.ca_file.as_deref()).map(Some) } else { without_tls(options) }
}

#[cfg(not(feature = "redis-tls"))]
fn trust(options: &Options) -> Result<Trust, RedisError> {
    without_tls(options)
}

fn without_tls(options: &Options) -> Result<Trust, RedisError> {
    match &options.ca_file {
        None => Ok(None),
        Some(_) => Err(RedisError::invalid("a ca_file is for rediss:// alone: nothing would be encrypted")),
    }
}
