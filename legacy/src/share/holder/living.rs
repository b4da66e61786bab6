//! Others took this process for dead, and it lives: its lock was free, since somebody put a copy of its file there, or another
//! began in its name.

use super::Holder;
use crate::share::{
    ledger::{Ledger, Moment},
    wire::Reply,
};

impl Holder {
    /// The board did nothing of what it was told: the renewal came too late, or this process counts as dead.
    pub(crate) fn unheard(&mut self, reply: &Reply, ledger: &mut dyn Ledger, now: Moment) {
        if reply.dead { self.live_on(reply.number, ledger, now) } else { self.failed(now) }
    }

    /// What was held is others' by now: nothing of it is used any more, whatever is left of the lease. The dead are not heard
    /// again, so that it goes on under another name, as one that begins.
    pub(super) fn live_on(&mut self, number: u64, ledger: &mut dyn Ledger, now: Moment) {
        if self.outstanding.take_if(|sent| sent.number == number).is_none() {
            return;
        }
        for unit in std::mem::take(&mut self.units).into_keys() {
            self.counters.refused += 1;
            ledger.lose(&unit, now);
        }
        self.returning.clear();
        self.void_draws();
        self.id = self.id.beside(self.nonces.u32(..));
        (self.number, self.acknowledged, self.enrolled) = (0, 0, false);
        (self.anchor, self.heard, self.told_all, self.pressing) = (None, None, None, true);
        self.renew_now(now);
    }
}
