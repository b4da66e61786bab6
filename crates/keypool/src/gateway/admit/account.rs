//! Whom a socket costs something: its opening is a request, and what each answer over it cost is booked as it comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::time::sleep;
use tower_keypool::{Clock, Meter};

use super::{
    budget::Budgets,
    reserved::Reserved,
    tenant::{ENDED, Tenant},
};
use crate::{
    database::used::{Use, Used},
    gateway::{dialect::Refusal, unix_time::unix_ms},
    status::Gone,
};

/// How often it is asked whether a tenant may still go on.
const LOOK: Duration = Duration::from_millis(500);

const REVOKED: Refusal =
    Refusal::new(StatusCode::FORBIDDEN, "this token was revoked, or what it may was changed: begin anew");

/// Where it is counted what tenants use. Shared by all requests under way, behind one pointer.
#[derive(Debug)]
pub(in crate::gateway) struct Books {
    pub(in crate::gateway) budgets: Budgets,
    pub(in crate::gateway) used: Used,
    pub(in crate::gateway) clock: Clock,
}

impl Books {
    /// A request has gone, of which `meter` heard what it cost.
    pub(in crate::gateway) fn close(&self, tenant: &Tenant, meter: &Meter, reserved: Reserved, gone: &Gone) {
        let now = unix_ms(&self.clock);
        if gone.good || gone.left {
            // What answers do not say, as those for vectors, counts as it did with the key; so does what nobody waited
            // for: the provider has it.
            meter.settle();
        }
        self.budgets.conclude(tenant, reserved, meter.tokens(), now);
        let (input_tokens, output_tokens) = meter.parts().unwrap_or_default();
        let cost = Use { requests: 1, failed: u64::from(!gone.good), input_tokens, output_tokens };
        self.used.book(tenant.name(), (gone.model.as_deref().unwrap_or_default(), gone.served), &cost, now);
    }
}

/// A tenant's, or nobody's: who is alone is not counted.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Account(Option<(Arc<Tenant>, Arc<Books>)>);

impl Account {
    /// Nobody's.
    pub(in crate::gateway) fn nobodys() -> Self {
        Self(None)
    }

    /// This tenant's.
    pub(in crate::gateway) fn of(tenant: Arc<Tenant>, books: Arc<Books>) -> Self {
        Self(Some((tenant, books)))
    }

    /// A socket was opened, or was not.
    pub(in crate::gateway) fn opened(&self, model: Option<&str>, good: bool) {
        self.book(model, Use { requests: 1, failed: u64::from(!good), ..Use::default() });
    }

    /// Until its tenant may go on no more: it is revoked or has ended, or its tokens are used up, here or elsewhere.
    pub(in crate::gateway) async fn over(&self, tenant: &Tenant) -> Refusal {
        let mut gone = tenant.gone();
        tokio::select! {
            _ = gone.wait_for(|gone| *gone) => REVOKED,
            why = self.ended() => why,
        }
    }

    async fn ended(&self) -> Refusal {
        let Some((tenant, books)) = &self.0 else { return std::future::pending().await };
        if tenant.grant().expires.is_none() && !tenant.grant().limits.counts_tokens() {
            return std::future::pending().await;
        }
        loop {
            let now = unix_ms(&books.clock);
            if tenant.has_ended(now) {
                return ENDED;
            }
            if let Some(spent) = books.budgets.used_up(tenant, now).await {
                return spent.refusal();
            }
            sleep(LOOK).await;
        }
    }

    fn book(&self, model: Option<&str>, cost: Use) {
        let Some((tenant, books)) = &self.0 else { return };
        let now = unix_ms(&books.clock);
        let tokens = cost.input_tokens.saturating_add(cost.output_tokens);
        books.budgets.spend(tenant, (tokens > 0).then_some(tokens), now);
        books.used.book(tenant.name(), (model.unwrap_or_default(), cost.failed == 0), &cost, now);
    }
}

/// An opening, which counts once: as good when its first answer is there, else when it ends. What callers make up as a
/// model is confirmed by nobody before that.
#[derive(Debug)]
pub(in crate::gateway) struct Entry {
    account: Account,
    good: AtomicBool,
}

impl Entry {
    pub(in crate::gateway) fn of(account: Account) -> Self {
        Self { account, good: AtomicBool::new(false) }
    }

    /// An answer is there.
    pub(in crate::gateway) fn is_good(&self, model: Option<&str>) {
        if !self.good.swap(true, Ordering::Relaxed) {
            self.account.opened(model, true);
        }
    }

    /// An answer cost so many tokens.
    pub(in crate::gateway) fn cost(&self, model: Option<&str>, input_tokens: u64, output_tokens: u64) {
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
