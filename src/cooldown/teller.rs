//! Whom to tell while a body passes.

use crate::{
    key::Secret,
    pool::{Granted, KeyPool, Seat, ServedBy, Usage},
    verdict::Verdict,
};

/// What of a [`Granted`] is needed once its answer's head is gone. Less than half its size: it is moved along with every
/// answer.
pub(super) struct Teller {
    pool: KeyPool,
    seat: Seat,
    secret: Secret,
}

impl Teller {
    pub(super) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn judge(&self, verdict: &Verdict) {
        self.pool.judge(self.seat, verdict);
    }

    pub(super) fn usage(&self, usage: Usage) {
        self.pool.usage(self.seat, usage);
    }
}

impl Teller {
    /// Parts a lease's handle: whom to tell of the body, and what is told of the answer.
    #[inline]
    pub(super) fn and_served_by(granted: Granted, verdict: Verdict) -> (Self, ServedBy) {
        let Granted { pool, seat, ticket, key, secret, model, requested, earlier, .. } = granted;
        let requested = requested.or_else(|| model.clone());
        let (key, seat_of_key) = (Some(key), Some(seat));
        let served_by =
            ServedBy { key, requested, used: model, verdict, earlier, keep: None, seq: ticket, seat: seat_of_key };
        (Self { pool, seat, secret }, served_by)
    }
}

impl From<Granted> for Teller {
    fn from(granted: Granted) -> Self {
        Self { pool: granted.pool, seat: granted.seat, secret: granted.secret }
    }
}
