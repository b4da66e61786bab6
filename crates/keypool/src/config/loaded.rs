//! A configuration without fault, and what the parts of the gateway take from it.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tower_keypool::{
    KeyPool, KeyPoolBuilder, Provider,
    config::{KeySet, KeySpec, Origin, Problem, Source, StoreSection},
};

use super::{
    Administration, Begun, Beside, CacheAffinity, CompatMode, Config, Exits, ProviderName, UnknownNames, Written,
};
use crate::client::Roots;
use crate::gateway::{
    By, Nearness, Paces, Waiting, capability::hash_of, dialect::Dialect, guard::Guard, listen::Bounds,
    resource::Unknown, route::Dialects, tenant::Grant, tls::Certified, token::PLACEHOLDER,
};

/// A configuration without fault.
#[derive(Clone)]
pub struct Loaded {
    /// The file that says them, where there is one, and what stands in it.
    pub(super) written: Option<(PathBuf, Written)>,
    /// All settings.
    pub config: Config,
    /// The union of all keys. Whoever keeps a copy of all this shares them.
    pub keys: Arc<KeySet>,
    /// What it was made of, but for [`Inputs::more`].
    pub(super) sources: Arc<[Source]>,
    /// Where the gateway listens.
    pub addresses: Vec<SocketAddr>,
    /// What clients send.
    pub token: String,
    /// Whether somebody chose it.
    pub own_token: bool,
    /// Tokens that would be refused beyond loopback, and why.
    pub near_only: Vec<Problem>,
    /// Who else may ask.
    pub tenants: Vec<Grant>,
    /// Who may administer, and where.
    pub admin: Administration,
    /// Whose API it is, and where.
    pub provider: Arc<dyn Provider>,
    /// The ways out to it.
    pub exits: Exits,
    /// Those beside it.
    pub beside: Vec<Beside>,
    /// `[store]`, with its paths resolved and its password read.
    pub store: StoreSection,
    /// Whom it must be certified by.
    pub roots: Roots,
    /// What clients are shown; `None`: they come in without TLS.
    pub certified: Option<Certified>,
    /// Every file that was read.
    pub files: BTreeSet<PathBuf>,
    /// When the first of them was about to be.
    pub begun: Begun,
}

impl Loaded {
    /// What makes the pool.
    pub fn builder(&self) -> KeyPoolBuilder {
        let builder = self.config.pool().builder_for(Arc::clone(&self.provider)).keys(self.keys.keys());
        builder.same_exits(self.exits.ways.same_everywhere())
    }

    /// The same with other keys from elsewhere.
    #[must_use]
    pub fn with(&self, more: &[Source]) -> Self {
        let keys = unite(&self.sources, more, &self.token, &self.exits);
        let mut sources = Arc::clone(&self.sources);
        if let Some(first) = sources.first()
            && more.iter().any(|source| !source.tokens.is_subset(&first.tokens))
        {
            let mut known = sources.to_vec();
            known[0].tokens.extend(tokens_of(more));
            sources = known.into();
        }
        Self { keys, sources, beside: self.beside.iter().map(|beside| beside.knowing(more)).collect(), ..self.clone() }
    }

    /// Whether there is no key, for the gateway's own provider or one beside it.
    pub fn lacks_keys(&self) -> bool {
        self.keys.is_empty() && self.beside.iter().all(|beside| beside.keys().is_empty())
    }

    /// Hashes of what opens this gateway, as far as its configuration says.
    pub fn tokens(&self) -> BTreeSet<String> {
        tokens_of(&self.sources).chain([hash_of(self.token.as_bytes())]).collect()
    }

    /// The same, holding what `before` holds where both say the same of keys: what was read again for nothing is let go. The
    /// provider, too, which lives where it did until the next start.
    #[must_use]
    pub fn sharing(self, before: &Self) -> Self {
        let alike = |(new, old): (&Source, &Source)| {
            new.rank == old.rank
                && new.keys == old.keys
                && new.said == old.said
                && new.notes == old.notes
                && new.rejected == old.rejected
                && new.tokens == old.tokens
        };
        let same_keys = self.keys.keys == before.keys.keys && self.keys.notes == before.keys.notes;
        let same_sources =
            self.sources.len() == before.sources.len() && self.sources.iter().zip(&*before.sources).all(alike);
        let sources = if same_sources { &before.sources } else { &self.sources }.clone();
        let keys = if same_keys { &before.keys } else { &self.keys }.clone();
        Self { keys, sources, provider: Arc::clone(&before.provider), ..self }
    }

    /// Keys of files and variables; what a database says of them and of its own is looked up there.
    pub fn configured(&self) -> Vec<KeySpec> {
        Arc::unwrap_or_clone(unite(&self.sources, &[], &self.token, &self.exits)).keys
    }

    /// Files and variables that hold keys.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How many lines of key files hold no key that can be used.
    pub fn rejected(&self) -> usize {
        self.all_sources().map(|source| source.rejected).sum()
    }

    /// Whether key files are written worse than `before`: more of their lines hold no key that can be used, or others do, and a
    /// key of before is none any more. A slip of the pen is no wish to take a key out.
    pub fn slipped(&self, before: &Self) -> bool {
        let why = |of: &Self| -> Vec<String> {
            let rejected = of.all_sources().flat_map(|source| source.notes.iter().take(source.rejected));
            rejected.map(|note| note.message.clone()).collect()
        };
        let (mut known, now) = (why(before), why(self));
        let mut is_new =
            |why: &String| known.iter().position(|known| known == why).map(|at| known.swap_remove(at)).is_none();
        let others = now.iter().any(&mut is_new);
        let keys = |of: &Self| -> BTreeSet<String> {
            of.all_sources().flat_map(|source| &source.keys).map(KeySpec::hash).collect()
        };
        self.rejected() > before.rejected() || (others && !keys(before).is_subset(&keys(self)))
    }

    /// Where a key stands that is but the beginning of one `before` which is gone: the file is written by halves. That a disk
    /// is full, say, is no wish to take keys out, and half a key is sent to nobody.
    pub fn torn(&self, before: &Self) -> Option<Origin> {
        fn keys(of: &Loaded) -> impl Iterator<Item = &KeySpec> {
            of.all_sources().flat_map(|source| &source.keys)
        }
        let now: BTreeSet<&str> = keys(self).map(KeySpec::secret).collect();
        let gone: BTreeSet<&str> = keys(before).map(KeySpec::secret).filter(|key| !now.contains(key)).collect();
        let is_begun = |spec: &&KeySpec| {
            let first = gone.range(spec.secret()..).next();
            first.is_some_and(|whole| whole.len() > spec.secret().len() && whole.starts_with(spec.secret()))
        };
        keys(self).find(is_begun).map(KeySpec::origin)
    }

    /// What was there and is no key, or not one that can be used, and why; those of providers beside included.
    pub fn notes(&self) -> impl Iterator<Item = &Problem> {
        self.keys.notes.iter().chain(self.beside.iter().flat_map(|beside| &beside.keys().notes))
    }

    /// Key files that are empty by now, though they had keys `before`: that they should have none nobody said.
    pub fn emptied<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let files = self.all_sources().filter_map(|source| source.blank.as_deref());
        files.filter(|file| before.all_sources().any(|source| source.is_from(file)))
    }

    /// The configuration file, where it is empty by now, though it had settings `before`: limits, tenants and tokens would go
    /// with them, and that nobody said.
    pub fn cleared(&self, before: &Self) -> Option<&Path> {
        let (path, written) = self.written.as_ref()?;
        let had = before.written.as_ref().is_some_and(|(_, before)| *before == Written::Settings);
        (had && *written == Written::Blank).then_some(path)
    }

    fn all_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().chain(self.beside.iter().flat_map(Beside::sources))
    }

    /// Switches off the keys that a source wants off, and on those that were off by `before` alone. New ones joined as
    /// they are to be.
    pub fn switch_off(&self, pool: &KeyPool, before: &Self) {
        super::switch_off(pool, &self.keys, &before.keys);
    }

    /// How callers' dialects are met.
    pub fn dialects(&self) -> Dialects {
        let gateway = &self.config.gateway;
        let provider = match gateway.provider {
            ProviderName::Gemini => Dialect::Gemini,
            ProviderName::OpenAi => Dialect::OpenAi,
            ProviderName::Anthropic => Dialect::Anthropic,
        };
        Dialects {
            provider,
            translates_openai: gateway.openai == CompatMode::Translate,
            strict: gateway.strict,
            fetches: gateway.fetch_images,
        }
    }

    /// How requests wait for a key.
    pub fn waiting(&self) -> Waiting {
        let gateway = &self.config.gateway;
        let (longest, most) = (gateway.max_wait.0, gateway.max_waiting.0.into());
        Waiting { longest, most, as_limited: gateway.exhausted_as_429 }
    }

    /// How requests find the owner that served their like.
    pub fn nearness(&self) -> Nearness {
        let by = match self.config.gateway.cache_affinity {
            CacheAffinity::Off => By::Off,
            CacheAffinity::Session => By::Session,
            CacheAffinity::Prompt => By::Prompt,
        };
        let named = self.config.gateway.session_header.parse().ok();
        Nearness { by, header: named.unwrap_or_else(|| Nearness::default().header) }
    }

    /// What the gateway bears of its clients.
    pub fn bounds(&self) -> Bounds {
        let gateway = &self.config.gateway;
        Bounds {
            connections: gateway.max_connections.0.into(),
            of_one_address: gateway.max_connections_per_address.0.into(),
            paces: Paces { body: gateway.body_timeout.0, reader: gateway.reader_timeout.0 },
        }
    }

    /// What becomes of a file or the like that was not made through the gateway.
    pub fn unknown(&self) -> Unknown {
        match self.config.gateway.unknown_names {
            UnknownNames::Refuse => Unknown::Refuse,
            UnknownNames::Try => Unknown::Try,
        }
    }

    /// The names that clients may reach the gateway by.
    pub fn guard(&self) -> Guard {
        let gateway = &self.config.gateway;
        let listen = gateway.listen.rsplit_once(':').map_or("", |(host, _)| host);
        Guard::new(gateway.hosts.iter().cloned().chain([listen.to_owned()]))
            .letting_pages_in(gateway.origins.iter().cloned())
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What any of them knows for a token.
pub(super) fn tokens_of(sources: &[Source]) -> impl Iterator<Item = String> {
    sources.iter().flat_map(|source| &source.tokens).cloned()
}

/// All keys; `more` was read by whoever did not know what clients send.
pub(super) fn unite(sources: &[Source], more: &[Source], token: &str, exits: &Exits) -> Arc<KeySet> {
    let more = more.iter().cloned().map(|source| source.without(&[PLACEHOLDER, token]));
    let mut keys = KeySet::unite(sources.iter().cloned().chain(more).collect());
    exits.give(&mut keys);
    Arc::new(keys)
}

#[cfg(test)]
mod tests {
    use tower_keypool::config::Environment;

    use super::*;
    use crate::config::Inputs;

    #[test]
    fn what_says_the_same_as_before_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keypool.toml");
        let key =
            |rpm| format!("[[keys]]\nsecret = \"AIzaSyTEST-held-once-000000\"\nlimits.\"*\" = {{ rpm = {rpm} }}\n");
        let read = |text: String| {
            std::fs::write(&file, text).unwrap();
            let environment = Environment::of([("", ""); 0]);
            Inputs { environment, ..Inputs::new(Some(file.clone()), Vec::new()) }.load().unwrap()
        };
        let first = read(key(10));
        let again = read(key(10)).sharing(&first);
        assert!(Arc::ptr_eq(&again.keys, &first.keys) && Arc::ptr_eq(&again.sources, &first.sources));
        let other = read(key(11)).sharing(&first);
        assert!(!Arc::ptr_eq(&other.keys, &first.keys) && !Arc::ptr_eq(&other.sources, &first.sources));
    }
}
