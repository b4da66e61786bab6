//! What the board calls owners. Two processes may be told otherwise of a key: by an older file, by a command, by an
//! answer. What the board heard first is its name in all of them, whatever an owner is called here, so that what was
//! counted stays where it is; names that turn out to be one are joined there.
//!
//! Both go by as facts: `owner\nHASH` says the name, and how the owner was called when that was said; `alias\nNAME` which
//! name it is by now. A board keeps them for a week; who uses them says them again each day.

use std::{collections::HashSet, sync::Arc};

use hashbrown::HashMap;

use crate::{
    share::{ALIAS, NAMED, News, OWNER},
    time::Tick,
};

/// What is known of the board's names.
#[derive(Default)]
pub(super) struct Names {
    /// By the hash of a secret.
    of_key: HashMap<Arc<str>, Named>,
    /// What a name is by now.
    aliases: HashMap<Arc<str>, Arc<str>>,
    /// By slot: the board confirmed the key's name, and how its owner is called here.
    keys: Vec<KeyName>,
    /// Owners here, by the board's names.
    pub(super) owners: HashMap<Arc<str>, u32>,
    /// The board's generation that these are of.
    pub(super) board: u64,
    /// When they were said last.
    pub(super) said: Option<Tick>,
    /// The board has something that nobody said for long.
    pub(super) overdue: bool,
}

/// What the board calls a key's owner.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    /// How it was called by whoever said so.
    pub(super) called: Arc<str>,
    /// One more each time that somebody said otherwise while he ran.
    pub(super) generation: u32,
}

#[derive(Clone, Default)]
pub(super) struct KeyName {
    pub(super) agreed: bool,
    pub(super) called: Option<Arc<str>>,
}

/// A fact of this page.
pub(super) enum Said {
    Owner(Arc<str>, Named),
    Alias(Arc<str>, Arc<str>),
}

impl Said {
    /// Reads a fact; `None`: it is of something else.
    pub(super) fn read(scope: &str, generation: u32, why: &str) -> Option<Self> {
        if let Some(hash) = scope.strip_prefix(OWNER) {
            let (name, called) = why.split_once('\n').unwrap_or((why, why));
            return Some(Self::Owner(hash.into(), Named { name: name.into(), called: called.into(), generation }));
        }
        Some(Self::Alias(scope.strip_prefix(ALIAS)?.into(), why.into()))
    }
}

impl Names {
    /// Whether the board has confirmed whose quota a key counts in.
    #[inline]
    pub(super) fn is_agreed(&self, slot: u32) -> bool {
        self.keys.get(slot as usize).is_some_and(|key| key.agreed)
    }

    pub(super) fn key(&mut self, slot: u32) -> &mut KeyName {
        let slot = slot as usize;
        if self.keys.len() <= slot {
            self.keys.resize(slot + 1, KeyName::default());
        }
        &mut self.keys[slot]
    }

    /// How a key's owner is called here.
    pub(super) fn called(&self, slot: u32) -> Option<&Arc<str>> {
        self.keys.get(slot as usize)?.called.as_ref()
    }

    pub(super) fn of_key(&self, hash: &str) -> Option<&Named> {
        self.of_key.get(hash)
    }

    /// What a name is by now.
    pub(super) fn root(&self, name: &Arc<str>) -> Arc<str> {
        let mut root = name;
        // Each is said to be one that precedes it.
        while let Some(into) = self.aliases.get(root).filter(|into| *into < root) {
            root = into;
        }
        Arc::clone(root)
    }

    /// All other names of this one.
    pub(super) fn others(&self, root: &str) -> Vec<Arc<str>> {
        let mut others: Vec<_> = self.aliases.keys().filter(|name| &*self.root(name) == root).cloned().collect();
        others.sort_unstable();
        others
    }

    /// Says what a key's owner is called; the fact.
    pub(super) fn name(&mut self, hash: &Arc<str>, named: Named) -> News {
        let news = named.fact(hash);
        self.of_key.insert(Arc::clone(hash), named);
        news
    }

    /// What the board confirmed by answering: whether it still holds.
    pub(super) fn is_said(&self, hash: &str, generation: u32) -> bool {
        self.of_key.get(hash).is_some_and(|named| named.generation == generation)
    }

    /// What a key's owner is called, once more, and all that this name was.
    pub(super) fn still(&self, hash: &str, said: &mut HashSet<Arc<str>>) -> Vec<News> {
        let Some(named) = self.of_key.get(hash) else { return Vec::new() };
        let mut news = vec![named.fact(hash)];
        let mut name = &named.name;
        while let Some(into) = self.aliases.get(name).filter(|into| *into < name) {
            if !said.insert(Arc::clone(name)) {
                break;
            }
            news.push(fact(format!("{ALIAS}{name}"), 0, into.to_string()));
            name = into;
        }
        news
    }

    /// Says that two names are one; the fact.
    pub(super) fn join(&mut self, old: &Arc<str>, into: &Arc<str>) -> News {
        self.aliases.insert(Arc::clone(old), Arc::clone(into));
        fact(format!("{ALIAS}{old}"), 0, into.to_string())
    }

    /// What the board says holds. Of a name: what it was before, where that was said earlier.
    pub(super) fn hear(&mut self, hash: &Arc<str>, named: Named) {
        if self.of_key.get(hash).is_none_or(|known| known.generation <= named.generation) {
            self.of_key.insert(Arc::clone(hash), named);
        }
    }

    /// Whether this is news.
    pub(super) fn hear_alias(&mut self, old: Arc<str>, into: &Arc<str>) -> bool {
        let before = self.aliases.insert(old, Arc::clone(into));
        before.as_ref() != Some(into)
    }

    /// All aliases once more, for a board that may have lost them.
    pub(super) fn aliases_again(&self) -> Vec<News> {
        self.aliases.iter().map(|(old, into)| fact(format!("{ALIAS}{old}"), 0, into.to_string())).collect()
    }

    /// A name that nothing has: this one, where it is free.
    pub(super) fn unused(&self, name: &Arc<str>) -> Arc<str> {
        let used =
            |name: &Arc<str>| self.aliases.contains_key(name) || self.of_key.values().any(|named| named.name == *name);
        let more = (2_u64..).map(|n| Arc::from(format!("{name}#{n}")));
        std::iter::once(Arc::clone(name)).chain(more).find(|name| !used(name)).unwrap_or_else(|| Arc::clone(name))
    }
}

impl Named {
    fn fact(&self, hash: &str) -> News {
        let Self { name, called, generation } = self;
        let why = if name == called { name.to_string() } else { format!("{name}\n{called}") };
        fact([OWNER, hash].concat(), *generation, why)
    }
}

fn fact(scope: String, generation: u32, why: String) -> News {
    News::Rest { scope, until: NAMED, generation, why }
}
