//! What tenants have used of what they may: over all processes that share a database.
//!
//! What is used is drawn from a count that all share, some at a time, so that most requests ask nobody. What was drawn and
//! not used is lost with its minute or day: a sixty-fourth of a limit of requests at most for each process, a sixteenth
//! of one of tokens. Tokens are known when an answer ends: who is over lets nothing more in until the window ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use http::{Response, StatusCode};
use http_body_util::Full;
use tower_keypool::store::{Draw, Ledger, StoreError};

use super::tenant::{Tenant, TenantLimits};
use crate::{
    database::Records,
    gateway::dialect::{Dialect, Refusal},
};

/// What tenants drew and have not used. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Budgets {
    records: Records,
    drawn: Arc<Mutex<AllDrawn>>,
}

/// By tenant, and by the place of the limit.
type AllDrawn = HashMap<Arc<str>, [Drawn; 4]>;

#[derive(Clone, Copy, Debug)]
struct Drawn {
    /// Which minute or day it is of.
    window: i64,
    /// Below zero: used, and not drawn yet.
    left: i64,
}

impl Default for Drawn {
    /// Of no time.
    fn default() -> Self {
        Self { window: i64::MIN, left: 0 }
    }
}

/// What a tenant drew.
fn of<'d>(all: &'d mut AllDrawn, tenant: &Tenant) -> &'d mut [Drawn; 4] {
    all.entry(Arc::clone(tenant.name())).or_default()
}

/// A limit: its place, its amount, the length of its window, and whether it counts tokens.
type Limit = (usize, &'static str, u64, i64, bool);

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn limits_of(limits: &TenantLimits) -> impl Iterator<Item = Limit> {
    let all = [
        (0, "rpm", limits.rpm, MINUTE, false),
        (1, "rpd", limits.rpd, DAY, false),
        (2, "tpm", limits.tpm, MINUTE, true),
        (3, "tpd", limits.tpd, DAY, true),
    ];
    all.into_iter().filter_map(|(place, name, amount, span, tokens)| Some((place, name, amount?, span, tokens)))
}

/// A tenant has used what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Spent {
    /// Seconds until there is more.
    after: i64,
    tokens: bool,
    day: bool,
}

/// Why a request was not let in.
#[derive(Debug)]
pub(in crate::gateway) enum NotNow {
    /// It would be over a limit.
    Spent(Spent),
    /// Nobody can tell.
    Unknown(StoreError),
}

impl Spent {
    /// What is refused.
    pub(in crate::gateway) fn refusal(self) -> Refusal {
        let message = match (self.tokens, self.day) {
            (false, false) => "this token has used its requests of this minute",
            (false, true) => "this token has used its requests of this day",
            (true, false) => "this token has used its tokens of this minute",
            (true, true) => "this token has used its tokens of this day",
        };
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, message)
    }

    /// The answer that says so.
    pub(in crate::gateway) fn answer(self, dialect: Dialect) -> Response<Full<bytes::Bytes>> {
        dialect.answer_until(self.refusal(), self.after.max(0).unsigned_abs())
    }
}

impl Budgets {
    pub(in crate::gateway) fn new(records: Records) -> Self {
        Self { records, drawn: Arc::default() }
    }

    fn drawn(&self) -> MutexGuard<'_, AllDrawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request in, which counts.
    pub(in crate::gateway) async fn admit(&self, tenant: &Tenant, now: i64) -> Result<(), NotNow> {
        let mut counted = Vec::new();
        for limit in limits_of(&tenant.grant().limits) {
            let let_in = self.one(tenant, limit, now).await;
            match let_in {
                Ok(()) => counted.push(limit),
                Err(why) => {
                    for (place, ..) in counted.into_iter().filter(|(.., tokens)| !tokens) {
                        of(&mut self.drawn(), tenant)[place].left += 1;
                    }
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    async fn one(&self, tenant: &Tenant, limit: Limit, now: i64) -> Result<(), NotNow> {
        let (place, name, most, span, tokens) = limit;
        let window = now.div_euclid(span);
        let until = (window + 1) * span;
        let mut asked = false;
        loop {
            let want = {
                let mut all = self.drawn();
                let drawn = &mut of(&mut all, tenant)[place];
                if drawn.window != window {
                    *drawn = Drawn { window, left: 0 };
                }
                if drawn.left > 0 {
                    drawn.left -= i64::from(!tokens);
                    return Ok(());
                }
                let some = if tokens { most / 16 } else { (most / 64).min(1024) };
                some.max(1) + drawn.left.unsigned_abs()
            };
            let spent = Spent { after: (until - now + 999) / 1000, tokens, day: span == DAY };
            if asked {
                return Err(NotNow::Spent(spent));
            }
            let name = format!("{}\n{name}\n{window}", tenant.name());
            let granted = self.records.draw(&name, Draw { want, most, until, now }).await.map_err(NotNow::Unknown)?;
            let mut all = self.drawn();
            let drawn = &mut of(&mut all, tenant)[place];
            if drawn.window == window {
                drawn.left = drawn.left.saturating_add(i64::try_from(granted).unwrap_or(i64::MAX));
            }
            // What others took meanwhile is asked for once more, unless there is none.
            asked = granted < want;
        }
    }

    /// Whether its tokens are used up; what nothing was drawn of in this minute or on this day is not looked at. Who
    /// cannot tell lets go on what was let in.
    pub(in crate::gateway) async fn used_up(&self, tenant: &Tenant, now: i64) -> Option<Spent> {
        for limit in limits_of(&tenant.grant().limits).filter(|(.., tokens)| *tokens) {
            let (place, _, _, span, _) = limit;
            let drawn = of(&mut self.drawn(), tenant)[place];
            let is_empty = drawn.window == now.div_euclid(span) && drawn.left <= 0;
            if is_empty && let Err(NotNow::Spent(spent)) = self.one(tenant, limit, now).await {
                return Some(spent);
            }
        }
        None
    }

    /// An answer has ended: what it cost counts, in tokens.
    pub(in crate::gateway) fn spend(&self, tenant: &Tenant, tokens: Option<u64>, now: i64) {
        let Some(cost) = tokens.and_then(|tokens| i64::try_from(tokens).ok()) else { return };
        let mut all = self.drawn();
        let all = of(&mut all, tenant);
        for (place, _, _, span, _) in limits_of(&tenant.grant().limits).filter(|(.., tokens)| *tokens) {
            let (drawn, window) = (&mut all[place], now.div_euclid(span));
            if drawn.window != window {
                *drawn = Drawn { window, left: 0 };
            }
            drawn.left = drawn.left.saturating_sub(cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tenant::Grant;

    fn tenant(limits: TenantLimits) -> Tenant {
        Tenant::of(Grant { name: "acme".to_owned(), limits, ..Grant::default() })
    }

    async fn let_in(budgets: &[Budgets], tenant: &Tenant, now: i64, tries: usize) -> usize {
        let mut fine = 0;
        for at in 0..tries {
            fine += usize::from(budgets[at % budgets.len()].admit(tenant, now).await.is_ok());
        }
        fine
    }

    #[tokio::test]
    async fn processes_count_together() {
        for rpm in [1, 10, 63, 64, 1_000] {
            let records = Records::default();
            let budgets = [(); 3].map(|()| Budgets::new(records.clone()));
            let tenant = tenant(TenantLimits { rpm: Some(rpm), ..TenantLimits::default() });
            assert_eq!(let_in(&budgets, &tenant, 5, 3_000).await as u64, rpm);
            assert_eq!(let_in(&budgets, &tenant, MINUTE, 3_000).await as u64, rpm, "another minute");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_refused_for_the_day_does_not_count_in_the_minute() {
        let budgets = [Budgets::new(Records::default())];
        let tenant = tenant(TenantLimits { rpm: Some(10), rpd: Some(3), ..TenantLimits::default() });
        assert_eq!(let_in(&budgets, &tenant, 0, 20).await, 3);
        let why = budgets[0].admit(&tenant, 1_500).await.unwrap_err();
        let NotNow::Spent(spent) = why else { panic!("{why:?}") };
        assert_eq!(spent, Spent { after: 86_399, tokens: false, day: true });
        let answer = spent.answer(Dialect::Gemini);
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"86399".parse().unwrap()));
    }

    #[tokio::test]
    async fn tokens_are_paid_when_they_are_known_by_whoever_comes_next() {
        let records = Records::default();
        let (one, other) = (Budgets::new(records.clone()), Budgets::new(records));
        let tenant = tenant(TenantLimits { tpm: Some(1_000), ..TenantLimits::default() });
        let lease = |tokens| {
            let pool = tower_keypool::KeyPool::builder(tower_keypool::Gemini::new())
                .key(tower_keypool::Key::new("AIza-not-a-real-key-000"))
                .build()
                .unwrap();
            let meter = Arc::new(tower_keypool::Meter::default());
            let demand = tower_keypool::Demand::any_model().metered(Arc::clone(&meter));
            let mut usage = tower_keypool::Usage::default();
            usage.input_tokens = Some(tokens);
            pool.try_acquire(demand).unwrap().usage(usage);
            meter
        };
        one.admit(&tenant, 0).await.unwrap();
        one.spend(&tenant, lease(900).tokens(), 1_000);
        // The next one draws what was used.
        one.admit(&tenant, 2_000).await.unwrap();
        one.spend(&tenant, lease(200).tokens(), 3_000);
        assert!(one.admit(&tenant, 4_000).await.is_err());
        assert!(other.admit(&tenant, 4_000).await.is_err(), "another process knows");
        other.admit(&tenant, MINUTE).await.unwrap();
    }
}
