//! Who asks: somebody with the gateway's one token, or one of several tenants with tokens, rights and limits of their own.

use std::{
    collections::HashMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use http::{StatusCode, request::Parts};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;
use tower_keypool::{AllowedModels, WaitingRoom};

use super::{
    capability::digest_of,
    headers::Seen,
    token::{Token, in_query},
};
use crate::gateway::{
    dialect::Refusal,
    farewell::{Farewell, Parting},
    model_names,
};

/// Whoever has the gateway's one token.
pub const DEFAULT: &str = "default";

/// What a tenant is and may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What it is called: what belongs to it is kept under this name.
    pub name: String,
    /// The SHA-256 of its token, in hexadecimal.
    pub token_hash: String,
    /// The models that it may ask; one that ends with `*` stands for all that begin so. Empty: all.
    pub models: Vec<String>,
    /// How much of what it may use in which time.
    pub limits: TenantLimits,
    /// When its token ends, in Unix milliseconds.
    pub expires: Option<i64>,
}

impl Grant {
    fn allows(&self, model: &str) -> bool {
        let model = model.strip_prefix("models/").unwrap_or(model);
        self.models.is_empty() || model_names::is_among(&self.models, model)
    }
}

/// How much a tenant may use. Minutes and days are the clock's, days those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute, of prompts and answers.
    pub tpm: Option<u64>,
    /// Requests a day.
    pub rpd: Option<u64>,
    /// Tokens a day, of prompts and answers.
    pub tpd: Option<u64>,
}

impl TenantLimits {
    /// The stricter of both, one by one.
    fn stricter(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            rpm: least(self.rpm, other.rpm),
            tpm: least(self.tpm, other.tpm),
            rpd: least(self.rpd, other.rpd),
            tpd: least(self.tpd, other.tpd),
        }
    }

    /// Whether what answers cost matters.
    pub fn counts_tokens(&self) -> bool {
        self.tpm.is_some() || self.tpd.is_some()
    }
}

/// Somebody who was let in.
pub struct Tenant {
    name: Arc<str>,
    grant: Arc<Grant>,
    /// The same of its models, for whoever chooses another one; none where it may use all.
    allowed: Option<AllowedModels>,
    /// Once it may nothing any more, or something else.
    gone: watch::Sender<bool>,
    /// Its token opens nothing any more: the same however often what it may is changed.
    revoked: Arc<Farewell>,
    /// Where its requests wait for a key.
    room: Arc<WaitingRoom>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl Tenant {
    /// With these rights.
    pub fn of(grant: Grant) -> Self {
        let grant = Arc::new(grant);
        let allowed = (!grant.models.is_empty()).then(|| {
            let grant = Arc::clone(&grant);
            Arc::new(move |model: &str| grant.allows(model)) as AllowedModels
        });
        let (gone, room) = (watch::Sender::new(false), Arc::default());
        let revoked = Arc::new(Farewell::because(REVOKED));
        Self { name: grant.name.as_str().into(), grant, allowed, gone, revoked, room }
    }

    /// The same with other rights from now on.
    fn changed(&self, grant: Grant) -> Self {
        self.gone.send_replace(true);
        Self { revoked: Arc::clone(&self.revoked), ..Self::of(grant) }
    }

    fn revoke(&self) {
        self.gone.send_replace(true);
        self.revoked.bid();
    }

    /// Which models it may have where another than the one that it named serves; `None`: all.
    pub(in crate::gateway) fn allowed(&self) -> Option<&AllowedModels> {
        self.allowed.as_ref()
    }

    /// Where its requests wait for a key, with room for so many.
    pub(in crate::gateway) fn room(&self, most: usize) -> Arc<WaitingRoom> {
        self.room.resize(most);
        Arc::clone(&self.room)
    }

    /// What it is called.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it is and may.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether it is whoever has the gateway's one token.
    pub fn is_default(&self) -> bool {
        &*self.name == DEFAULT
    }

    /// Whether it may ask some models only.
    pub fn is_restricted(&self) -> bool {
        !self.grant.models.is_empty()
    }

    /// Whether it may ask this model, named with or without `models/`.
    pub fn may_use(&self, model: &str) -> bool {
        self.grant.allows(model)
    }

    pub(in crate::gateway) fn has_ended(&self, now: i64) -> bool {
        self.grant.expires.is_some_and(|ends| now >= ends)
    }

    /// Until it may nothing any more or something else, but for its token's end by time.
    pub(in crate::gateway) fn gone(&self) -> watch::Receiver<bool> {
        self.gone.subscribe()
    }

    /// What bids farewell once its token is revoked; none of whoever has the gateway's one token.
    pub(in crate::gateway) fn farewell(&self) -> Option<&Farewell> {
        (!self.is_default()).then_some(&self.revoked)
    }

    /// From the gateway, and from this tenant where its token can be revoked.
    pub(in crate::gateway) fn parting(&self, gateway: &Farewell) -> Parting {
        let parting = Parting::from(gateway);
        match self.farewell() {
            Some(farewell) => parting.or(farewell),
            None => parting,
        }
    }

    /// What is done for it, as long as its token is not revoked: whoever waits for a key is not sent with it then.
    ///
    /// # Errors
    /// That it was revoked, as far as that is found out when there is something to do.
    pub(in crate::gateway) fn unless_revoked<T>(
        &self,
        mut done: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = Result<T, Refusal>> {
        poll_fn(move |cx| {
            if self.revoked.was_bid() {
                return Poll::Ready(Err(WRONG));
            }
            Pin::new(&mut done).poll(cx).map(Ok)
        })
    }
}

/// All tenants, but for the one with the gateway's one token.
#[derive(Debug)]
pub struct Tenants {
    default: Arc<Tenant>,
    lists: RwLock<[List; 2]>,
    /// Nobody is in them: asked of each request, without a lock.
    alone: AtomicBool,
    /// Those of the database as they are there.
    added: Mutex<Vec<Grant>>,
}

type List = hashbrown::HashMap<Hash, Arc<Tenant>>;

/// Of a tenant's token: looked up with each request, and so not as text.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Hash {
    Of([u8; 32]),
    /// No token has it.
    Odd(String),
}

impl Hash {
    fn of(written: &str) -> Self {
        digest_of(written).map_or_else(|| Self::Odd(written.to_ascii_lowercase()), Self::Of)
    }
}

/// Where a list of tenants comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The configuration: it wins.
    Configuration,
    /// The database.
    Commands,
}

const WRONG: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "API key not valid. Incorrect API key provided: this gateway takes its own tokens, not a provider's keys. Pass one that \
     it has given out, and that was not revoked and has not ended.",
);
/// What is said where it is revoked while something flows that was asked with it.
const REVOKED: Refusal =
    Refusal::new(StatusCode::UNAUTHORIZED, "this token was revoked: the rest of this answer is kept back");
/// What is said where a token ends while something goes on that it began.
pub(in crate::gateway) const ENDED: Refusal = Refusal::new(StatusCode::FORBIDDEN, "this token has ended");
pub(in crate::gateway) const MODEL: Refusal = Refusal::new(StatusCode::FORBIDDEN, NOT_THIS_MODEL);
/// What is said of it.
pub(in crate::gateway) const NOT_THIS_MODEL: &str = "this token may not be used for the model that the request names";

impl Default for Tenants {
    fn default() -> Self {
        let grant = Grant { name: DEFAULT.to_owned(), ..Grant::default() };
        let (lists, alone) = (RwLock::default(), AtomicBool::new(true));
        Self { default: Arc::new(Tenant::of(grant)), lists, alone, added: Mutex::default() }
    }
}

impl Tenants {
    /// These are the tenants of a kind from now on. Who is not among them any more is gone at once.
    ///
    /// One of the database that is called like one of the configuration counts with that one, and has its limits where
    /// these are stricter.
    pub fn set(&self, from: From, grants: Vec<Grant>) {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        match from {
            From::Configuration => Self::put(&mut lists[From::Configuration as usize], grants),
            From::Commands => *added = grants,
        }
        let configured: HashMap<&str, TenantLimits> = lists[From::Configuration as usize]
            .values()
            .map(|tenant| (tenant.grant.name.as_str(), tenant.grant.limits))
            .collect();
        let strict = |grant: &Grant| {
            let limits =
                configured.get(grant.name.as_str()).map_or(grant.limits, |limits| grant.limits.stricter(*limits));
            Grant { limits, ..grant.clone() }
        };
        let strict = added.iter().map(strict).collect();
        Self::put(&mut lists[From::Commands as usize], strict);
        self.alone.store(lists.iter().all(List::is_empty), Ordering::Release);
    }

    fn put(list: &mut List, grants: Vec<Grant>) {
        let mut before = std::mem::take(list);
        for grant in grants {
            let hash = Hash::of(&grant.token_hash);
            let tenant = match before.remove(&hash) {
                Some(same) if *same.grant == grant => same,
                Some(other) => Arc::new(other.changed(grant)),
                None => Arc::new(Tenant::of(grant)),
            };
            list.insert(hash, tenant);
        }
        before.into_values().for_each(|gone| gone.revoke());
    }

    /// Whether there is none but the one with the gateway's own token.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// A tenant by its name, where it may do anything still.
    pub(in crate::gateway) fn named(&self, name: &str, now: i64) -> Option<Arc<Tenant>> {
        if name == DEFAULT {
            return Some(Arc::clone(&self.default));
        }
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = lists.iter().flat_map(List::values);
        all.find(|tenant| &*tenant.name == name && !tenant.has_ended(now)).cloned()
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// 401, for a wrong token and for none.
    pub(in crate::gateway) fn who(
        &self,
        token: &Token,
        head: &Parts,
        seen: &Seen<'_>,
        now: i64,
    ) -> Result<Arc<Tenant>, Refusal> {
        let refusal = match token.check(head, seen) {
            Ok(()) => return Ok(Arc::clone(&self.default)),
            Err(refusal) => refusal,
        };
        if self.is_alone() {
            return Err(refusal);
        }
        let query = head.uri.query().unwrap_or_default();
        let sent = seen.credentials().map(std::borrow::Cow::Borrowed).chain(in_query(query));
        let mut any = false;
        for credential in sent.take(MOST_TRIED) {
            any = true;
            if let Some(tenant) = self.with_token(&credential, now) {
                return Ok(tenant);
            }
        }
        Err(if any { WRONG } else { refusal })
    }

    fn with_token(&self, token: &[u8], now: i64) -> Option<Arc<Tenant>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        // Where it is looked for depends on the hash alone, which nobody chooses byte by byte.
        let sought = Hash::Of(hash);
        let (kept, found) = lists.iter().find_map(|list| list.get_key_value(&sought))?;
        let Hash::Of(kept) = kept else { return None };
        let (kept, hash) = (kept.as_chunks::<8>().0, hash.as_chunks::<8>().0);
        // By words, as the one token is compared.
        let words =
            kept.iter().zip(hash).map(|(kept, hash)| u64::from_ne_bytes(*kept).ct_eq(&u64::from_ne_bytes(*hash)));
        let same: bool = words.fold(Choice::from(1), |same, word| same & word).into();
        (same && !found.has_ended(now)).then(|| Arc::clone(found))
    }
}

/// Credentials of one request that are tried.
const MOST_TRIED: usize = 4;

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::gateway::admit::capability::hash_of;

    fn grant(name: &str, token: &str) -> Grant {
        Grant { name: name.to_owned(), token_hash: hash_of(token.as_bytes()), ..Grant::default() }
    }

    fn who(tenants: &Tenants, sent: &str, now: i64) -> Result<String, StatusCode> {
        let head = Request::get("/v1").header("x-goog-api-key", sent).body(()).unwrap().into_parts().0;
        let found = tenants.who(&Token::new("the-token"), &head, &Seen::of(&head.headers), now);
        found.map(|tenant| tenant.name().to_string()).map_err(Refusal::status)
    }

    #[test]
    fn a_token_says_who_asks_until_it_ends_or_is_revoked() {
        let tenants = Tenants::default();
        assert!(tenants.is_alone());
        assert_eq!(who(&tenants, "the-token", 0).unwrap(), DEFAULT);
        let ending = Grant { expires: Some(100), ..grant("b", "token-b") };
        tenants.set(From::Commands, vec![grant("a", "token-a"), ending.clone()]);
        assert_eq!(who(&tenants, "token-a", 0).unwrap(), "a");
        assert_eq!(who(&tenants, "token-b", 99).unwrap(), "b");
        assert_eq!(who(&tenants, "token-b", 100).unwrap_err(), 401);
        assert_eq!(who(&tenants, "token-c", 0).unwrap_err(), 401);
        assert_eq!(who(&tenants, &hash_of(b"token-a"), 0).unwrap_err(), 401, "a hash is no token");
        assert_eq!(who(&tenants, "the-token", 0).unwrap(), DEFAULT);
        let a = tenants.named("a", 0).unwrap();
        let gone = a.gone();
        tenants.set(From::Commands, vec![ending]);
        assert!(*gone.borrow());
        assert_eq!(who(&tenants, "token-a", 0).unwrap_err(), 401);
        assert!(tenants.named("a", 0).is_none() && tenants.named("b", 0).is_some());
        assert!(!tenants.is_alone());
        tenants.set(From::Commands, Vec::new());
        assert!(tenants.is_alone());
    }

    #[test]
    fn models_are_named_or_begin_so() {
        let restricted = Tenant::of(Grant { models: vec!["gemini-2.5-*".into(), "x".into()], ..Grant::default() });
        for (model, may) in
            [("gemini-2.5-flash", true), ("models/gemini-2.5-pro", true), ("x", true), ("xy", false), ("", false)]
        {
            assert_eq!(restricted.may_use(model), may, "{model}");
        }
        assert!(Tenant::of(Grant::default()).may_use("anything"));
    }

    #[test]
    fn who_is_called_like_somebody_configured_has_the_stricter_limits() {
        let tenants = Tenants::default();
        let limited = |name: &str, token: &str, rpd, tpm| {
            let limits = TenantLimits { tpm, rpd, ..TenantLimits::default() };
            Grant { limits, ..grant(name, token) }
        };
        let limits = || tenants.with_token(b"token-2", 0).unwrap().grant().limits;
        tenants.set(From::Commands, vec![limited("dan", "token-2", Some(9), Some(5)), grant("ann", "token-3")]);
        assert_eq!((limits().rpd, limits().tpm), (Some(9), Some(5)));
        tenants.set(From::Configuration, vec![limited("dan", "token-1", Some(3), Some(7))]);
        assert_eq!((limits().rpd, limits().tpm), (Some(3), Some(5)));
        assert_eq!(tenants.with_token(b"token-3", 0).unwrap().grant().limits, TenantLimits::default());
        tenants.set(From::Configuration, Vec::new());
        assert_eq!(limits().rpd, Some(9));
    }
}
