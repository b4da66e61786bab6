//! Reads it all, or says everything that is wrong.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tower_keypool::{
    Anthropic, Gemini, KeyPool, KeyPoolBuilder, OpenAi, Provider,
    config::{
        ConfigErrors, Document, Environment, Interval, KeySet, Origin, Problem, SecretText, Setting, Source,
        StoreSection,
    },
};

use super::{
    Administration, Beside, CacheAffinity, CompatMode, Config, ProviderName, UnknownNames, address, admin, beside,
    certificate, find, store, tenants, unread, variables,
};
use crate::client::Roots;
use crate::database::Told;
use crate::gateway::{
    By, Nearness, Paces, Waiting, capability::hash_of, dialect::Dialect, guard::Guard, listen::Bounds,
    resource::Unknown, route::Dialects, tenant::Grant, tls::Certified, token::PLACEHOLDER,
};

/// What a configuration is read from. Read again it is the same, but for what files hold.
#[derive(Clone)]
pub struct Inputs {
    /// The file, if one is named.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// Options of the command line.
    pub flags: Vec<Setting>,
    /// Keys from elsewhere, such as a database.
    pub more: Vec<Source>,
    /// Files that those are read from.
    pub more_files: BTreeSet<PathBuf>,
}

impl Inputs {
    /// A file, if one is named, this process's environment, and options.
    pub fn new(file: Option<PathBuf>, flags: Vec<Setting>) -> Self {
        Self { file, environment: Environment::process(), flags, more: Vec::new(), more_files: BTreeSet::new() }
    }
}

impl Inputs {
    /// What the database tells of keys; nothing where there is none.
    pub fn hear(&mut self, told: Option<Told>) {
        let (source, files) = told.map(|told| (told.source, told.files)).unzip();
        (self.more, self.more_files) = (source.into_iter().collect(), files.unwrap_or_default());
    }

    /// The same of what was read just now: files are not read again for it.
    #[must_use]
    pub fn hear_beside(&mut self, told: Option<Told>, loaded: Loaded) -> Loaded {
        if told.as_ref().is_none_or(Told::says_nothing) {
            return loaded;
        }
        self.hear(told);
        let mut files = loaded.files;
        files.extend(self.more_files.iter().cloned());
        Loaded { keys: unite(&loaded.sources, &self.more, &loaded.token), files, ..loaded }
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("file", &self.file).field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// A configuration without fault.
#[derive(Clone)]
pub struct Loaded {
    /// All settings.
    pub config: Config,
    /// The union of all keys.
    pub keys: KeySet,
    /// What it was made of, but for [`Inputs::more`].
    sources: Vec<Source>,
    /// Where the gateway listens.
    pub addresses: Vec<SocketAddr>,
    /// What clients send.
    pub token: String,
    /// Whether somebody chose it.
    pub own_token: bool,
    /// Who else may ask.
    pub tenants: Vec<Grant>,
    /// Who may administer, and where.
    pub admin: Administration,
    /// Whose API it is, and where.
    pub provider: Arc<dyn Provider>,
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
}

impl Loaded {
    /// What makes the pool.
    pub fn builder(&self) -> KeyPoolBuilder {
        self.config.pool().builder_for(Arc::clone(&self.provider)).keys(self.keys.keys())
    }

    /// The same with other keys from elsewhere.
    #[must_use]
    pub fn with(&self, more: &[Source]) -> Self {
        Self { keys: unite(&self.sources, more, &self.token), ..self.clone() }
    }

    /// How many lines of key files hold no key that can be used.
    pub fn rejected(&self) -> usize {
        self.sources.iter().map(|source| source.rejected).sum()
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
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What stands in the file, and over it.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) path: Option<PathBuf>,
    text: String,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

impl Texts {
    pub(super) fn folder(&self) -> PathBuf {
        self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned()
    }

    /// What is wrong with variables.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn document(&self) -> Document<'_> {
        Document::new(self.path.as_deref().unwrap_or(Path::new("")), &self.text, &self.settings)
    }
}

impl Inputs {
    /// The file and everything that is laid over it.
    pub(super) fn texts(&self) -> Result<Texts, Problem> {
        let path = find::file(self.file.as_deref(), &self.environment);
        let text = match &path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                Problem::new(Origin::file(path.as_path(), 0), "", format!("the configuration cannot be read: {error}"))
            })?,
            None => String::new(),
        };
        let shown = path.as_deref().unwrap_or(Path::new(""));
        let listen = Document::new(shown, &text, &[]).read::<Config>().gateway.listen;
        let mut strong = self.environment.overlay();
        if let Some(name) = self.environment.get("KEYPOOL_PROVIDER") {
            strong.insert(0, Setting::new("gateway.provider", name, Origin::env("KEYPOOL_PROVIDER")));
        }
        strong.extend(self.flags.iter().cloned());
        let provider = Document::new(shown, &text, &strong).read::<Config>().gateway.provider;
        let mut problems = Vec::new();
        let mut settings = variables::settings(&self.environment, provider, &listen, &mut problems);
        settings.extend(self.flags.iter().cloned());
        Ok(Texts { path, text, settings, problems })
    }

    /// Where a gateway that goes by it is reached on this machine, whatever else is wrong with it:
    /// `http://127.0.0.1:5000`.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn own_url(&self) -> Result<String, Problem> {
        let gateway = self.texts()?.document().read::<Config>().gateway;
        let secured = gateway.tls_cert.is_some() || gateway.tls_cert_file.is_some();
        let (host, port) = gateway.listen.rsplit_once(':').unwrap_or((&gateway.listen, "5000"));
        let host = match host {
            "0.0.0.0" | "" => "127.0.0.1",
            "[::]" => "[::1]",
            host => host,
        };
        Ok(format!("{}://{host}:{port}", if secured { "https" } else { "http" }))
    }

    /// The same of where it is administered.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn admin_url(&self) -> Result<String, Problem> {
        let config = self.texts()?.document().read::<Config>();
        let own = self.own_url()?;
        let Some(listen) = config.admin.listen else { return Ok(own) };
        let scheme = own.split("://").next().unwrap_or("http");
        let listen = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        Ok(format!("{scheme}://{listen}"))
    }

    /// What an administrator sends, where that can be found out.
    pub fn admin_token(&self) -> Option<String> {
        let texts = self.texts().ok()?;
        let (mut document, mut files) = (texts.document(), BTreeSet::new());
        let section = document.read::<Config>().admin;
        let given = section.token.as_ref().map(SecretText::expose);
        let names = ("admin.token", "admin.token_file");
        let token = secret_of(names, given, section.token_file.as_deref(), &texts.folder(), &mut document, &mut files);
        let named = || self.environment.get(section.token_env.as_deref()?).map(|value| value.trim().to_owned());
        token.filter(|token| token != UNREAD).or_else(named)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong, each thing by its place.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let texts = self.texts()?;
        let mut document = texts.document();
        let mut config: Config = document.read();
        fill(&mut config);
        let folder = texts.folder();
        let mut files: BTreeSet<PathBuf> = texts.path.iter().cloned().collect();

        let addresses = address::resolve(&config.gateway, &mut document);
        address::hosts(&config.gateway, &mut document);
        address::session_header(&config.gateway, &mut document);
        files.extend(variables::token_file(&self.environment));
        let gateway = &config.gateway;
        let names = ("gateway.token", "gateway.token_file");
        let given = gateway.token.as_ref().map(SecretText::expose);
        let given = secret_of(names, given, gateway.token_file.as_deref(), &folder, &mut document, &mut files);
        let store = store::resolve(&config.store, &folder, &mut document, &mut files);
        files.extend(store::files(&self.environment));
        let (token, own_token) = address::token(given.as_deref(), &addresses, &mut document);
        let tenants = tenants::resolve(&config, &addresses, Some(&token), &folder, &mut document, &mut files);
        files.extend(variables::admin_token_file(&self.environment));
        let known: Vec<String> = tenants.iter().map(|tenant| tenant.token_hash.clone()).collect();
        let known = [known, vec![hash_of(token.as_bytes())]].concat();
        let places = (&*folder, &mut document, &mut files);
        let admin = admin::resolve(&config, &self.environment, &addresses, &known, places);
        let gateway = &config.gateway;
        let upstream = gateway.upstream.as_deref();
        let provider = provider_at(gateway.provider, upstream, "gateway.upstream", &mut document);
        config.gateway.upstream = Some(provider.base().to_string());

        let roots = roots(&config, &folder, &mut document, &mut files);
        let certified = certificate::certified(&config.gateway, &folder, &mut document, &mut files);
        files.extend(certificate::files(&self.environment));
        address::log(&config.log, &mut document);
        config.batch.check(&mut document);

        let not_keys = [PLACEHOLDER, token.as_str()];
        let pool = config.pool();
        pool.check(&mut document);
        let mut problems = texts.problems.clone();
        let mut sources = vec![pool.source(&mut document, &folder, &self.environment, &not_keys)];
        if config.pool.key_files.is_empty() && Path::new(USUAL).exists() {
            config.pool.key_files.push(USUAL.into());
        }
        let pool = config.pool();
        sources.extend(pool.files(&mut document, &folder, &not_keys));
        files.extend(pool.key_paths(&document, &folder));
        let variables = config.gateway.provider.variables();
        let mut environment = variables.source(&self.environment, &not_keys, &mut problems);
        environment.notes.extend(unread::noted(&self.environment, &texts.text));
        sources.push(environment);
        files.extend(variables.files(&self.environment));
        files.extend(config.keys.iter().filter_map(|key| key.secret_file.as_ref()).map(|path| folder.join(path)));

        let beside = (&*folder, &self.environment, &not_keys[..]);
        let beside = beside::resolve(&config, &mut document, beside, &mut files);

        problems.extend(document.into_problems());
        ConfigErrors::check(problems)?;
        files.extend(self.more_files.iter().cloned());
        let keys = unite(&sources, &self.more, &token);
        Ok(Loaded {
            config,
            keys,
            sources,
            addresses,
            token,
            own_token,
            tenants,
            admin,
            provider,
            beside,
            store,
            roots,
            certified,
            files,
        })
    }
}

/// All keys; `more` was read by whoever did not know what clients send.
fn unite(sources: &[Source], more: &[Source], token: &str) -> KeySet {
    let more = more.iter().cloned().map(|source| source.without(&[PLACEHOLDER, token]));
    KeySet::unite(sources.iter().cloned().chain(more).collect())
}

/// The key file of those who name none.
const USUAL: &str = "key.txt";

/// What the library leaves open, as `serve` has it.
fn fill(config: &mut Config) {
    config.pool.wait.get_or_insert(Interval::seconds(5));
    config.limits.assume_known.get_or_insert(true);
}

/// What a secret is whose file cannot be read, which was noted.
pub(super) const UNREAD: &str = "unread";

/// A secret that a setting holds, or a file that another one names; of both the one that is set nearer to the command line
/// holds.
pub(super) fn secret_of(
    (text_at, file_at): (&str, &str),
    text: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
    document: &mut Document<'_>,
    files: &mut BTreeSet<PathBuf>,
) -> Option<String> {
    let near = |origin: &Origin| match origin {
        Origin::Flag(_) => 2,
        Origin::Env(_) => 1,
        _ => 0,
    };
    let text = text.map(str::to_owned);
    let Some(path) = file else { return text };
    let (text_from, file_from) = (near(&document.origin(text_at)), near(&document.origin(file_at)));
    if text.is_some() && text_from > file_from {
        return text;
    }
    if text.is_some() && text_from == file_from {
        let name = text_at.rsplit('.').next().unwrap_or_default();
        document.problem(file_at, format!("expected only one of {name} and {name}_file"));
    }
    let path = if file_from == 0 { folder.join(path) } else { path.to_owned() };
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            files.insert(path);
            Some(text.trim().to_owned())
        }
        Err(error) => {
            document.problem(file_at, format!("{} cannot be read: {error}", path.display()));
            Some(UNREAD.to_owned())
        }
    }
}

/// The certificates to trust. What is wrong with their file is noted.
fn roots(config: &Config, folder: &Path, document: &mut Document<'_>, files: &mut BTreeSet<PathBuf>) -> Roots {
    let Some(path) = &config.gateway.cacert else { return Roots::mozilla() };
    let in_file = matches!(document.origin("gateway.cacert"), Origin::File { .. });
    let path = if in_file { folder.join(path) } else { path.clone() };
    let roots = Roots::from_file(&path).unwrap_or_else(|error| {
        document.problem("gateway.cacert", format!("{}: {error}", path.display()));
        Roots::mozilla()
    });
    files.insert(path);
    roots
}

/// The provider at an address, which stands at `place`.
pub(super) fn provider_at(
    name: ProviderName,
    upstream: Option<&str>,
    place: &str,
    document: &mut Document<'_>,
) -> Arc<dyn Provider> {
    let made = match (name, upstream) {
        (ProviderName::Gemini, None) => return Arc::new(Gemini::new()),
        (ProviderName::OpenAi, None) => return Arc::new(OpenAi::new()),
        (ProviderName::Anthropic, None) => return Arc::new(Anthropic::new()),
        (ProviderName::Gemini, Some(base)) => Gemini::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::OpenAi, Some(base)) => OpenAi::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::Anthropic, Some(base)) => Anthropic::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
    };
    made.unwrap_or_else(|error| {
        document.problem(place, error.to_string());
        Arc::new(Gemini::new())
    })
}
