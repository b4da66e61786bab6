//! `[[providers]]`: others beside the gateway's own.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::{
    Base, KeyPoolBuilder, Provider,
    config::{KeyEntry, KeySet, PoolConfig, Problem, Source},
};

use super::{
    Config, Exits, Inputs, ProviderName, loaded::tokens_of, outside::provider_at, reading::Reading, sections::UPSTREAM,
    start, variables,
};

/// A provider beside the one of the gateway, with keys and a pool of its own. Requests go to it by path (/to/NAME/v1/…), or,
/// where the gateway is for Gemini, by the model that they ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub struct ProviderEntry {
    /// What paths call it: letters, digits, - and _.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,64}$"), extend("not" = { "const": "main" }))]
    pub name: String,
    /// Whose API it is.
    pub kind: ProviderName,
    /// Where requests go, a URL such as https://host:port/path; the provider's own address unless set.
    #[schemars(regex(pattern = UPSTREAM))]
    pub upstream: Option<String>,
    /// Models that requests go to it for: names, or their beginnings with a * behind; unless set those that its kind is
    /// known for (gpt-*, o3*, ft:* and so on; claude-*).
    #[schemars(inner(regex(pattern = r"^([^*]+\**|\*+)$")))]
    pub models: Vec<String>,
    /// Its keys.
    pub keys: Vec<KeyEntry>,
    /// Files of its keys; relative to this configuration's folder.
    pub key_files: Vec<PathBuf>,
}

/// One of them, without fault.
#[derive(Clone)]
pub struct Beside {
    /// What paths call it.
    pub name: String,
    /// Whose API it is.
    pub kind: ProviderName,
    /// The same, and where.
    pub provider: Arc<dyn Provider>,
    /// Models that requests go to it for.
    pub models: Vec<String>,
    keys: KeySet,
    /// What they were made of.
    sources: Vec<Source>,
    /// What is no key, whoever says so.
    not_keys: Vec<String>,
    settings: PoolConfig,
    exits: Exits,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Inputs {
    /// What the providers beside the gateway's own are called, whatever else is wrong.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn providers(&self) -> Result<Vec<String>, Problem> {
        let providers = self.texts()?.document().read::<Config>().providers;
        Ok(providers.into_iter().map(|entry| entry.name).collect())
    }
}

impl Beside {
    /// What makes its pool: all settings are those of the gateway's own, but keys and limits.
    pub fn builder(&self) -> KeyPoolBuilder {
        let builder = self.settings.builder_for(Arc::clone(&self.provider)).keys(self.keys.keys());
        builder.same_exits(self.exits.ways.same_everywhere())
    }

    /// The same with keys from elsewhere, such as a database, too.
    #[must_use]
    pub fn with(&self, more: &[Source]) -> Self {
        let not_keys: Vec<&str> = self.not_keys.iter().map(String::as_str).collect();
        let more = more.iter().cloned().map(|source| source.without(&not_keys));
        let mut keys = KeySet::unite(self.sources.iter().cloned().chain(more).collect());
        self.exits.give(&mut keys);
        Self { keys, ..self.clone() }
    }

    /// The same where these tell which tokens open the gateway: they are no keys of its, either.
    #[must_use]
    pub(super) fn knowing(&self, more: &[Source]) -> Self {
        let mut known = self.clone();
        known.sources[0].tokens.extend(tokens_of(more));
        known.keys = KeySet::unite(known.sources.clone());
        known.exits.give(&mut known.keys);
        known
    }

    /// Says that it has no key, where it has none.
    pub fn warn_of_none(&self) {
        if let Some(none) = self.none() {
            tracing::warn!("{none}");
        }
    }

    /// That it has no key, where it has none, and what to do about it.
    pub fn none(&self) -> Option<String> {
        let (name, variable) = (&self.name, self.kind.variables().example());
        self.keys.is_empty().then(|| {
            format!(
                "providers.{name} has no key: name some by keys or key_files, set {variable}, or keypool add-key --provider {name}"
            )
        })
    }

    /// Its keys.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// What they were made of, but for those of a database.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Its settings.
    pub fn settings(&self) -> &PoolConfig {
        &self.settings
    }
}

/// All of them. What is wrong is noted.
pub(super) fn resolve(
    config: &Config,
    (exits, addresses): (&Exits, &[SocketAddr]),
    (not_keys, tokens): (&[&str], &HashSet<String>),
    reading: &mut Reading<'_>,
) -> Vec<Beside> {
    let Reading { document, environment, folder, files, problems, .. } = reading;
    let mut names = BTreeSet::new();
    let mut resolved = Vec::new();
    for (n, entry) in config.providers.iter().enumerate() {
        let at = |field: &str| format!("providers[{n}].{field}");
        if entry.name == "main" {
            document.problem(&at("name"), "main is the name of the gateway's own pool");
        } else if !is_name(&entry.name) {
            document.problem(&at("name"), "expected 1 to 64 letters, digits, - and _");
        } else if !names.insert(entry.name.as_str()) {
            document.problem(&at("name"), "another provider has this name");
        }
        for (model, pattern) in entry.models.iter().enumerate() {
            if pattern.trim_end_matches('*').contains('*') || pattern.is_empty() {
                document.problem(&at(&format!("models[{model}]")), "expected a name, or its beginning with a * behind");
            }
        }
        let mut settings = config.pool();
        settings.keys.clone_from(&entry.keys);
        settings.pool.key_files.clone_from(&entry.key_files);
        // What is assumed of the gateway's own models says nothing of these.
        settings.limits.default.clear();
        settings.check_keys_at(&at("keys"), document);
        let mut sources = vec![settings.source_at(&at("keys"), document, folder, environment, not_keys)];
        sources[0].tokens.clone_from(tokens);
        sources.extend(settings.files_at(&at("key_files"), document, folder, not_keys));
        files.extend(settings.key_paths_at(&at("key_files"), document, folder));
        files.extend(entry.keys.iter().filter_map(|key| key.secret_file.as_ref()).map(|path| folder.join(path)));
        // Variables are for whoever is the first of a kind.
        let is_first = entry.kind != config.gateway.provider
            && config.providers.iter().position(|other| other.kind == entry.kind) == Some(n);
        let mut upstream = entry.upstream.clone();
        if is_first {
            let variables = entry.kind.variables();
            let mut source = variables.source(environment, not_keys, problems);
            files.extend(variables.files(environment));
            let named = || variables::upstream(entry.kind).iter().find_map(|name| environment.named(name));
            if let Some(named) = upstream.is_none().then(named).flatten() {
                // As it is set for clients of this gateway, on the same machine.
                if Base::parse(&named.value).is_ok_and(|base| start::leads_here(&base, addresses)) {
                    let why =
                        format!("it is where this gateway listens itself, and is not used for {}", at("upstream"));
                    source.notes.push(Problem::new(named.origin(), "", why));
                } else {
                    upstream = Some(named.value);
                }
            }
            sources.push(source);
        }
        // One without any may have some in the database.
        exits.check(&entry.keys, &at("keys"), document);
        problems.extend(exits.problems(&sources[1..]));
        let mut keys = KeySet::unite(sources.clone());
        exits.give(&mut keys);
        let not_keys = not_keys.iter().map(|&text| text.to_owned()).collect();
        let provider = provider_at(entry.kind, upstream.as_deref(), &at("upstream"), document);
        let (name, kind) = (entry.name.clone(), entry.kind);
        let models = match &*entry.models {
            [] => usual_models(kind, config.gateway.provider),
            models => models.to_vec(),
        };
        resolved.push(Beside { name, kind, provider, models, keys, sources, not_keys, settings, exits: exits.clone() });
    }
    resolved
}

/// What a kind of provider is known for. Of two for Gemini the gateway's own has them.
fn usual_models(kind: ProviderName, own: ProviderName) -> Vec<String> {
    let models: &[&str] = match kind {
        kind if kind == own => &[],
        ProviderName::Gemini => &["gemini-*", "gemma-*", "imagen-*", "veo-*", "learnlm-*"],
        ProviderName::OpenAi => &[
            "gpt-*",
            "chatgpt-*",
            "o1*",
            "o3*",
            "o4*",
            "codex-*",
            "computer-use-*",
            "ft:*",
            "davinci-*",
            "babbage-*",
            "text-embedding-3-*",
            "text-embedding-ada-*",
            "omni-moderation-*",
            "dall-e-*",
            "sora-*",
            "tts-*",
            "whisper-*",
        ],
        ProviderName::Anthropic => &["claude-*"],
    };
    models.iter().map(|&model| model.to_owned()).collect()
}

fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use tower_keypool::config::Environment;

    use super::*;

    const SECRET: &str = "sk-not-a-real-key-000000000001";

    fn loaded(text: &str) -> Result<Vec<Beside>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keypool.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("others.txt"), "sk-not-a-real-key-000000000002\n").unwrap();
        let mut inputs = Inputs::new(Some(file), Vec::new());
        inputs.environment = Environment::of([("OTHER", SECRET)]);
        inputs.load().map(|loaded| loaded.beside).map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_a_kind_is_known_for_goes_to_it() {
        let openais = usual_models(ProviderName::OpenAi, ProviderName::Gemini);
        for (model, is_its) in [
            ("gpt-5", true),
            ("ft:gpt-4o-mini-2024-07-18:acme::abc", true),
            ("davinci-002", true),
            ("babbage-002", true),
            ("gemini-2.5-flash", false),
        ] {
            assert_eq!(crate::gateway::model_names::is_among(&openais, model), is_its, "{model}");
        }
    }

    /// Of the environment, for the first of a kind whose file says nothing; never back to this gateway.
    #[test]
    fn a_base_that_a_variable_names_is_taken_with_the_keys_of_variables() {
        let base = |more: &str, url: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("keypool.toml");
            let entries = format!(
                "[[providers]]\nname = \"a\"\nkind = \"openai\"\n{more}\n[[providers]]\nname = \"b\"\nkind = \"openai\"\n"
            );
            std::fs::write(&file, entries).unwrap();
            let mut inputs = Inputs::new(Some(file), Vec::new());
            let variables =
                [("OPENAI_API_KEY", SECRET), ("GEMINI_API_KEY", "AIza-not-a-real-key-0001"), ("OPENAI_BASE_URL", url)];
            inputs.environment = Environment::of(variables);
            let loaded = inputs.load().unwrap();
            let notes: Vec<String> = loaded.notes().map(ToString::to_string).collect();
            (loaded.beside.iter().map(|beside| beside.provider.base().to_string()).collect::<Vec<_>>(), notes)
        };
        let usual = "https://api.openai.com/v1";
        assert_eq!(base("", "http://local.example/v1").0, ["http://local.example/v1", usual]);
        assert_eq!(
            base("upstream = \"https://said.example\"", "http://local.example/v1").0,
            ["https://said.example", usual]
        );
        let (bases, notes) = base("", "http://localhost:5000/v1");
        assert_eq!(bases, [usual, usual]);
        assert!(
            notes.iter().any(|note| note.contains("OPENAI_BASE_URL") && note.contains("listens itself")),
            "{notes:?}"
        );
    }

    #[test]
    fn each_has_its_own_keys() {
        let text = r#"
            [[providers]]
            name = "open"
            kind = "openai"
            upstream = "https://openrouter.example/api"
            models = ["gpt-*", "o3"]
            keys = [{ secret_env = "OTHER", limits."*" = { rpm = 60 } }]
            key_files = ["others.txt"]

            [[providers]]
            name = "claude"
            kind = "anthropic"
            key_files = ["others.txt"]
        "#;
        let beside = loaded(text).unwrap();
        assert_eq!((beside.len(), beside[0].name.as_str(), beside[1].kind), (2, "open", ProviderName::Anthropic));
        assert_eq!(beside[0].provider.base().to_string(), "https://openrouter.example/api");
        assert_eq!(beside[1].provider.base().to_string(), "https://api.anthropic.com");
        let pools = beside.iter().map(|beside| beside.builder().build().unwrap().snapshot().total_keys);
        assert_eq!(pools.collect::<Vec<_>>(), [2, 1]);
        assert!(!format!("{beside:?}").contains(SECRET));
    }

    /// As the configuration says of `limits.default`.
    #[test]
    fn what_is_assumed_of_the_first_providers_models_says_nothing_of_theirs() {
        let key =
            "[[providers]]\nname = \"open\"\nkind = \"openai\"\nkeys = [{ secret_env = \"OTHER\", tier = \"free\" }]\n";
        let limits = |text: &str| {
            let pool = loaded(&format!("{text}\n{key}")).unwrap()[0].builder().build().unwrap();
            drop(pool.try_acquire("gpt-x").unwrap());
            pool.snapshot().keys[0].lanes.iter().map(|lane| lane.limits.len()).sum::<usize>()
        };
        assert_eq!(limits("[limits.default.free]\nrpm = 5"), 0);
        assert_eq!(limits("[[models]]\nname = \"gpt-x\"\nlimits.free.rpm = 5"), 1);
    }

    #[test]
    fn what_is_wrong_is_said_at_its_place() {
        for (entry, said) in [
            ("name = \"a b\"\nkey_files = [\"others.txt\"]", "providers[0].name"),
            ("name = \"a\"\nkeys = [{ secret_env = \"NOBODYS\" }]", "providers[0].keys[0].secret_env"),
            ("name = \"a\"\nkeys = [{}]", "providers[0].keys[0]"),
            (
                "name = \"a\"\nkeys = [{ secret = \"k\", secret_env = \"OTHER\" }]",
                "providers[0].keys[0]: expected exactly one",
            ),
            (
                "name = \"a\"\nkeys = [{ secret_env = \"OTHER\", id = \"x\" }, { secret_env = \"OTHER\", id = \"x\" }]",
                "providers[0].keys[1].id: providers[0].keys[0] has this id already",
            ),
            ("name = \"a\"\nkey_files = [\"none.txt\"]", "providers[0].key_files"),
            ("name = \"a\"\nkey_files = [\"others.txt\"]\nmodels = [\"a*b\"]", "providers[0].models[0]"),
            ("name = \"a\"\nkey_files = [\"others.txt\"]\nupstream = \"x\"", "providers[0].upstream"),
            ("name = \"a\"\nkind = \"nobody\"", "providers[0].kind"),
        ] {
            let error = loaded(&format!("[[providers]]\n{entry}\n")).unwrap_err();
            assert!(error.contains(said), "{entry}: {error}");
        }
        // Once, and what it is.
        let short = loaded("[[providers]]\nname = \"a\"\nkeys = [{ secret = \"sk-1\" }]\n").unwrap_err();
        assert_eq!(short.lines().filter(|line| line.contains("providers[0]")).count(), 1, "{short}");
        assert!(short.contains("providers[0].keys[0].secret"), "{short}");
        let twice = "[[providers]]\nname = \"a\"\nkey_files = [\"others.txt\"]\n".repeat(2);
        assert!(loaded(&twice).unwrap_err().contains("another provider has this name"));
    }
}
