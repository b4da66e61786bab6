//! Tokens that a tenant's requests are expected to cost, from when they are let in until what they cost is booked: who sends many
//! at once is over its limit with the first of them, and not with the last.
//!
//! Of this process: what others let in is heard of when it has ended.

use std::sync::{Arc, Mutex, PoisonError};

use http::{StatusCode, request::Parts};
use http_body::SizeHint;

use super::{
    budget::{AllHeld, Budgets, Limit, NotNow},
    held::Held,
    kinds::KINDS,
    tenant::Tenant,
};
use crate::gateway::dialect::Refusal;

/// What is refused while others are under way: one of them may end at any moment.
pub(in crate::gateway) const RESERVED: Refusal = Refusal::new(
    StatusCode::TOO_MANY_REQUESTS,
    "this token's requests under way may use all the tokens that it has left: ask again when one has ended",
);

/// Bytes of a body that come to a token of text, about.
const BYTES_PER_TOKEN: u64 = 4;
/// More is not made of a body before anything is known of what a tenant's requests cost: it may be an image.
const MOST_GUESSED: u64 = 1_000;
/// What requests cost changes what is expected by this part of the difference.
const RECENT: u64 = 8;

/// How much of a request's body may cost tokens: nothing of one that is no question to a model.
pub(in crate::gateway) fn charged(parts: &Parts, body: &SizeHint) -> u64 {
    const FREE: [&str; 9] = [
        ":countTokens",
        ":computeTokens",
        "/count_tokens",
        "/input_tokens",
        ":cancel",
        "/cancel",
        "/files",
        "/uploads",
        "/cachedContents",
    ];
    let path = parts.uri.path().trim_end_matches('/');
    let is_free = path.contains("/upload/") || FREE.iter().any(|end| path.ends_with(end));
    if is_free { 0 } else { body.exact().unwrap_or(1) }
}

/// What a request is expected to cost, until it is dropped.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Reserved(Option<Expected>);

impl Reserved {
    /// Its end, for whoever has at hand what is held of its tenant.
    pub(super) fn end_in(mut self, held: &mut [Held; KINDS.len()]) {
        if let Some(expected) = &mut self.0 {
            take_back(held, std::mem::take(&mut expected.tokens));
        }
    }
}

#[derive(Debug)]
struct Expected {
    held: Arc<Mutex<AllHeld>>,
    tenant: Arc<str>,
    tokens: u64,
}

impl Held {
    /// Whether what is expected of the requests under way is all that is left, as far as is known here.
    fn is_reserved(&self, most: u64) -> bool {
        self.reserved > 0 && self.all.saturating_add(self.unwritten).saturating_add(self.reserved) >= most
    }

    /// An answer has cost so much.
    pub(super) fn learn(&mut self, cost: u64) {
        let usual = self.usual.unwrap_or(cost);
        self.usual =
            Some(if cost > usual { usual + (cost - usual).div_ceil(RECENT) } else { usual - (usual - cost) / RECENT });
    }
}

impl Budgets {
    /// Reserves what a request with a body of so many bytes that may cost something is expected to cost.
    pub(super) fn reserve(
        &self,
        held: &mut [Held; KINDS.len()],
        (tenant, bytes): (&Tenant, u64),
        limits: impl Iterator<Item = Limit> + Clone,
        now: i64,
    ) -> Result<Reserved, NotNow> {
        // What has no body, as a list, costs none.
        if bytes == 0 || !tenant.grant().limits.counts_tokens() {
            return Ok(Reserved::default());
        }
        let limits = limits.filter(|(at, _)| KINDS[*at].tokens);
        let mut usual = None;
        for (at, most) in limits.clone() {
            let held = held[at].in_window(KINDS[at].window(now));
            if held.is_reserved(most) {
                return Err(NotNow::Reserved);
            }
            usual = usual.max(held.usual);
        }
        let tokens = usual.unwrap_or_else(|| bytes.div_ceil(BYTES_PER_TOKEN).min(MOST_GUESSED));
        for (at, _) in limits {
            held[at].reserved = held[at].reserved.saturating_add(tokens);
        }
        Ok(Reserved(Some(Expected { held: Arc::clone(&self.held), tenant: Arc::clone(tenant.name()), tokens })))
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if self.tokens == 0 {
            return;
        }
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&*self.tenant) {
            take_back(held, self.tokens);
        }
    }
}

fn take_back(held: &mut [Held; KINDS.len()], tokens: u64) {
    for held in held {
        held.reserved = held.reserved.saturating_sub(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::admit::tenant::{Grant, TenantLimits};

    const MINUTE: i64 = 60_000;

    fn tenant(limits: TenantLimits) -> Tenant {
        Tenant::of(Grant { name: "acme".to_owned(), limits, ..Grant::default() })
    }

    async fn let_in(budgets: &Budgets, tenant: &Tenant, bytes: u64, now: i64) -> Option<Reserved> {
        if let Some(reserved) = budgets.admit_at_once((tenant, bytes), now) {
            return Some(reserved);
        }
        budgets.admit((tenant, bytes), now).await.ok()
    }

    #[tokio::test]
    async fn as_many_at_once_as_the_tokens_allow() {
        let budgets = Budgets::new(crate::database::Records::default());
        let tenant =
            tenant(TenantLimits { tpm: Some(100), tpd: Some(1_000), rpm: Some(1_000), ..TenantLimits::default() });
        // Of ten tokens each, as it looks.
        let mut under_way = Vec::new();
        for _ in 0..40 {
            under_way.extend(let_in(&budgets, &tenant, 40, 0).await);
        }
        assert_eq!(under_way.len(), 10);
        let why = budgets.admit((&tenant, 40), 0).await.unwrap_err();
        assert!(matches!(why, NotNow::Reserved), "{why:?}");
        // Cheaper than they looked, and one failed: there is room for others.
        for reserved in under_way.drain(..9) {
            budgets.conclude(&tenant, reserved, Some(5), 0);
        }
        assert_eq!(budgets.held()["acme"].map(|held| held.reserved), [0, 0, 10, 10], "that of the tenth");
        under_way.clear();
        for _ in 0..40 {
            under_way.extend(let_in(&budgets, &tenant, 40, 0).await);
        }
        assert_eq!(under_way.len(), 11, "55 are left, of five each");
        // What is under way at the end of a minute is so in the next one; what it costs counts there.
        for _ in 0..40 {
            under_way.extend(let_in(&budgets, &tenant, 40, MINUTE).await);
        }
        assert_eq!(under_way.len(), 20);
        for _ in &under_way {
            budgets.spend(&tenant, Some(5), MINUTE);
        }
        drop(under_way);
        let why = budgets.admit((&tenant, 40), MINUTE).await.unwrap_err();
        assert!(matches!(why, NotNow::Spent(_)), "{why:?}");
        assert!(let_in(&budgets, &tenant, 40, 2 * MINUTE).await.is_some());
    }

    #[test]
    fn what_asks_no_model_costs_nothing() {
        let charged = |path: &str, length: Option<u64>| {
            let (parts, ()) = http::Request::post(path).body(()).unwrap().into_parts();
            let hint = length.map_or_else(SizeHint::new, SizeHint::with_exact);
            super::charged(&parts, &hint)
        };
        for path in [
            "/v1beta/models/m:countTokens",
            "/v1/messages/count_tokens",
            "/upload/v1beta/files",
            "/gemini/v1beta/cachedContents/",
        ] {
            assert_eq!(charged(path, Some(90)), 0, "{path}");
        }
        for path in ["/v1beta/models/m:generateContent", "/v1/messages", "/v1/chat/completions"] {
            assert_eq!((charged(path, Some(90)), charged(path, None), charged(path, Some(0))), (90, 1, 0), "{path}");
        }
    }

    #[tokio::test]
    async fn one_goes_out_however_much_it_may_cost_and_what_costs_nothing_does_beside_it() {
        let budgets = Budgets::new(crate::database::Records::default());
        let tenant = tenant(TenantLimits { tpm: Some(2), ..TenantLimits::default() });
        let first = let_in(&budgets, &tenant, 400_000, 0).await.expect("nothing is used");
        assert!(let_in(&budgets, &tenant, 40, 0).await.is_none());
        assert!(let_in(&budgets, &tenant, 0, 0).await.is_some());
        drop(first);
        let none = let_in(&budgets, &tenant, 0, 0).await.expect("nobody is under way");
        let other = let_in(&budgets, &tenant, 40, 0).await.expect("a list reserves nothing");
        drop((none, other));
        assert_eq!(budgets.held()["acme"].map(|held| held.reserved), [0; 4]);
    }
}
