//! Which owner has what: files, caches and the like are seen by the keys of the owner that made them alone. Learned from
//! answers, and kept in memory; what nobody told of is asked for at one owner after the other, once for all who ask.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tower_keypool::{Affinity, KeyId, KeyPool, KeyState, Tick};

use crate::names;

/// Names that are remembered, and requests of which it is known who has not what they name.
const MOST: usize = 10_000;
/// An owner that had not what was named is not asked for it again for so long.
const REFUSED: Duration = Duration::from_secs(300);
/// So long who is asked stays as it is: owners come and go, and are switched off.
const LOOK: Duration = Duration::from_secs(1);
/// So many keys are told by name.
const SHOWN: usize = 20;

/// What a request names that is some owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// All of it as one: it is asked for together.
    pub(crate) all: Arc<str>,
}

impl Names {
    /// Of a request to a provider: `compatible` where that speaks as `OpenAI` does. Most name nothing.
    pub(crate) fn of(path: &str, body: &[u8], compatible: bool) -> Option<Self> {
        let mut found = if is_of_model(path) { Vec::new() } else { spelled(&format!("http://provider{path}")) };
        let may = if compatible { names::may_mention_compatible } else { names::may_mention };
        if may(body) {
            // The provider says what is wrong with it.
            found.extend(names::mentioned_in(body, compatible, spelled).unwrap_or_default());
            found.retain(|name| !names::may_be_the_providers(name));
        }
        found.sort_unstable();
        found.dedup();
        (!found.is_empty()).then(|| Self { all: found.join("\n").into() })
    }

    /// Whether something of it was made for one model, and is of no use to another.
    pub(crate) fn are_of_one_model(&self) -> bool {
        self.each().any(names::is_of_one_model)
    }

    fn each(&self) -> impl Iterator<Item = &str> {
        self.all.split('\n')
    }

    /// As it is told.
    pub(crate) fn told(&self) -> String {
        self.all.replace('\n', ", ")
    }
}

/// Whether a path is that of a model and names nothing else, as most are: known without taking it apart.
fn is_of_model(path: &str) -> bool {
    path.strip_prefix("/v1beta/models/").is_some_and(|rest| !rest.bytes().any(|byte| matches!(byte, b'/' | b'%')))
}

/// The name that a text is. Only in the provider's own spelling: what is nobody's would be bound to one owner for nothing.
fn spelled(text: &str) -> Vec<String> {
    let is_one = |name: &String| {
        let collection = name.split('/').next().unwrap_or_default();
        collections().any(|known| known == collection) || name.starts_with("models/")
    };
    names::name_in(text).filter(is_one).into_iter().collect()
}

/// Where a request goes that names something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Way {
    /// To the owner that has it.
    To(Affinity),
    /// Nobody knows: these were not asked yet.
    Unknown(Vec<Affinity>),
    /// All were asked, and this is what the last one said.
    Nowhere(Arc<str>),
}

impl Way {
    /// Whoever may be asked.
    pub(crate) fn ways(&self) -> &[Affinity] {
        match self {
            Self::To(way) => std::slice::from_ref(way),
            Self::Unknown(ways) => ways,
            Self::Nowhere(_) => &[],
        }
    }
}

/// Which owner has what, as far as anybody learned; clones share it.
#[derive(Clone)]
pub(crate) struct Holdings(Arc<Inner>);

struct Inner {
    pool: KeyPool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    with: HashMap<Box<str>, By>,
    refused: HashMap<Arc<str>, Refused>,
    owners: Option<(Tick, Arc<Owners>)>,
    /// Who had what was looked for last: what is named beside it was often made by the same.
    last: Option<Affinity>,
}

/// Who may be asked.
struct Owners {
    ways: Vec<Affinity>,
    /// Keys of those who may not, since all of theirs are off.
    off: Vec<KeyId>,
}

/// The key that it came by, and that key's owner: what of both is still in the pool sees it.
struct By {
    key: KeyId,
    owner: Option<Arc<str>>,
    at: Tick,
    life: Option<Duration>,
}

/// Who has not what was named, since when, and what the last one said.
#[derive(Default)]
struct Refused {
    by: Vec<(Affinity, Tick)>,
    said: Arc<str>,
}

impl Holdings {
    pub(crate) fn new(pool: &KeyPool) -> Self {
        Self(Arc::new(Inner { pool: pool.clone(), known: Mutex::default() }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a request goes that names this. `None`: nobody is there to be asked.
    pub(crate) fn way(&self, names: &Names) -> Option<Way> {
        let pool = &self.0.pool;
        let now = pool.clock().tick();
        let mut known = self.known();
        let fresh = known.owners.as_ref().filter(|(at, _)| now.since(*at) < LOOK).map(|(_, owners)| Arc::clone(owners));
        let owners = fresh.unwrap_or_else(|| {
            let owners = owners(pool);
            known.owners = Some((now, Arc::clone(&owners)));
            owners
        });
        if owners.ways.is_empty() {
            return None;
        }
        let refused = known.refused.get(&names.all);
        let is_refused = |way: &Affinity| {
            let by = refused.map(|refused| &*refused.by).unwrap_or_default();
            by.iter().any(|(by, at)| by == way && now.since(*at) < REFUSED)
        };
        for name in names.each() {
            let by = known.with.get(name).filter(|by| by.life.is_none_or(|life| now.since(by.at) < life));
            let way = by.and_then(|by| pool.affinity_to(&by.key, by.owner.as_deref()));
            if let Some(way) = way.filter(|way| !is_refused(way)) {
                return Some(Way::To(way));
            }
        }
        let mut left: Vec<Affinity> = owners.ways.iter().filter(|way| !is_refused(way)).cloned().collect();
        if let Some(at) = left.iter().position(|way| Some(way) == known.last.as_ref()) {
            left.swap(0, at);
        }
        match refused {
            _ if !left.is_empty() => Some(Way::Unknown(left)),
            Some(refused) => Some(Way::Nowhere(owners.told(&refused.said))),
            None => None,
        }
    }

    /// A good answer came by this key.
    pub(crate) fn found(&self, names: &Names, key: &KeyId) {
        self.learn(names.each(), key);
        let way = self.way_of(key);
        let mut known = self.known();
        known.refused.remove(&names.all);
        known.last = Some(way);
    }

    /// Who this leads to has not what was named.
    pub(crate) fn refused(&self, names: &Names, way: Affinity, said: &str) {
        let now = self.0.pool.clock().tick();
        let mut known = self.known();
        if known.refused.len() >= MOST {
            known.refused.retain(|_, refused| refused.by.iter().any(|(_, at)| now.since(*at) < REFUSED));
        }
        if known.refused.len() >= MOST {
            known.refused.clear();
        }
        let refused = known.refused.entry(Arc::clone(&names.all)).or_default();
        refused.by.retain(|(by, _)| *by != way);
        refused.by.push((way, now));
        refused.said = said.into();
    }

    /// What leads to this key's owner.
    pub(crate) fn way_of(&self, key: &KeyId) -> Affinity {
        self.0.pool.affinity_to(key, None).unwrap_or_else(|| Affinity::MustKey(key.clone()))
    }

    /// An answer told of these, by this key.
    pub(crate) fn learn<'n>(&self, names: impl IntoIterator<Item = &'n str>, key: &KeyId) {
        let owner = match self.way_of(key) {
            Affinity::MustOwner(owner) => Some(owner),
            _ => None,
        };
        let now = self.0.pool.clock().tick();
        let mut known = self.known();
        for name in names {
            if known.with.len() >= MOST {
                known.with.clear();
            }
            let life = names::life(name).and_then(|life| u64::try_from(life).ok()).map(Duration::from_millis);
            known.with.insert(name.into(), By { key: key.clone(), owner: owner.clone(), at: now, life });
        }
    }

    /// What was deleted is nobody's.
    pub(crate) fn forget(&self, names: &Names) {
        let mut known = self.known();
        names.each().for_each(|name| drop(known.with.remove(name)));
    }
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings").finish_non_exhaustive()
    }
}

impl Owners {
    /// What the last one said, and who was not asked.
    fn told(&self, said: &Arc<str>) -> Arc<str> {
        if self.off.is_empty() {
            return Arc::clone(said);
        }
        let shown: Vec<String> = self.off.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = self.off.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{said}; its owner may be among the keys that are switched off: {}{more}", shown.join(", ")).into()
    }
}

/// Every owner of whom not all keys are switched off.
fn owners(pool: &KeyPool) -> Arc<Owners> {
    let (mut owners, mut seen) = (Vec::new(), HashSet::new());
    let (off, on): (Vec<_>, Vec<_>) = pool.snapshot().keys.into_iter().partition(|key| key.state == KeyState::Disabled);
    for key in on {
        let Some(way) = pool.affinity_to(&key.id, None) else { continue };
        let is_new = match &way {
            Affinity::MustOwner(owner) => seen.insert(Arc::clone(owner)),
            _ => true,
        };
        if is_new {
            owners.push(way);
        }
    }
    let is_out = |key: &KeyId| pool.affinity_to(key, None).is_none_or(|way| !owners.contains(&way));
    let off = off.into_iter().map(|key| key.id).filter(is_out).collect();
    Arc::new(Owners { ways: owners, off })
}

/// Whether the answer to such a request may tell of what is somebody's from then on.
pub(crate) fn tells(path: &str) -> bool {
    // What is asked most.
    if path.ends_with(":generateContent") && is_of_model(path) {
        return false;
    }
    let makes = ["LongRunning", "atchGenerateContent", "syncBatch", "reateTunedModel"];
    collection(path).is_some() || makes.iter().any(|word| path.contains(word))
}

/// What ids in the answer to such a request are ids of.
pub(crate) fn collection(path: &str) -> Option<&'static str> {
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    path[..end].split('/').find_map(|segment| {
        let name = names::without_verb(segment);
        collections().find(|known| *known == name)
    })
}

/// Collections whose items only their owner sees.
fn collections() -> impl Iterator<Item = &'static str> {
    names::COLLECTIONS.iter().copied().chain(["operations"])
}
