//! What the pool is told by the board's answer to a renewal.

use std::time::Duration;

use tower::BoxError;

use super::{Renewing, events::tell, windows::Windows};
use crate::{
    pool::{KeyPool, journal::Unit},
    share::{Moment, Renewal, Reply},
    time::{Now, Tick},
};

impl Renewing {
    pub(super) fn heard(&mut self, pool: &KeyPool, renewal: &Renewal, answer: Result<Reply, BoxError>) {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        self.hear_starts(pool, now);
        let mut windows = Windows::new(pool.clone());
        let away = answer.is_err();
        if let Some(share) = pool.lock().share_mut() {
            share.away = away;
        }
        match answer {
            Ok(reply) if reply.stale => self.holder.unheard(&reply, &mut windows, moment),
            Ok(reply) => {
                self.error = None;
                // Before anything is granted: it is by whole limits.
                let divided = pool.lock().unite(now);
                pool.lock().hear_names(renewal, &reply);
                self.holder.answered(&reply, &mut windows, moment);
                self.settle(pool, &reply, &windows.granted, now);
                if let Some(divided) = divided {
                    pool.lock().tell_divided(&divided, &windows.granted, now);
                    self.holder.renew_now(moment);
                }
            }
            Err(error) => {
                self.error = Some(error.to_string());
                self.holder.failed(moment);
            }
        }
        let counters = self.holder.counters();
        let stood = pool.lock().share().filter(|_| !away).map(|share| share.stood.0);
        tell(&self.counters, &counters, stood);
        self.counters = counters;
        if let Some(share) = pool.lock().share_mut() {
            if counters.generations > share.counters.generations {
                share.forgot_until = now.tick.plus(super::FORGOTTEN);
            }
            share.counters = counters;
        }
        self.look(pool);
    }

    /// The pool goes by the answer from now on.
    fn settle(&mut self, pool: &KeyPool, reply: &Reply, granted: &[Unit], now: Now) {
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let valid = self.holder.is_valid(moment);
        let until = self.holder.valid_until().filter(|_| valid).unwrap_or(Tick::ZERO);
        let mut state = pool.lock();
        let came_back = {
            let Some(share) = state.share_mut() else { return };
            let came_back = !share.is_valid(now);
            share.valid_until = until;
            share.recovering_until = reply.recovering.map_or(Tick::ZERO, |ms| now.tick.plus(Duration::from_millis(ms)));
            share.ahead_ms = now.ahead_ms;
            share.stale |= std::mem::replace(&mut share.differ, reply.differ) != reply.differ;
            share.hear_what_is_out(reply, now);
            came_back
        };
        // Who notes keeps to what was noted.
        let marks = self.holder.marks().filter(|_| !self.settings.noting);
        for (unit, marks) in marks {
            state.allow_unit(unit, marks, now);
        }
        if !self.settings.noting
            && let Some(journal) = &mut state.journal
        {
            journal.short = false;
        }
        state.apply_facts(reply, now);
        if came_back {
            state.revive_all();
        } else {
            state.revive_units(granted);
        }
        // Whoever hoped for what others may have knows better now.
        state.waiters.lost |= !reply.opens.is_empty();
        state.serve(now);
    }
}
