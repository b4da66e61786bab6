//! What a request takes along that is read, and written anew for whoever takes it.

use std::sync::Arc;

use keypool_dialect::Caller;

use super::entrance::Turn;
use crate::gateway::{
    Gateway,
    admit::tenant::Tenant,
    dialect::Dialect,
    forward::{affinity::Numbers, wishes::Wish},
    route::{Beside, task::Task, way::Own},
    translate::{Translator, answers::Answers},
};

/// How a request is read, and who may take it.
pub(super) struct Reading<S> {
    /// The caller's dialect.
    pub(super) dialect: Dialect,
    pub(super) caller: &'static dyn Caller,
    /// How the gateway's own provider is met.
    pub(super) own: Own,
    /// The provider beside it that takes what nobody names.
    pub(super) home: Option<Beside<S>>,
    /// It takes all, since the path names it.
    pub(super) only: bool,
    /// It is read only to count it.
    pub(super) may_go_unread: bool,
}

impl<S: Clone> Gateway<S> {
    /// Whoever translates a request of this tenant's.
    pub(super) fn translator(
        &self,
        Turn { setup, stack, .. }: &Turn<S>,
        reading: Reading<S>,
        (tenant, wish, task): (Arc<Tenant>, Wish, &Task),
    ) -> Translator<S> {
        let Reading { dialect, caller, own, home, only, may_go_unread } = reading;
        let whose = self.share(&tenant);
        Translator {
            stack: stack.clone(),
            caller,
            strict: setup.dialects.strict,
            numbers: Numbers::of(&setup.nearness, &setup.token, &tenant),
            tenant,
            wish,
            fetcher: setup.dialects.fetches.then(|| self.fetcher.clone()),
            clock: self.clock.clone(),
            farewell: Arc::clone(&self.farewell),
            traffic: Arc::clone(&self.traffic),
            dialect,
            own,
            aliases: setup.aliases.clone(),
            others: self.others.all(),
            home,
            only,
            nobodys: None,
            memory: self.memory.clone(),
            holdings: self.holdings(setup.unknown),
            pool: self.own.uploads.pool.clone(),
            held: self.room.enter(&whose),
            answers: Answers::in_room(&self.room_for_answers, &whose),
            unasked: self.unasked.clone(),
            may_go_unread,
            catalogues: Arc::clone(&self.catalogues),
            shelves: self.shelves(setup, task),
        }
    }
}
