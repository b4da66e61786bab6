//! Tenants: the users of the gateway, with their tokens and limits.
//!
//! A pool of its own enforces the limits of tenants; each tenant is a key in it. The limits are exact in any 60 s and
//! on any day, and the store counts them across all processes.

mod quota;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Extensions;
use keypool_store::{SqliteStore, sqlite};
use serde_json::Value;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;
use tower_keypool::{
    Affinity, ApiKeyHeader, Error, ErrorKind, Key, KeyId, KeyPool, KeyRequest, Limit, Limits, Span, Unavailable, Unit,
    pool::UnavailableReason,
};

pub use self::quota::Quota;
use crate::{
    config::{Loaded, TenantEntry, TokenHash, hash, matches, parse_time},
    error::ApiError,
    store::Stores,
};

/// Returns the key id, and project name, under which the store counts a tenant's requests.
pub fn counted_as(tenant: &str) -> String {
    format!("tenant:{tenant}")
}

/// Returns the tenant of a key id or project name in the store; `None` for those of providers.
pub fn of_counted(id: &str) -> Option<&str> {
    id.strip_prefix("tenant:")
}

/// Adds a tenant to the database, and returns its token.
///
/// # Errors
/// If the database cannot be written.
pub async fn add(database: &SqliteStore, entry: &TenantEntry) -> anyhow::Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    let token = format!("kpt-{}", URL_SAFE_NO_PAD.encode(bytes));
    let mut tenant = sqlite::Tenant::new(&entry.name, hash(&token));
    tenant.options = stored_options(entry);
    database.put_tenant(tenant).await?;
    Ok(token)
}

/// Returns the options of a tenant as the database stores them.
pub fn stored_options(entry: &TenantEntry) -> Value {
    let mut options = serde_json::to_value(entry).expect("its fields are texts and numbers");
    if let Value::Object(options) = &mut options {
        options.retain(|name, value| name != "name" && !value.is_null());
    }
    options
}

/// The sender of a request.
pub struct Tenant {
    /// The tenant's name; `None` for the gateway's own token.
    pub name: Option<Arc<str>>,
    entry: TenantEntry,
    expires: Option<jiff::Timestamp>,
    hash: TokenHash,
    /// Cancelled when the tenant is removed or its token changes.
    pub revoked: CancellationToken,
}

impl Tenant {
    fn new(entry: TenantEntry, hash: TokenHash) -> Self {
        let name = (!entry.name.is_empty()).then(|| entry.name.as_str().into());
        let expires = entry.expires.as_deref().and_then(parse_time);
        Self { name, entry, expires, hash, revoked: CancellationToken::new() }
    }

    /// Returns its entry in the configuration or the database.
    pub fn entry(&self) -> &TenantEntry {
        &self.entry
    }

    pub fn may_use(&self, model: &str) -> bool {
        let models = &self.entry.models;
        models.is_empty() || models.iter().any(|pattern| matches(pattern, model))
    }

    pub fn restricts_models(&self) -> bool {
        !self.entry.models.is_empty()
    }

    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= jiff::Timestamp::now())
    }

    fn key_id(&self) -> KeyId {
        KeyId::new(counted_as(&self.entry.name))
    }

    /// Returns its limits of requests and tokens.
    pub fn limits(&self) -> Limits {
        let entry = &self.entry;
        let limit = |unit, span, amount| Limit { unit, span, amount };
        let limits = [
            entry.rpm.map(|amount| limit(Unit::Requests, Span::MINUTE, amount)),
            entry.rpd.map(|amount| limit(Unit::Requests, Span::Day, amount)),
            entry.tpm.map(|amount| limit(Unit::Tokens, Span::MINUTE, amount)),
            entry.tpd.map(|amount| limit(Unit::Tokens, Span::Day, amount)),
        ];
        limits.into_iter().flatten().fold(Limits::new(), Limits::with)
    }

    /// Returns the tenant as a key of the quota pool.
    fn key(&self) -> Key {
        let id = self.key_id();
        // Not the name itself: a secret has only visible ASCII characters.
        let secret = KeyId::from_secret(id.as_str());
        let key = Key::new(secret.as_str()).named(id.clone()).project(id.as_str()).limits("*", self.limits());
        match self.entry.max_concurrent {
            Some(requests) => key.max_concurrent(requests),
            None => key,
        }
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the tenants of the configuration and of the database.
async fn listed(loaded: &Loaded, stores: &Stores) -> anyhow::Result<HashMap<TokenHash, Tenant>> {
    let configured = loaded.config.tenants.iter().cloned().zip(loaded.tenant_hashes.iter().copied());
    let mut listed: Vec<(TenantEntry, TokenHash)> = configured.collect();
    if let Some(sqlite) = &stores.sqlite {
        for tenant in sqlite.tenants().await? {
            let in_file = listed.iter().any(|(entry, hash)| entry.name == tenant.name || *hash == tenant.token_hash);
            let options = serde_json::from_value::<TenantEntry>(tenant.options.clone());
            match options {
                Ok(entry) if !in_file => {
                    listed.push((TenantEntry { name: tenant.name, ..entry }, tenant.token_hash));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(tenant = tenant.name, %error, "the tenant is skipped, because its options in the database are invalid");
                }
            }
        }
    }
    Ok(listed.into_iter().map(|(entry, hash)| (hash, Tenant::new(entry, hash))).collect())
}

/// Describes the limits that are the reason for refusing a request of a tenant.
fn reached(tenant: &Tenant, error: &Error) -> String {
    let reasons = error.as_unavailable().map(Unavailable::reasons).unwrap_or_default();
    let is = |reason| reasons.iter().any(|(found, _)| *found == reason);
    // The store does not name the limit.
    let store = is(UnavailableReason::Store);
    let (day, minute) = (store || is(UnavailableReason::DailyLimit), store || is(UnavailableReason::Limit));
    let limits = tenant.limits();
    // The reason for tokens of a day is `Limit`, since a request in flight may give some back.
    let is_daily = |limit: &&Limit| limit.span == Span::Day && limit.unit == Unit::Requests;
    let full = limits.iter().filter(|limit| if is_daily(limit) { day } else { minute });
    let per = |limit: &Limit| {
        let span = if limit.span == Span::Day { "day" } else { "minute" };
        format!("{} {} per {span}", limit.amount, limit.unit)
    };
    let busy = tenant.entry.max_concurrent.filter(|_| is(UnavailableReason::Busy));
    let busy = busy.map(|requests| format!("{requests} simultaneous requests"));
    let all: Vec<String> = full.map(per).chain(busy).collect();
    if all.is_empty() { String::new() } else { format!(" of {}", all.join(" or ")) }
}

/// All tenants, and the gateway's own token.
pub struct Tenants {
    own: ArcSwap<Tenant>,
    by_hash: ArcSwap<HashMap<TokenHash, Arc<Tenant>>>,
    quota: KeyPool,
}

impl Tenants {
    /// Loads the tenants of the configuration and of the database.
    ///
    /// # Errors
    /// If a store fails.
    pub async fn open(loaded: &Loaded, stores: &Stores) -> anyhow::Result<Self> {
        // The pool only counts: no request is sent to this address.
        let provider = ApiKeyHeader::bearer("http://tenants.invalid")?.named("tenants").zone("UTC");
        let tenants = listed(loaded, stores).await?;
        let keys = tenants.values().map(Tenant::key);
        let quota = stores.open_pool(KeyPool::builder(provider).keys(keys).allow_empty()).await?;
        let own = Tenant::new(TenantEntry::default(), hash(loaded.token.expose()));
        let by_hash = tenants.into_iter().map(|(hash, tenant)| (hash, Arc::new(tenant))).collect();
        Ok(Self { own: ArcSwap::from_pointee(own), by_hash: ArcSwap::from_pointee(by_hash), quota })
    }

    /// Reloads all tenants. Streams of removed tenants end; changed rights apply from the next request on.
    ///
    /// # Errors
    /// If the database cannot be read or a limit is invalid. The previous tenants then stay in use.
    pub async fn reload(&self, loaded: &Loaded, stores: &Stores) -> anyhow::Result<()> {
        let before = self.by_hash.load_full();
        let mut after = HashMap::new();
        for (hash, mut tenant) in listed(loaded, stores).await? {
            if let Some(before) = before.get(&hash) {
                tenant.revoked = before.revoked.clone();
            }
            after.insert(hash, Arc::new(tenant));
        }
        let keys: Vec<_> = after.values().map(|tenant| tenant.key()).collect();
        // The pool would log that keys are added and removed. `Dispatch::none()` is not registered: then tracing would
        // cache that nobody listens to these events.
        let silent = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::dispatcher::with_default(&silent, || self.quota.replace_all(&keys))?;
        let own = hash(loaded.token.expose());
        if self.own.load().hash != own {
            self.own.swap(Arc::new(Tenant::new(TenantEntry::default(), own))).revoked.cancel();
        }
        let after = Arc::new(after);
        self.by_hash.store(Arc::clone(&after));
        for (_, tenant) in before.iter().filter(|(hash, _)| !after.contains_key(*hash)) {
            tenant.revoked.cancel();
        }
        Ok(())
    }

    /// Returns the tenant with this token, even if it has expired.
    pub fn find(&self, token: &str) -> Option<Arc<Tenant>> {
        let hash = hash(token);
        let own = self.own.load();
        if bool::from(own.hash.ct_eq(&hash)) {
            return Some(Arc::clone(&own));
        }
        // The lookup need not take constant time: timing could reveal a hash, but not its token.
        self.by_hash.load().get(&hash).cloned()
    }

    /// Returns the tenant with this name, unless it has expired; `None` names the gateway's own token.
    pub fn named(&self, name: Option<&str>) -> Option<Arc<Tenant>> {
        match name {
            None => Some(self.own.load_full()),
            Some(name) => {
                let tenants = self.by_hash.load();
                tenants.values().find(|tenant| tenant.name.as_deref() == Some(name) && !tenant.is_expired()).cloned()
            }
        }
    }

    /// Counts a request of a tenant, also without limits, with an estimate of its tokens. Without tokens, as for a list
    /// or a file, only the number of simultaneous requests is limited.
    ///
    /// # Errors
    /// 429 if the tenant has reached a limit, with the time until it has room again; 503 if the store is unavailable.
    pub async fn admit(
        &self,
        tenant: &Tenant,
        tokens: Option<u64>,
        extensions: &Extensions,
    ) -> Result<Quota, ApiError> {
        if tenant.name.is_none() {
            return Ok(Quota::default());
        }
        // An estimate over a limit must not refuse a request forever: the request waits for an empty window.
        let limits = [tenant.entry.tpm, tenant.entry.tpd].into_iter().flatten();
        let fitting = |tokens| limits.fold(tokens, |tokens: u64, limit| tokens.min(limit.max(1)));
        let request = KeyRequest::model("*").affinity(Affinity::RequireKey(tenant.key_id()));
        let request = match tokens {
            Some(tokens) => request.input_tokens(fitting(tokens)),
            None => request.uncounted(),
        };
        match self.quota.acquire(request).await {
            Ok(lease) => {
                let (prompt_tokens, sent) = (tokens.unwrap_or(0), extensions.get().cloned());
                Ok(Quota { lease: Some(lease), prompt_tokens, sent })
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let message = format!("this client has reached its limit{} at this gateway", reached(tenant, &error));
                // It is not known when one of the tenant's simultaneous requests ends.
                let retry_after = error.retry_after().unwrap_or(Duration::from_secs(1));
                Err(ApiError::new(http::StatusCode::TOO_MANY_REQUESTS, message).retry_after(Some(retry_after)))
            }
            Err(error) => Err(ApiError::from(&error)),
        }
    }

    /// Writes the remaining counts to the store.
    pub async fn shutdown(&self) {
        self.quota.shutdown().await;
    }

    /// Returns how much of its limits each tenant has used.
    pub fn snapshot(&self) -> tower_keypool::pool::Snapshot {
        self.quota.snapshot(0, usize::MAX)
    }

    /// Returns all tenants, sorted by name.
    pub fn list(&self) -> Vec<Arc<Tenant>> {
        let mut tenants: Vec<_> = self.by_hash.load().values().cloned().collect();
        tenants.sort_by(|a, b| a.name.cmp(&b.name));
        tenants
    }
}
