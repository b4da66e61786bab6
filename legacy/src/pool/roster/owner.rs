//! Who owns a quota, as a pool holds it.

use std::sync::Arc;

use crate::{
    key::Tier,
    limit::{Limit, Limits},
    pool::rest::Rest,
};

/// Who owns a quota.
pub(in crate::pool) struct OwnerCell {
    pub(in crate::pool) rest: Option<Box<Rest>>,
    pub(in crate::pool) extra: Option<Box<OwnerExtra>>,
    /// Index of its billing account, or `NO_ACCOUNT`.
    pub(in crate::pool) account: u32,
    /// How many keys it has (24 bits: a pool holds fewer), and its zone (8 bits).
    keys_in_zone: u32,
}

impl OwnerCell {
    pub(in crate::pool) fn new(account: u32, keys: u32, zone: u8) -> Self {
        Self { rest: None, extra: None, account, keys_in_zone: keys << u8::BITS | u32::from(zone) }
    }

    #[inline]
    pub(in crate::pool) fn keys(&self) -> u32 {
        self.keys_in_zone >> u8::BITS
    }

    /// So many keys more.
    pub(in crate::pool) fn gain(&mut self, keys: u32) {
        self.keys_in_zone += keys << u8::BITS;
    }

    /// So many keys less.
    pub(in crate::pool) fn lose(&mut self, keys: u32) {
        self.keys_in_zone -= keys << u8::BITS;
    }

    /// Neither configuration nor an answer says who it is.
    pub(in crate::pool) fn is_unnamed(&self) -> bool {
        self.extra.as_ref().is_none_or(|extra| extra.name.is_none() && extra.consumer.is_none())
    }

    /// Where its days begin and end: a number of the pool's.
    #[inline]
    pub(in crate::pool) fn zone(&self) -> u8 {
        self.keys_in_zone as u8
    }

    pub(in crate::pool) fn move_to(&mut self, zone: u8) {
        self.keys_in_zone = self.keys() << u8::BITS | u32::from(zone);
    }
}

/// What only named owners have.
#[derive(Clone, Debug, Default)]
pub(in crate::pool) struct OwnerExtra {
    pub(in crate::pool) name: Option<Arc<str>>,
    /// As the provider names it; learned.
    pub(in crate::pool) consumer: Option<Arc<str>>,
    /// Limits of its own, by model or `*`.
    pub(in crate::pool) limits: Vec<(String, Limits)>,
    /// Of every model, where nothing is given or learned.
    pub(in crate::pool) assumed: Limits,
    /// Limits for which its keys were given different amounts; each is told of once.
    pub(in crate::pool) contested: Vec<(String, Limit)>,
    pub(in crate::pool) tier: Option<Tier>,
}
