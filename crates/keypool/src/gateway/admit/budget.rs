//! What tenants have used of what they may: over all processes that share a database.
//!
//! Requests are drawn from a count that all share, some at a time, so that most of them ask nobody; what was drawn and is
//! not used goes back after some seconds, and at the end of the process. Tokens are known when an answer ends: what it
//! cost is written at once, or with others' within a quarter of a second, and whoever lets a request in has heard within the
//! last second what all used. Who is over lets nothing more in until the window ends. A caller that goes on all the same costs
//! the store nothing: requests, which others may give back, are asked for once a second, and tokens that are used up no more.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::{HashMap, hash_map::EntryRef};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Notify;
use tower_keypool::{
    Clock,
    store::{Count, Draw, Ledger, StoreError},
};

use super::{
    held::{Held, PATIENCE},
    kinds::{KINDS, Kind},
    reserved::Reserved,
    tenant::{Tenant, TenantLimits},
    told::CHECK,
};
use crate::{
    database::Records,
    gateway::{
        dialect::{Dialect, Refusal},
        unix_time::unix_ms,
    },
};

/// Requests that were drawn go back when none was used for so long.
const IDLE: i64 = 5_000;
/// Between two writes.
const ROUND: Duration = Duration::from_millis(250);
/// How often it is asked what lies idle.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries of the last write.
const AGAIN: Duration = Duration::from_millis(100);

/// What tenants use, as this process knows it. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Budgets {
    pub(super) records: Records,
    pub(super) held: Arc<Mutex<AllHeld>>,
    /// There is something to be written.
    pub(super) news: Arc<Notify>,
    /// When the store knows again what it lost, in Unix milliseconds.
    pub(super) settles: Arc<Mutex<i64>>,
    /// What no other process is called.
    pub(super) me: Arc<str>,
}

/// By tenants, for each of [`KINDS`]; of a limit that a tenant does not have, nothing.
pub(super) type AllHeld = HashMap<Arc<str>, [Held; KINDS.len()]>;

/// A limit: which, and its amount.
pub(super) type Limit = (usize, u64);

/// What is held of a tenant's limits.
pub(super) fn of<'a>(all: &'a mut AllHeld, tenant: &Tenant) -> &'a mut [Held; KINDS.len()] {
    match all.entry_ref(&**tenant.name()) {
        EntryRef::Occupied(held) => held.into_mut(),
        EntryRef::Vacant(place) => place.insert_with_key(Arc::clone(tenant.name()), <_>::default()),
    }
}

fn limits_of(limits: &TenantLimits) -> impl Iterator<Item = Limit> + Clone {
    let all = [limits.rpm, limits.rpd, limits.tpm, limits.tpd];
    all.into_iter().enumerate().filter_map(|(at, amount)| Some((at, amount?)))
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
    /// It may be, by what requests cost that are under way: for as long as they are.
    Reserved,
    /// Nobody can tell.
    Unknown(StoreError),
}

impl Spent {
    fn of(kind: &Kind, now: i64) -> Self {
        Self { after: (kind.ends(now) - now + 999) / 1000, tokens: kind.tokens, day: kind.is_of_day() }
    }

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
        let me = super::told::name();
        Self { records, held: Arc::default(), news: Arc::default(), settles: Arc::default(), me }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, AllHeld> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request in with a body of so many bytes, which counts, by what is known here already: nearly all come in so.
    /// `None`: it did not count, and [`admit`](Self::admit) asks whoever knows.
    pub(in crate::gateway) fn admit_at_once(&self, (tenant, bytes): (&Tenant, u64), now: i64) -> Option<Reserved> {
        let mut all = self.held();
        let held = all.get_mut(&**tenant.name())?;
        let limits = || limits_of(&tenant.grant().limits);
        let fine = limits().all(|(at, most)| {
            let (kind, held) = (&KINDS[at], &held[at]);
            let is_left = if kind.tokens { held.knows(most, now) == Some(false) } else { held.left > 0 };
            is_left && held.window == kind.window(now)
        });
        if !fine {
            return None;
        }
        let reserved = self.reserve(held, (tenant, bytes), limits(), now).ok()?;
        for (at, _) in limits().filter(|(at, _)| !KINDS[*at].tokens) {
            (held[at].left, held[at].used) = (held[at].left - 1, now);
        }
        Some(reserved)
    }

    /// Lets a request in with a body of so many bytes, which counts.
    pub(in crate::gateway) async fn admit(
        &self,
        (tenant, bytes): (&Tenant, u64),
        now: i64,
    ) -> Result<Reserved, NotNow> {
        let mut counted = Vec::new();
        for limit in limits_of(&tenant.grant().limits) {
            let (at, _) = limit;
            let let_in = if KINDS[at].tokens {
                self.within(tenant, limit, now).await
            } else {
                self.take(tenant, limit, now).await
            };
            if let Err(why) = let_in {
                self.untake(tenant, &counted, now);
                return Err(why);
            }
            if !KINDS[at].tokens {
                counted.push(at);
            }
        }
        let reserved =
            self.reserve(of(&mut self.held(), tenant), (tenant, bytes), limits_of(&tenant.grant().limits), now);
        if reserved.is_err() {
            self.untake(tenant, &counted, now);
        }
        reserved
    }

    fn untake(&self, tenant: &Tenant, counted: &[usize], now: i64) {
        for at in counted {
            if let Some(held) = self.held().get_mut(&**tenant.name()) {
                held[*at].in_window(KINDS[*at].window(now)).left += 1;
            }
        }
    }

    /// Takes a request of what was drawn, or draws.
    async fn take(&self, tenant: &Tenant, (at, most): Limit, now: i64) -> Result<(), NotNow> {
        let kind = &KINDS[at];
        let want = (most / 64).clamp(1, 1024);
        let mut asked = false;
        loop {
            {
                let mut all = self.held();
                let held = of(&mut all, tenant)[at].in_window(kind.window(now));
                if held.left > 0 {
                    (held.left, held.used) = (held.left - 1, now);
                    return Ok(());
                }
                asked |= held.has_none(now);
            }
            if asked {
                return Err(NotNow::Spent(Spent::of(kind, now)));
            }
            self.has_lost_none(tenant, at, now).await.map_err(NotNow::Unknown)?;
            self.settle(now).await.map_err(NotNow::Unknown)?;
            let draw = Draw { want, most, until: kind.until(now), now };
            let granted = self.records.draw(&kind.count(tenant.name(), now), draw).await.map_err(NotNow::Unknown)?;
            let mut all = self.held();
            let held = &mut of(&mut all, tenant)[at];
            if held.window == kind.window(now) {
                (held.left, held.used) = (held.left + granted, now);
                held.told.untold += number(granted);
                held.none = (granted < want).then_some(now);
            }
            drop(all);
            self.news.notify_one();
            // What others took meanwhile is asked for once more, unless there is none.
            asked = granted < want;
        }
    }

    /// Whether there are tokens left.
    async fn within(&self, tenant: &Tenant, (at, most): Limit, now: i64) -> Result<(), NotNow> {
        let kind = &KINDS[at];
        let known = of(&mut self.held(), tenant)[at].in_window(kind.window(now)).is_over(most, now);
        let is_over = if let Some(is_over) = known {
            is_over
        } else {
            let count = Count { name: kind.count(tenant.name(), now), by: 0, until: kind.until(now) };
            let read = self.records.count(vec![count], now).await;
            let mut all = self.held();
            let held = of(&mut all, tenant)[at].in_window(kind.window(now));
            match read {
                Ok(sums) => held.hear(sums.first().copied().unwrap_or(0), now),
                Err(error) if held.heard.is_none_or(|heard| now - heard >= PATIENCE) => {
                    return Err(NotNow::Unknown(error));
                }
                Err(_) => {}
            }
            held.is_over(most, now).unwrap_or(true)
        };
        if is_over { Err(NotNow::Spent(Spent::of(kind, now))) } else { Ok(()) }
    }

    /// Whether its tokens are used up. Who cannot tell lets go on what was let in.
    pub(in crate::gateway) async fn used_up(&self, tenant: &Tenant, now: i64) -> Option<Spent> {
        for limit in limits_of(&tenant.grant().limits).filter(|(at, _)| KINDS[*at].tokens) {
            if let Err(NotNow::Spent(spent)) = self.within(tenant, limit, now).await {
                return Some(spent);
            }
        }
        None
    }

    /// An answer has ended: what it cost counts, in tokens.
    pub(in crate::gateway) fn spend(&self, tenant: &Tenant, tokens: Option<u64>, now: i64) {
        self.conclude(tenant, Reserved::default(), tokens, now);
    }

    /// The same of one that was let in: what was expected of it is not expected any more.
    pub(in crate::gateway) fn conclude(&self, tenant: &Tenant, reserved: Reserved, tokens: Option<u64>, now: i64) {
        let cost = tokens.unwrap_or_default();
        let limits = || limits_of(&tenant.grant().limits).filter(|(at, _)| KINDS[*at].tokens);
        if cost == 0 || limits().next().is_none() {
            return;
        }
        let mut all = self.held();
        let held = of(&mut all, tenant);
        reserved.end_in(held);
        for (at, _) in limits() {
            let held = held[at].in_window(KINDS[at].window(now));
            held.unwritten = held.unwritten.saturating_add(cost);
            held.learn(cost);
        }
        drop(all);
        self.news.notify_one();
    }

    /// Writes what answers cost as they end, and gives back what lies idle, until the task is aborted.
    pub(in crate::gateway) async fn keep(self, clock: Clock) {
        let mut checked = unix_ms(&clock);
        loop {
            let holds = self
                .held()
                .values()
                .flatten()
                .any(|held| held.left > 0 || held.unwritten > 0 || held.told.is_something());
            if holds {
                let _ = tokio::time::timeout(LOOK, self.news.notified()).await;
            } else {
                self.news.notified().await;
            }
            // The next round has what this one could not write.
            let now = unix_ms(&clock);
            let checks = (now - checked).abs() >= CHECK;
            if self.write(now, IDLE, checks).await.is_ok() && checks {
                checked = now;
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// Writes what is left before the process ends, and gives back all that it drew, for as long as that takes within
    /// `wait`.
    pub(in crate::gateway) async fn close(&self, clock: &Clock, wait: Duration) {
        let written = async {
            while self.write(unix_ms(clock), 0, false).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(wait, written).await.is_err() {
            tracing::warn!("what tenants used of their limits at last is not kept: the store did not take it");
        }
    }

    /// Writes what is new, and gives back the requests of limits of which none was used for so long. `checks`: it is looked
    /// whether the store still knows the rest.
    async fn write(&self, now: i64, idle: i64, checks: bool) -> Result<(), StoreError> {
        self.tell_again(now).await?;
        let (mut places, mut counts) = (Vec::new(), Vec::new());
        {
            let mut all = self.held();
            all.retain(|_, held| {
                let mut stays = false;
                for (held, kind) in held.iter_mut().zip(&KINDS) {
                    stays |= held.in_window(kind.window(now)).is_something();
                }
                stays
            });
            let each = all.iter_mut().flat_map(|(name, held)| held.iter_mut().enumerate().map(move |one| (name, one)));
            for (name, (at, held)) in each {
                let kind = &KINDS[at];
                let is_idle = held.left > 0 && (now - held.used).abs() >= idle;
                // What may have been given back is not used any more, also where nobody knows whether it was.
                let back = if is_idle { std::mem::take(&mut held.left) } else { 0 };
                let (back, written) = (number(back), number(held.unwritten));
                held.told.known -= back;
                let (untold, until) = (held.told.untold, kind.until(now));
                if back > 0 || written > 0 || untold > 0 || (checks && held.told.known > 0) {
                    counts.push(Count { name: kind.count(name, now), by: written - back, until });
                    let by = written + untold - back;
                    counts.push(Count { name: self.own_count(kind, name, now), by, until });
                    places.push((Arc::clone(name), at, (held.unwritten, untold), held.told));
                }
            }
        }
        if counts.is_empty() {
            return Ok(());
        }
        let sums = self.records.count(counts, now).await?;
        let mut lost = Vec::new();
        {
            let mut all = self.held();
            for ((name, at, (written, untold), before), sums) in places.into_iter().zip(sums.chunks(2)) {
                let window = KINDS[at].window(now);
                let held = all.get_mut(&name).map(|held| &mut held[at]).filter(|held| held.window == window);
                let (Some(held), [sum, own]) = (held, sums) else { continue };
                held.unwritten = held.unwritten.saturating_sub(written);
                held.hear(*sum, now);
                if held.told.heard(before, (number(written) + untold, untold), *own) {
                    lost.push(name);
                }
            }
        }
        match lost.first() {
            None => Ok(()),
            Some(tenant) => {
                self.lost(tenant, now);
                self.tell_again(now).await
            }
        }
    }
}

fn number(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        super::kinds::{DAY, MINUTE},
        *,
    };
    use crate::gateway::{admit::held::NEWS, tenant::Grant};

    fn tenant(limits: TenantLimits) -> Tenant {
        Tenant::of(Grant { name: "acme".to_owned(), limits, ..Grant::default() })
    }

    async fn let_in(budgets: &[Budgets], tenant: &Tenant, now: i64, tries: usize) -> usize {
        let mut fine = 0;
        for at in 0..tries {
            fine += usize::from(budgets[at % budgets.len()].admit((tenant, 0), now).await.is_ok());
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
    async fn what_is_known_here_lets_in_as_the_store_would() {
        let limits = TenantLimits { rpm: Some(640), rpd: Some(1_280), tpm: Some(100), ..TenantLimits::default() };
        let (budgets, tenant) = (Budgets::new(Records::default()), tenant(limits));
        assert!(budgets.admit_at_once((&tenant, 0), 0).is_none(), "nothing is known yet");
        budgets.admit((&tenant, 0), 0).await.unwrap();
        // Of ten and of twenty that were drawn.
        assert_eq!((0..30).filter(|_| budgets.admit_at_once((&tenant, 0), 1).is_some()).count(), 9);
        budgets.admit((&tenant, 0), 2).await.unwrap();
        assert!(budgets.admit_at_once((&tenant, 0), NEWS - 1).is_some());
        assert!(budgets.admit_at_once((&tenant, 0), NEWS).is_none(), "what all used was heard too long ago");
        budgets.admit((&tenant, 0), NEWS).await.unwrap();
        budgets.spend(&tenant, Some(100), NEWS);
        assert!(budgets.admit_at_once((&tenant, 0), NEWS).is_none(), "its tokens are used up");
        assert!(budgets.admit((&tenant, 0), NEWS).await.is_err());
        assert!(budgets.admit_at_once((&tenant, 0), MINUTE).is_none(), "another minute");
        assert_eq!(let_in(&[budgets], &tenant, 2 * MINUTE, 2_000).await, 640, "none was counted that was not let in");
    }

    #[tokio::test]
    async fn a_request_that_is_refused_for_the_day_does_not_count_in_the_minute() {
        let budgets = [Budgets::new(Records::default())];
        let tenant = tenant(TenantLimits { rpm: Some(10), rpd: Some(3), ..TenantLimits::default() });
        assert_eq!(let_in(&budgets, &tenant, 0, 20).await, 3);
        let why = budgets[0].admit((&tenant, 0), 1_500).await.unwrap_err();
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
        one.admit((&tenant, 0), 0).await.unwrap();
        one.spend(&tenant, lease(900).tokens(), 1_000);
        // The next one draws what was used.
        one.admit((&tenant, 0), 2_000).await.unwrap();
        one.spend(&tenant, lease(200).tokens(), 3_000);
        assert!(one.admit((&tenant, 0), 4_000).await.is_err());
        one.write(4_000, IDLE, false).await.unwrap();
        assert!(other.admit((&tenant, 0), 4_000).await.is_err(), "another process knows");
        other.admit((&tenant, 0), MINUTE).await.unwrap();
    }

    #[tokio::test]
    async fn what_answers_cost_counts_in_all_processes() {
        let records = Records::default();
        let budgets = [(); 4].map(|()| Budgets::new(records.clone()));
        let tenant = tenant(TenantLimits { tpm: Some(10), tpd: Some(25), ..TenantLimits::default() });
        let mut answered = Vec::new();
        for minute in 0..4 {
            for at in 0..8 {
                let (one, now) = (&budgets[at % 4], minute * MINUTE + i64::try_from(at).unwrap() * 1_100);
                if one.admit((&tenant, 0), now).await.is_ok() {
                    one.spend(&tenant, Some(10), now);
                    one.write(now, IDLE, false).await.unwrap();
                    answered.push((minute, at));
                }
            }
        }
        assert_eq!(answered, [(0, 0), (1, 0), (2, 0)], "one a minute, three a day");
    }

    #[tokio::test]
    async fn a_process_that_ends_leaves_its_debt_and_what_it_did_not_use() {
        let (records, clock) = (
            Records::default(),
            tower_keypool::ManualClock::at(std::time::UNIX_EPOCH + Duration::from_hours(24 * 20_000)).clock(),
        );
        let now = unix_ms(&clock);
        let limits = TenantLimits { rpd: Some(640), tpd: Some(6_400), ..TenantLimits::default() };
        let tenant = tenant(limits);
        let mut answered = 0;
        for _ in 0..700 {
            let life = Budgets::new(records.clone());
            if life.admit((&tenant, 0), now).await.is_ok() {
                life.spend(&tenant, Some(10), now);
                answered += 1;
            }
            life.close(&clock, Duration::from_secs(5)).await;
        }
        assert_eq!(answered, 640);
    }

    #[tokio::test]
    async fn who_is_over_is_refused_without_the_store() {
        let records = Records::default();
        let (one, other) = (Budgets::new(records.clone()), Budgets::new(records.clone()));
        let tenant = tenant(TenantLimits { rpd: Some(128), ..TenantLimits::default() });
        other.admit((&tenant, 0), 0).await.unwrap();
        assert_eq!(let_in(std::slice::from_ref(&one), &tenant, 0, 200).await, 126);
        other.write(0, 0, false).await.unwrap();
        assert!(one.admit((&tenant, 0), NEWS - 1).await.is_err(), "it was said a moment ago that there are none");
        one.admit((&tenant, 0), NEWS).await.unwrap();
        // The last of them is the other's again.
        assert_eq!(let_in(&[one, other], &tenant, 2 * NEWS, 200).await, 0);
    }

    #[tokio::test]
    async fn tokens_that_are_used_up_are_not_asked_for_with_each_request() {
        let one = Budgets::new(Records::default());
        let tenant = tenant(TenantLimits { tpd: Some(10), ..TenantLimits::default() });
        one.admit((&tenant, 0), 0).await.unwrap();
        one.spend(&tenant, Some(10), 0);
        one.write(0, IDLE, false).await.unwrap();
        for now in [1, 5 * NEWS, 5 * PATIENCE] {
            assert!(one.admit((&tenant, 0), now).await.is_err());
        }
        assert!(one.held().values().flatten().all(|held| held.asked == 0), "the store was asked again");
        one.admit((&tenant, 0), DAY).await.unwrap();
    }

    /// What a server forgets that is flushed.
    async fn forget(records: &Records, budgets: &[Budgets], tenant: &Tenant, now: i64) {
        for kind in &KINDS {
            let own = budgets.iter().map(|one| one.own_count(kind, tenant.name(), now));
            let names = own.chain([kind.count(tenant.name(), now)]);
            let none = names.map(|name| Count { name, by: -1_000_000, until: kind.until(now) });
            records.count(none.collect(), now).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_store_forgets_those_who_live_tell_it_again() {
        let start = std::time::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let time = tower_keypool::ManualClock::at(start);
        let (clock, step) = (time.clock(), Duration::from_millis(50));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(step).await;
                time.advance(step);
            }
        });
        let now = unix_ms(&clock);
        let limits = TenantLimits { rpd: Some(60), tpd: Some(10_000), ..TenantLimits::default() };
        for (idle, twice) in [(false, false), (true, false), (false, true)] {
            let records = Records::default();
            let budgets = [(); 3].map(|()| Budgets::new(records.clone()));
            let living = budgets.clone().map(|one| tokio::spawn(one.keep(clock.clone())));
            let tenant = tenant(limits);
            assert_eq!(let_in(&budgets, &tenant, now, 40).await, 40);
            budgets[2].spend(&tenant, Some(9_000), now);
            tokio::time::sleep(Duration::from_secs(1)).await;
            forget(&records, &budgets, &tenant, now).await;
            if twice {
                assert!(budgets[1].admit((&tenant, 0), now).await.is_ok());
                forget(&records, &budgets, &tenant, now).await;
            }
            if idle {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            let more = let_in(&budgets, &tenant, now, 100).await + usize::from(twice);
            assert_eq!(more, 20, "idle: {idle}, twice: {twice}");
            tokio::time::sleep(Duration::from_secs(5)).await;
            // Also whoever comes then.
            let new = Budgets::new(records.clone());
            assert_eq!(let_in(std::slice::from_ref(&new), &tenant, now, 100).await, 0);
            budgets[0].spend(&tenant, Some(1_000), now);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(new.used_up(&tenant, now + 10 * NEWS).await.is_some_and(|spent| spent.tokens), "tokens, too");
            living.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_finds_what_was_used_of_that_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = tower_keypool::store::Sqlite::open(folder.path().join("keypool.db")).unwrap();
        let records = Records::from(Some(crate::database::Database::File(file)));
        let tenant = tenant(TenantLimits { rpd: Some(5), ..TenantLimits::default() });
        let budgets = [Budgets::new(records.clone())];
        let (today, days) = (20_000 * DAY, 6 * DAY);
        for (now, left) in [(today, 5), (today + days, 5), (today + 1, 0), (today + days + 1, 0), (today - DAY, 5)] {
            assert_eq!(let_in(&budgets, &tenant, now, 9).await, left, "{now}");
        }
        assert_eq!(let_in(&[Budgets::new(records)], &tenant, today, 9).await, 0, "another process");
    }

    #[tokio::test]
    async fn what_lies_idle_goes_back() {
        let records = Records::default();
        let (idle, busy) = (Budgets::new(records.clone()), Budgets::new(records));
        let tenant = tenant(TenantLimits { rpd: Some(6_400), ..TenantLimits::default() });
        idle.admit((&tenant, 0), 0).await.unwrap();
        idle.write(IDLE - 1, IDLE, false).await.unwrap();
        assert_eq!(let_in(std::slice::from_ref(&busy), &tenant, 1, 7_000).await, 6_300, "the other has a hundred");
        idle.write(IDLE, IDLE, false).await.unwrap();
        assert_eq!(let_in(&[idle, busy], &tenant, IDLE, 7_000).await, 99);
    }
}
