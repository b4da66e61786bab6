//! Whom a socket costs something: its opening is a request, and what each answer over it cost is booked as it comes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tower_keypool::Clock;

use super::{
    Gateway,
    budget::Budgets,
    dialect::Dialect,
    moment::unix_ms,
    tenant::{Tenant, TenantLimits},
};
use crate::database::used::{Use, Used};

/// A tenant's, or nobody's: who is alone is not counted.
#[derive(Clone, Debug)]
pub(super) struct Account(Option<Books>);

#[derive(Clone, Debug)]
struct Books {
    tenant: Arc<Tenant>,
    budgets: Budgets,
    used: Used,
    clock: Clock,
}

impl Account {
    /// A socket was opened, or was not.
    pub(super) fn opened(&self, model: Option<&str>, good: bool) {
        self.book(model, Use { requests: 1, failed: u64::from(!good), ..Use::default() });
    }

    fn book(&self, model: Option<&str>, cost: Use) {
        let Some(Books { tenant, budgets, used, clock }) = &self.0 else { return };
        let now = unix_ms(clock);
        let tokens = cost.input_tokens.saturating_add(cost.output_tokens);
        budgets.spend(tenant, (tokens > 0).then_some(tokens), now);
        used.book(tenant.name(), model.unwrap_or_default(), &cost, now);
    }
}

/// An opening, which counts once: as good when its first answer is there, else when it ends. What callers make up as a
/// model is confirmed by nobody before that.
#[derive(Debug)]
pub(super) struct Entry {
    account: Account,
    good: AtomicBool,
}

impl Entry {
    pub(super) fn of(account: Account) -> Self {
        Self { account, good: AtomicBool::new(false) }
    }

    /// An answer is there.
    pub(super) fn is_good(&self, model: Option<&str>) {
        if !self.good.swap(true, Ordering::Relaxed) {
            self.account.opened(model, true);
        }
    }

    /// An answer cost so many tokens.
    pub(super) fn cost(&self, model: Option<&str>, input_tokens: u64, output_tokens: u64) {
        self.account.book(model, Use { input_tokens, output_tokens, ..Use::default() });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !*self.good.get_mut() {
            self.account.opened(None, false);
        }
    }
}

impl<S> Gateway<S> {
    /// Where a socket of this tenant's is booked.
    ///
    /// # Errors
    /// The answer where its limits let no more in.
    pub(super) async fn account(
        &self,
        tenant: &Arc<Tenant>,
        dialect: Dialect,
    ) -> Result<Account, Response<Full<Bytes>>> {
        let limited = tenant.grant().limits != TenantLimits::default();
        if !limited && tenant.is_default() {
            return Ok(Account(None));
        }
        if limited {
            self.within_limits(tenant, dialect).await?;
        }
        let (budgets, used, clock) = (self.budgets.clone(), self.used.clone(), self.clock.clone());
        Ok(Account(Some(Books { tenant: Arc::clone(tenant), budgets, used, clock })))
    }
}
