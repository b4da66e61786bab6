//! Whom to tell while a body passes.

use std::sync::Arc;

use super::{
    key_mask::earlier_of,
    masks::{KeptKeys, Shown},
};
use crate::{
    key::Secret,
    pool::{Granted, KeyPool, Meter, Seat, ServedBy, Usage},
    verdict::Verdict,
};

/// What of a [`Granted`] is needed once its answer's head is gone. Less than half its size: it is moved along with every
/// answer.
pub(super) struct Teller {
    pool: KeyPool,
    seat: Seat,
    secret: Secret,
    /// Of the request's earlier attempts; nearly every request has none.
    earlier: Option<Box<Earlier>>,
    meter: Option<Arc<Meter>>,
}

/// Behind one pointer: every answer carries room for it.
struct Earlier(Vec<Secret>);

impl Teller {
    pub(super) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// Whether anybody wants to know what the answer cost.
    #[inline]
    pub(super) fn counts_usage(&self) -> bool {
        self.meter.is_some() || self.pool.counts_usage()
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    fn earlier(&self) -> &[Secret] {
        self.earlier.as_ref().map_or(&[], |earlier| &earlier.0)
    }

    /// The keys that its answer may show.
    pub(super) fn shown(&self) -> Shown<'_> {
        Shown { pool: &self.pool, secret: &self.secret, earlier: self.earlier() }
    }

    /// The same ones, kept.
    pub(super) fn kept_keys(&self) -> KeptKeys {
        KeptKeys::of(self.shown())
    }

    pub(super) fn judge(&self, verdict: &Verdict) {
        self.pool.judge(self.seat, verdict);
    }

    pub(super) fn usage(&self, usage: Usage) {
        if let Some(meter) = &self.meter {
            meter.read(usage);
        }
        self.pool.usage(self.seat, usage);
    }

    /// What an answer without a word of usage came to, by what there is of it.
    pub(super) fn unsaid(&self, output_tokens: u64) {
        if let Some(meter) = &self.meter {
            meter.guess(output_tokens);
        }
        self.pool.usage(self.seat, Usage { output_tokens: Some(output_tokens), ..Usage::default() });
    }
}

impl Teller {
    /// Parts a lease's handle: whom to tell of the body, and what is told of the answer.
    #[expect(clippy::inline_always, reason = "on the way of every answer: both are copied for a call")]
    #[inline(always)]
    pub(super) fn and_served_by(granted: Granted, verdict: Verdict) -> (Self, ServedBy) {
        if let Some(meter) = granted.particulars.meter() {
            meter.judged(&granted, &verdict);
        }
        let earlier_keys = of_earlier(&granted);
        let Granted { pool, seat, ticket, key, secret, model, particulars, .. } = granted;
        let (requested, earlier, meter) = particulars.told(model.as_ref());
        let (key, seat_of_key) = (Some(key), Some(seat));
        let served_by =
            ServedBy { key, requested, used: model, verdict, earlier, keep: None, seq: ticket, seat: seat_of_key };
        (Self { pool, seat, secret, earlier: earlier_keys, meter }, served_by)
    }
}

#[inline]
fn of_earlier(granted: &Granted) -> Option<Box<Earlier>> {
    granted.particulars.earlier().map(|_| Box::new(Earlier(earlier_of(granted))))
}

impl From<Granted> for Teller {
    fn from(granted: Granted) -> Self {
        Self {
            earlier: of_earlier(&granted),
            pool: granted.pool,
            seat: granted.seat,
            secret: granted.secret,
            meter: granted.particulars.meter.clone(),
        }
    }
}
