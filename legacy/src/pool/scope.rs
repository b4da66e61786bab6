//! Scopes: whom a rest is bound to, where it is kept, and who is looked at again when it ends early.

use super::{rest::Rest, roster::NO_ACCOUNT, state::State};
use crate::{time::Now, verdict::Scope};

/// Whom a rest is bound to.
#[derive(Clone, Copy)]
pub(super) struct Whom {
    pub(super) scope: Scope,
    pub(super) slot: u32,
    pub(super) owner: u32,
    pub(super) lane: u16,
}

impl State {
    /// The place of a scope's rest; made when there is none.
    pub(super) fn rest_slot(&mut self, whom: Whom) -> Option<&mut Box<Rest>> {
        let place = match whom.scope {
            Scope::Key => &mut self.roster.keys[whom.slot as usize].rest,
            Scope::Owner => &mut self.roster.owners[whom.owner as usize].rest,
            Scope::BillingAccount => {
                let account = self.roster.owners[whom.owner as usize].account;
                &mut self.roster.accounts[account as usize].rest
            }
            Scope::KeyLane => self.lanes[usize::from(whom.lane)].key_rests.entry(whom.slot).or_default(),
            Scope::OwnerLane => &mut self.lanes[usize::from(whom.lane)].extra(whom.owner).rest,
            Scope::Lane => &mut self.lanes[usize::from(whom.lane)].rest,
            Scope::Exit => {
                let exit = self.exit_of(whom.slot);
                self.roster.exits.place(exit)
            }
            Scope::Caller => return None,
        };
        Some(place.get_or_insert_with(|| Box::new(Rest::new(Now::NEVER))))
    }

    /// The place of a scope's rest, where there is one.
    pub(super) fn rest_slot_of(&mut self, whom: Whom) -> Option<&mut Rest> {
        let place = match whom.scope {
            Scope::Key => self.roster.keys[whom.slot as usize].rest.as_mut(),
            Scope::Owner => self.roster.owners[whom.owner as usize].rest.as_mut(),
            Scope::BillingAccount => match self.roster.owners[whom.owner as usize].account {
                NO_ACCOUNT => None,
                account => self.roster.accounts[account as usize].rest.as_mut(),
            },
            Scope::KeyLane => self.lanes[usize::from(whom.lane)].key_rests.get_mut(&whom.slot).and_then(Option::as_mut),
            Scope::OwnerLane => {
                self.lanes[usize::from(whom.lane)].extra_of_mut(whom.owner).and_then(|extra| extra.rest.as_mut())
            }
            Scope::Lane => self.lanes[usize::from(whom.lane)].rest.as_mut(),
            Scope::Exit => {
                let exit = self.exit_of(whom.slot);
                self.roster.exits.rest_mut(exit)
            }
            Scope::Caller => None,
        };
        place.map(|rest| &mut **rest)
    }

    /// Ends a rest now. Answers to requests that started before rest it no more.
    pub(super) fn lift(&mut self, whom: Whom, now: Now) {
        let seq = self.seq + 1;
        if let Some(rest) = self.rest_slot(whom) {
            let mut lifted = Rest::new(now);
            lifted.lifted_at = seq;
            **rest = lifted;
        }
        self.note_key(whom.slot, whom.lane);
        self.note_lifted(whom.owner, now);
        self.revive(whom);
    }

    pub(super) fn revive(&mut self, whom: Whom) {
        match whom.scope {
            Scope::Key => self.revive_key(whom.slot),
            Scope::KeyLane => self.revive_in(whom.lane, whom.slot),
            Scope::Owner => self.revive_owner(whom.owner),
            Scope::OwnerLane => {
                let owner = whom.owner;
                let of_owner = |slot: &u32| self.roster.keys[*slot as usize].owner == owner;
                let slots: Vec<u32> = self.roster.slots().filter(of_owner).collect();
                for slot in slots {
                    self.revive_in(whom.lane, slot);
                }
            }
            Scope::BillingAccount => self.revive_all(),
            Scope::Exit => self.revive_exit(self.exit_of(whom.slot)),
            Scope::Lane | Scope::Caller => {}
        }
    }
}
