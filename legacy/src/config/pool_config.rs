//! The part of a configuration that makes a pool.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ConfigErrors, Document, Environment, KeyEntry, KeySet, KeySpec, LimitsSection, ModelEntry, Origin, PoolSection,
    Problem, Rank, RestsSection, RetrySection, Source, StoreSection,
    environment::read,
    key_file::{self, FileError, KeyFile},
    plain_values,
};
use crate::{
    fallback::Models,
    key::{Priority, Tier},
    pool::{KeyPool, KeyPoolBuilder},
    provider::Provider,
    rule::Retry,
};

/// What makes a pool: `[[keys]]`, `[[models]]`, `[pool]`, `[retry]`, `[rests]`, `[limits]` and `[store]` of a file. Which store
/// a pool is opened on its program says; [`StoreSection`] has what is set of it.
///
/// ```
/// use tower_keypool::{Gemini, config::{Environment, PoolConfig}};
///
/// let text = r#"
///     [[keys]]
///     secret_env = "WORK_KEY"
///     owner = "project-a"
///
///     [[models]]
///     name = "gemini-2.5-flash"
///     limits.free = { rpm = 10, rpd = 250 }
/// "#;
/// let environment = Environment::of([("WORK_KEY", "AIza-not-a-real-key-001")]);
/// let (config, keys) = PoolConfig::parse("keypool.toml".as_ref(), text, &environment)?;
/// let pool = config.builder(Gemini::new()).keys(keys.keys()).build()?;
/// assert_eq!(pool.snapshot().total_keys, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Keys.
    pub keys: Vec<KeyEntry>,
    /// Models.
    pub models: Vec<ModelEntry>,
    /// How keys are chosen.
    pub pool: PoolSection,
    /// What happens after a provider's fault.
    pub retry: RetrySection,
    /// How long whom rests.
    pub rests: RestsSection,
    /// How limits are kept, and what is assumed of them.
    pub limits: LimitsSection,
    /// Where it outlives the process.
    pub store: StoreSection,
}

impl PoolConfig {
    /// Reads a file and the keys it names, with variables `KEYPOOL__POOL__STRATEGY` and the like over it. Keys that stand in
    /// variables of their own (`GEMINI_API_KEY`) are not among them: [`KeyVariables::source`](super::KeyVariables::source)
    /// finds those.
    ///
    /// # Errors
    /// Everything that is wrong with it, each by its place.
    pub fn load(path: impl AsRef<Path>, environment: &Environment) -> Result<(Self, KeySet), ConfigErrors> {
        let path = path.as_ref();
        let text = crate::whole_file::read_text(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(path, &text, environment)
    }

    /// The same of a file's text. Other files that it names are looked for in the folder of `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each by its place.
    pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<(Self, KeySet), ConfigErrors> {
        // A program's own tables may be set there, too.
        let own = ["keys", "models", "pool", "retry", "rests", "limits", "store"];
        let mut settings = environment.overlay();
        settings.retain(|setting| setting.path.first().is_some_and(|table| own.contains(&table.as_str())));
        let mut document = Document::new(path, text, &settings);
        let config: Self = document.read();
        config.check(&mut document);
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut sources = vec![config.source(&mut document, folder, environment, &[])];
        sources.extend(config.files(&mut document, folder, &[]));
        ConfigErrors::check(document.into_problems())?;
        Ok((config, KeySet::unite(sources)))
    }

    /// The keys of `[[keys]]`. `folder`: where files are looked for. `not_keys`: values that are no key.
    pub fn source(
        &self,
        document: &mut Document<'_>,
        folder: &Path,
        environment: &Environment,
        not_keys: &[&str],
    ) -> Source {
        self.source_at("keys", document, folder, environment, not_keys)
    }

    /// The same of keys that stand elsewhere in the file, at `place`.
    pub fn source_at(
        &self,
        place: &str,
        document: &mut Document<'_>,
        folder: &Path,
        environment: &Environment,
        not_keys: &[&str],
    ) -> Source {
        let mut source = Source::new(Rank::Configuration);
        let mut places: HashMap<String, usize> = HashMap::new();
        for (n, entry) in self.keys.iter().enumerate() {
            let (field, read) = match entry {
                KeyEntry { secret: Some(secret), .. } => ("secret", Ok(secret.expose().to_owned())),
                KeyEntry { secret_env: Some(name), .. } => ("secret_env", named(environment, name)),
                KeyEntry { secret_file: Some(path), .. } => ("secret_file", read(&folder.join(path))),
                _ => continue,
            };
            let path = format!("{place}[{n}].{field}");
            let checked = read.and_then(|secret| match key_file::check(&secret, not_keys) {
                Ok(()) => Ok(secret),
                Err(error) => Err(error.to_string()),
            });
            match checked {
                Ok(secret) => {
                    let (at, origin) = (format!("{place}[{n}]"), document.origin(&format!("{place}[{n}]")));
                    source.keys.push(spec(entry, &secret, origin.clone()));
                    let first = *places.entry(secret).or_insert(n);
                    if first != n {
                        let what = format!("this is the key of {place}[{first}] again: they are one");
                        source.notes.push(Problem::new(origin, &at, what));
                    }
                }
                Err(message) => document.problem(&path, message),
            }
        }
        source
    }

    /// The keys of `pool.key_files`.
    pub fn files(&self, document: &mut Document<'_>, folder: &Path, not_keys: &[&str]) -> Vec<Source> {
        self.files_at("pool.key_files", document, folder, not_keys)
    }

    /// The same of files that are named elsewhere in the file, at `place`.
    pub fn files_at(&self, place: &str, document: &mut Document<'_>, folder: &Path, not_keys: &[&str]) -> Vec<Source> {
        let mut sources = Vec::new();
        for path in self.key_paths_at(place, document, folder) {
            match KeyFile::load(&path, not_keys) {
                Ok(file) => sources.push(Source::from(file)),
                // Whoever takes out the last key and leaves a comment means it. A file that never had one is said, and
                // keys may stand elsewhere.
                Err(ref error @ FileError::Empty { ref skipped, lines, .. }) if skipped.is_empty() => {
                    let mut source = Source::new(Rank::File);
                    source.blank = (lines == 0).then(|| path.clone());
                    source.notes.push(Problem::new(Origin::file(path.as_path(), 0), "", error.to_string()));
                    sources.push(source);
                }
                Err(error) => document.problem(place, error.to_string()),
            }
        }
        sources
    }

    /// Where `pool.key_files` are: those that the file names in `folder`, others where this process runs.
    pub fn key_paths(&self, document: &Document<'_>, folder: &Path) -> Vec<PathBuf> {
        self.key_paths_at("pool.key_files", document, folder)
    }

    /// The same of files that are named elsewhere in the file, at `place`.
    pub fn key_paths_at(&self, place: &str, document: &Document<'_>, folder: &Path) -> Vec<PathBuf> {
        let in_file = matches!(document.origin(place), Origin::File { .. });
        let folder = if in_file { folder } else { Path::new("") };
        let named = self.pool.key_files.iter().filter(|path| !path.as_os_str().is_empty());
        named.map(|path| folder.join(path)).collect()
    }

    /// A pool by all of this but its keys.
    pub fn builder(&self, provider: impl Provider) -> KeyPoolBuilder {
        self.builder_for(Arc::new(provider))
    }

    /// The same for a provider that was chosen while the program runs.
    pub fn builder_for(&self, provider: Arc<dyn Provider>) -> KeyPoolBuilder {
        let mut builder = KeyPool::builder_for(provider)
            .strategy(self.pool.strategy)
            .spill(self.pool.spill)
            .spill_after(self.pool.spill_after.0)
            .wait(self.pool.wait.map_or(std::time::Duration::ZERO, |wait| wait.0))
            .retry(self.retry.rule())
            .rests(self.rests.table())
            .guard(self.limits.guard.0)
            .fixed_limits(!self.limits.learn)
            .known_limits(self.limits.assume_known.unwrap_or(false));
        let defaults = [("*", &self.limits.default)];
        let models = self.models.iter().map(|model| (model.name.as_str(), &model.limits));
        for (model, tiers) in models.chain(defaults) {
            for (tier, amounts) in tiers {
                builder = match plain_values::tier(tier) {
                    Some(tier) => builder.tier_limits(model, tier, amounts.limits()),
                    None => builder.limits(model, amounts.limits()),
                };
            }
        }
        for (model, tiers) in &self.limits.known {
            for (tier, amounts) in tiers {
                let tier = plain_values::tier(tier).unwrap_or(Tier::Free);
                builder = builder.known_limit(model, tier, amounts.limits());
            }
        }
        builder
    }

    /// Which models take another's place.
    pub fn fallback(&self) -> Models {
        let mut models = Models::new().on_overloaded(self.pool.fallback_on_overloaded);
        let listed = self.models.iter().filter_map(|model| Some((model.name.as_str(), model.priority.as_ref()?.0.0)));
        let listed: Vec<(&str, u16)> = listed.collect();
        if !self.pool.fallback.is_empty() {
            models = models.for_all(self.pool.fallback.iter().map(String::as_str));
        } else if !listed.is_empty() {
            models = models.by_priority(listed);
        }
        let mut aliases: BTreeMap<&str, Vec<(u16, &str)>> = BTreeMap::new();
        for model in &self.models {
            let place = model.priority.as_ref().map_or(Priority(u16::MAX), |place| place.0);
            for alias in &model.aliases {
                aliases.entry(alias).or_default().push((place.0, &model.name));
            }
        }
        for (alias, mut places) in aliases {
            places.sort_by_key(|(place, _)| *place);
            let stands_for: Vec<&str> = places.into_iter().map(|(_, name)| name).collect();
            models = models.alias_stepping(alias, &stands_for);
        }
        models
    }

    /// When a request is sent again.
    pub fn retry(&self) -> Retry {
        self.retry.rule()
    }
}

/// A file that cannot be read at all.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(Origin::file(path, 0), "", format!("the file cannot be read: {error}"))
}

fn named(environment: &Environment, name: &str) -> Result<String, String> {
    environment.get(name).map(str::to_owned).ok_or_else(|| "this variable is not set in the environment".to_owned())
}

fn spec(entry: &KeyEntry, secret: &str, origin: Origin) -> KeySpec {
    let name = |name: &Option<plain_values::Name>| name.as_ref().map(|name| name.0.clone());
    let mut labels = entry.labels.clone();
    if let Some(source) = name(&entry.source) {
        labels.insert("source".to_owned(), source);
    }
    KeySpec {
        id: entry.id.as_ref().map(|id| id.0.clone()),
        tier: entry.tier.as_ref().map(|tier| tier.0.clone()),
        priority: entry.priority.as_ref().map(|place| place.0),
        weight: entry.weight.as_ref().map(|weight| weight.0),
        owner: name(&entry.owner),
        billing_account: name(&entry.billing_account),
        exit: name(&entry.exit),
        max_concurrent: entry.max_concurrent_requests.as_ref().map(|most| most.0),
        min_interval: entry.min_interval.map(|interval| interval.0),
        zone: entry.zone.as_ref().map(|zone| zone.0.clone()),
        labels,
        limits: entry.limits.iter().map(|(model, amounts)| (model.clone(), amounts.limits())).collect(),
        ..KeySpec::new(secret, origin)
    }
}

impl From<KeyFile> for Source {
    fn from(file: KeyFile) -> Self {
        let mut source = Self::new(Rank::File);
        let note = |line, message: String| Problem::new(Origin::file(file.path.as_path(), line), "", message);
        source.notes.extend(file.skipped.iter().map(|skipped| {
            let what = skipped.entry.map_or_else(|| "the line".to_owned(), |entry| format!("entry {entry}"));
            note(skipped.line, format!("{what} is skipped: {}", skipped.error))
        }));
        let again = |merged: &key_file::Merged| {
            let what = match (merged.entry, merged.into_entry) {
                (Some(entry), Some(into)) => format!("entry {entry} is the key of entry {into} again"),
                _ => format!("this is the key of line {} again: what stands there holds", merged.into),
            };
            note(merged.line, what)
        };
        source.notes.extend(file.merged.iter().map(again));
        source.rejected = file.skipped.len();
        source.keys.extend(file.entries.into_iter().map(|entry| entry.spec));
        source
    }
}
