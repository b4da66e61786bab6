//! How sharing stands, for people, metrics and readiness.

use std::time::SystemTime;

use serde::Serialize;

use super::Share;
use crate::{
    pool::{KeyPool, state::State},
    share::Counters,
    time::{Now, system_time},
};

/// How a pool stands that shares owners with other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharingView {
    /// Whether the store answers, and what happens where it does not.
    pub state: SharingState,
    /// Since when that is so.
    pub since: SystemTime,
    /// Owners in a lane with limits, in lanes that somebody asked for.
    pub units: usize,
    /// Of these, held by this process.
    pub held: usize,
    /// What happened so far.
    pub counters: Counters,
}

/// Whether the store that processes share answers, and what happens where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum SharingState {
    /// It answers, and leases hold.
    #[default]
    Connected,
    /// It does not answer; leases hold on to their end.
    Grace,
    /// It answers, but lost what it knew: for one lease it only hears who holds what. What is held may be used.
    Recovering,
    /// Leases have ended: nothing with limits is started.
    FailClosed,
    /// Leases have ended: what could be served goes on, each limit divided
    /// ([`OnStoreLoss::FairShare`](crate::share::OnStoreLoss::FairShare)).
    FairShare,
    /// It has not answered since the start: as in a fair share
    /// ([`OnMissing::Local`](crate::share::OnMissing::Local)).
    Local,
}

impl SharingState {
    /// Each, in this order.
    pub const ALL: [Self; 6] =
        [Self::Connected, Self::Grace, Self::Recovering, Self::FailClosed, Self::FairShare, Self::Local];

    /// Whether no lease holds, since the store is away.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::FailClosed | Self::FairShare | Self::Local)
    }

    /// One word, as it is serialised: `fail_closed`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Grace => "grace",
            Self::Recovering => "recovering",
            Self::FailClosed => "fail_closed",
            Self::FairShare => "fair_share",
            Self::Local => "local",
        }
    }
}

impl Share {
    fn state(&self, now: Now) -> SharingState {
        match &self.divided {
            Some(divided) if divided.local => SharingState::Local,
            Some(_) => SharingState::FairShare,
            None if !self.is_valid(now) => SharingState::FailClosed,
            None if self.recovering_until > now.tick => SharingState::Recovering,
            None if self.away => SharingState::Grace,
            None => SharingState::Connected,
        }
    }

    /// How it stands; what it was before, where that changed.
    pub(super) fn observe(&mut self, now: Now) -> (SharingState, Option<SharingState>) {
        let state = self.state(now);
        let before = (state != self.stood.0).then_some(self.stood.0);
        if before.is_some() || self.stood.1 == 0 {
            self.stood = (state, now.wall_ms());
        }
        (state, before)
    }
}

impl State {
    /// How sharing stands now; none where nothing is shared.
    pub(in crate::pool) fn sharing_view(&mut self, now: Now) -> Option<SharingView> {
        let share = self.share_mut()?;
        // Whoever keeps watch says when it began.
        let state = share.state(now);
        let since = if state == share.stood.0 { share.stood.1 } else { now.wall_ms() };
        let own = share.tally;
        let counters = Counters {
            failed_closed: own.failed_closed,
            fair_share: own.fair_share,
            writes: own.writes,
            conflicts: share.counters.conflicts + share.counters.leases_differ + own.conflicts,
            ..share.counters
        };
        let (units, held) = (share.by_name.len(), share.held.len());
        Some(SharingView { state, since: system_time(since), units, held, counters })
    }
}

impl KeyPool {
    /// How sharing owners with other processes stands, and what it came to so far; none where nothing is shared.
    pub fn sharing(&self) -> Option<SharingView> {
        let now = self.0.clock.now();
        self.lock().sharing_view(now)
    }

    /// Waits until sharing stands otherwise than `from`, and says how. Where nothing is shared, or once the pool has
    /// ended, that is never.
    pub async fn sharing_turns(&self, from: SharingState) -> SharingState {
        if let Some(mut stands) = self.0.sharing.clone()
            && let Ok(standing) = stands.wait_for(|standing| standing.state != from).await
        {
            return standing.state;
        }
        std::future::pending().await
    }
}
