//! Whom to tell while a body passes.

use crate::{
    key::Secret,
    pool::{Granted, KeyPool, Seat, Usage},
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

impl From<Granted> for Teller {
    fn from(granted: Granted) -> Self {
        Self { pool: granted.pool, seat: granted.seat, secret: granted.secret }
    }
}
