//! `[store]`: where what a pool knows outlives the process, and how processes share it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, Interval, SecretText, StoreUrl, Whole, interval::shown, patterns, wording::is_key_for_path};
use crate::share::{OnMissing, OnStoreLoss, Settings};

/// What to do when a server is not there at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissing {
    /// Wait for it, then give up.
    #[default]
    Wait,
    /// Begin without it, each limit divided by `expected_processes`, and join it when it comes.
    Local,
}

/// What to do when the store has been away for as long as a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenLost {
    /// Nothing is started until it is back.
    #[default]
    FailClosed,
    /// Each limit divided by `expected_processes`: may exceed limits, and is counted.
    FairShare,
}

/// `[store]`: where counts, rests and keys added by command outlive the process, and how processes share keys there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// A database file (relative to this configuration's folder), `redis://HOST:PORT`, `rediss://HOST:PORT` over TLS,
    /// `auto` for the usual file, or `none` for none.
    pub url: Option<StoreUrl>,
    /// What all names in Redis begin with: processes that share keys have the same. 1 to 64 letters, digits, - _ . or :
    #[schemars(regex(pattern = patterns::NAMESPACE))]
    pub namespace: String,
    /// Redis' password, where the address does not hold it.
    pub password: Option<SecretText>,
    /// The file that holds it; relative to this configuration's folder.
    #[schemars(length(min = 1))]
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) to trust in the place of Mozilla's, for rediss://; relative to this configuration's folder.
    #[schemars(length(min = 1))]
    pub ca_file: Option<PathBuf>,
    /// When Redis is not there at the start: `wait`, or `local`.
    pub on_missing: WhenMissing,
    /// How long `wait` waits.
    pub wait: Interval<0, 3_600>,
    /// How many processes share the limits, this one included, for `local` and `fair_share`: 1 to 10000.
    pub expected_processes: Option<Whole<1, 10_000>>,
    /// When the store has been away for as long as a lease: `fail_closed`, or `fair_share`, which may exceed limits.
    pub on_store_loss: WhenLost,
    /// How long what a process holds of the keys stays its own without a word; the same in all processes.
    pub lease: Interval<500, 300>,
    /// How often it is renewed, at most half of the lease; unless set 1 s on a file and 1.8 s on Redis (1.95 s while
    /// that says of its own accord what changes), and with a shorter lease than 10 s in proportion.
    pub renew: Option<Interval<50, 60>>,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            url: None,
            namespace: "keypool".to_owned(),
            password: None,
            password_file: None,
            ca_file: None,
            on_missing: WhenMissing::default(),
            wait: Interval::seconds(30),
            expected_processes: None,
            on_store_loss: WhenLost::default(),
            lease: Interval::seconds(10),
            renew: None,
        }
    }
}

impl StoreSection {
    /// Looks at what no single value tells.
    pub fn check(&self, document: &mut Document<'_>) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if !(1..=64).contains(&self.namespace.len()) || !self.namespace.chars().all(fits) {
            document.problem("store.namespace", "expected 1 to 64 letters, digits, - _ . or :");
        }
        if self.url.as_ref().and_then(StoreUrl::file).is_some_and(is_key_for_path) {
            let what = "expected the path of a database file, and this looks like an API key";
            document.problem("store.url", what);
        }
        if let Some(renew) = self.renew.filter(|renew| renew.0 > self.lease.0 / 2) {
            let (path, most) = ("store.renew", shown(self.lease.0 / 2));
            document.problem(path, format!("expected at most half of the lease, {most}, and not {}", shown(renew.0)));
        }
        if self.expected_processes.is_none() {
            let what = "expected store.expected_processes beside it: limits are divided by that";
            if self.on_missing == WhenMissing::Local {
                document.problem("store.on_missing", what);
            }
            if self.on_store_loss == WhenLost::FairShare {
                document.problem("store.on_store_loss", what);
            }
        }
        for (path, file) in [("store.password_file", &self.password_file), ("store.ca_file", &self.ca_file)] {
            if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
                document.problem(path, "expected the path of a file");
            }
        }
        let encrypted = |url: &str| url.starts_with("rediss:") || url.starts_with("valkeys:");
        let url = self.url.as_ref().and_then(StoreUrl::expose_server);
        if self.ca_file.is_some() && url.is_some_and(|url| !encrypted(url)) {
            document
                .problem("store.ca_file", "expected an address that begins with rediss:// (this one is not encrypted)");
        }
    }

    /// How a process shares owners by this; `usual`: what the store's own settings are.
    pub fn sharing(&self, usual: &Settings) -> Settings {
        let times = Settings::for_lease(self.lease.0);
        let scale = self.lease.0.as_secs_f64() / Settings::default().lease.as_secs_f64();
        let renew = |usual: Duration| self.renew.map_or_else(|| usual.mul_f64(scale.min(1.0)), |renew| renew.0);
        Settings {
            lease: times.lease,
            margin: times.margin.min(Duration::from_secs(1)),
            smoothing: times.smoothing,
            timeout: times.timeout.clamp(Duration::from_millis(500), Duration::from_secs(5)),
            renew_every: renew(usual.renew_every),
            renew_hinted: renew(usual.renew_hinted),
            on_store_loss: self.on_loss(),
            ..usual.clone()
        }
    }

    /// How many processes there are to be; one unless somebody said.
    pub fn processes(&self) -> u32 {
        self.expected_processes.map_or(1, |processes| processes.0.into())
    }

    /// What to do when the store is not there at the start.
    pub fn missing(&self) -> OnMissing {
        match self.on_missing {
            WhenMissing::Wait => OnMissing::Wait(self.wait.0),
            WhenMissing::Local => OnMissing::Local { expected_processes: self.processes() },
        }
    }

    fn on_loss(&self) -> OnStoreLoss {
        match self.on_store_loss {
            WhenLost::FailClosed => OnStoreLoss::FailClosed,
            WhenLost::FairShare => OnStoreLoss::FairShare { processes: self.processes() },
        }
    }

    /// How its server is reached; none where it is not in Redis. The password is what was read of `password_file`, which
    /// wins over nothing else here; `ca_file` is taken as it stands.
    ///
    /// # Errors
    /// When the address makes no sense.
    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Result<Option<crate::redis::Options>, crate::redis::RedisError> {
        use crate::redis::Options;
        let Some(url) = self.url.as_ref().and_then(StoreUrl::expose_server) else { return Ok(None) };
        let mut options = Options::new(url)?.namespace(&*self.namespace)?.on_missing(self.missing());
        if let Some(password) = &self.password {
            options = options.password(password.expose());
        }
        if let Some(path) = &self.ca_file {
            options = options.ca_file(path);
        }
        Ok(Some(options))
    }
}
