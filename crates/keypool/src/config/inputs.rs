//! What a configuration is read from, and how: all of it, or everything that is wrong.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tower_keypool::config::{
    ConfigErrors, Document, Environment, Interval, Origin, Problem, SecretText, Setting, Source,
};

use super::{
    Administration, Begun, Config, Loaded, Written, address, admin, beside, certificate, exits, find,
    loaded::{tokens_of, unite},
    outside::{provider_at, roots},
    reading::{Reading, UNREAD},
    start, store, tenants, unread, variables,
};
use crate::{
    database::Told,
    gateway::{capability::hash_of, tenant::Grant, token::PLACEHOLDER},
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
    /// Files that were named when it was read last, whatever came of that: one that was not there may come.
    pub named: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The usual key file (`key.txt`) was there, and is meant from then on.
    pub usual: bool,
}

impl Inputs {
    /// A file, if one is named, this process's environment, and options.
    pub fn new(file: Option<PathBuf>, flags: Vec<Setting>) -> Self {
        Self {
            file,
            environment: Environment::process(),
            flags,
            more: Vec::new(),
            more_files: BTreeSet::new(),
            named: Arc::default(),
            usual: false,
        }
    }
}

impl Inputs {
    /// What the database tells of keys; nothing where there is none.
    pub fn hear(&mut self, told: Option<Told>) {
        let (source, files) = told.map(|told| (told.source, told.files)).unzip();
        (self.more, self.more_files) = (source.into_iter().collect(), files.unwrap_or_default());
    }

    /// The file that was found is meant from now on, as if it had been named: that it is gone is no wish to do without it.
    pub fn stay(&mut self) {
        self.file = find::file(self.file.as_deref(), &self.environment);
    }

    /// The same of the usual key file, where this was read from it.
    pub fn stay_with(&mut self, loaded: &Loaded) {
        self.usual |= loaded.config.pool.key_files == [Path::new(USUAL)];
    }

    /// The same of what was read just now: files are not read again for it.
    #[must_use]
    pub fn hear_beside(&mut self, told: Option<Told>, loaded: Loaded) -> Loaded {
        if told.as_ref().is_none_or(Told::says_nothing) {
            return loaded;
        }
        self.hear(told);
        let mut files = loaded.files.clone();
        files.extend(self.more_files.iter().cloned());
        Loaded { files, ..loaded.with(&self.more) }
    }
}

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inputs").field("file", &self.file).field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// What stands in the file, and over it.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) path: Option<PathBuf>,
    text: String,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
    /// Of variables that are no text: nobody knows what they should say.
    not_text: Vec<Problem>,
}

impl Texts {
    pub(super) fn folder(&self) -> PathBuf {
        self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned()
    }

    /// That there is a file, and nothing in it: as a rule somebody, or a full disk, emptied it.
    fn blank_note(&self) -> Option<Problem> {
        let path = self.path.as_deref().filter(|_| Written::of(&self.text) == Written::Blank)?;
        let what = "it is empty, and sets nothing; what runs and read settings in it goes on with those (a comment, # none, \
                    where none are meant)";
        Some(Problem::new(Origin::file(path, 0), "", what))
    }

    /// What is wrong with variables.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Variables that are no text.
    pub(super) fn not_text(&self) -> &[Problem] {
        &self.not_text
    }

    /// What is laid over a mistake in the file hides it for as long as it is there: those that are not among `said`.
    fn hidden_problems(&self, said: &[Problem]) -> Vec<Problem> {
        if self.settings.is_empty() {
            return Vec::new();
        }
        let mut alone = Document::new(self.path.as_deref().unwrap_or(Path::new("")), &self.text, &[]);
        let _: Config = alone.read();
        alone.into_problems().into_iter().filter(|problem| !said.contains(problem)).collect()
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
            Some(path) => tower_keypool::config::read_text(path).map_err(|error| {
                let what = "check that it is a file and that this user may read it";
                let what = format!("the configuration cannot be read ({error}): {what}");
                Problem::new(Origin::file(path.as_path(), 0), "", what)
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
        let not_text = unread::not_text(&self.environment, &text);
        Ok(Texts { path, text, settings, problems, not_text })
    }

    /// Variables that are called like ours and that nothing reads.
    pub fn unread(&self) -> Vec<Problem> {
        self.texts().map_or_else(|_| Vec::new(), |texts| unread::noted(&self.environment, &texts.text))
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
        let mut reading = Reading::of(texts.document(), texts.folder(), &self.environment);
        let section = reading.document.read::<Config>().admin;
        let given = section.token.as_ref().map(SecretText::expose);
        let names = ("admin.token", "admin.token_file");
        let token = reading.secret(names, given, section.token_file.as_deref());
        let named = || self.environment.get(section.token_env.as_deref()?).map(|value| value.trim().to_owned());
        token.filter(|token| token != UNREAD).or_else(named)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong, each thing by its place.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.read(false)
    }

    /// Reads it for a gateway that is to begin: places that it could not write, or listen at, are wrong as well.
    ///
    /// # Errors
    /// Everything that is wrong, each thing by its place.
    pub fn load_to_serve(&self) -> Result<Loaded, ConfigErrors> {
        self.read(true)
    }

    /// What is wrong with the store, by the place that names it.
    pub fn of_store(&self, what: impl std::fmt::Display) -> ConfigErrors {
        let origin = self.texts().map_or(Origin::Default, |texts| texts.document().origin("store.url"));
        Problem::new(origin, "store.url", what.to_string()).into()
    }

    fn read(&self, serves: bool) -> Result<Loaded, ConfigErrors> {
        let begun = Begun::now();
        let texts = self.texts()?;
        let mut reading = Reading::of(texts.document(), texts.folder(), &self.environment);
        reading.files.extend(texts.path.iter().cloned());
        reading.files.extend(files_of_variables(&self.environment));
        reading.problems.extend([&*texts.not_text, &*texts.problems].concat());
        let mut config: Config = reading.document.read();
        fill(&mut config);

        let Entrance { addresses, token, own_token, tenants, admin } = Entrance::of(&config, &mut reading);
        let store = store::resolve(&config.store, &mut reading);
        let (kind, upstream) = (config.gateway.provider, config.gateway.upstream.as_deref());
        let provider = provider_at(kind, upstream, "gateway.upstream", &mut reading.document);
        config.gateway.upstream = Some(provider.base().to_string());
        let roots = roots(&config, &mut reading);
        let certified = certificate::certified(&config.gateway, &mut reading);
        address::log(&config.log, &mut reading.document);
        config.batch.check(&mut reading.document);
        let exits = exits::resolve(&config, &mut reading);
        config.pool().check(&mut reading.document);

        let not_keys = [PLACEHOLDER, "PLACEHOLDER_OPENAI_TOKEN", "PLACEHOLDER_ANTHROPIC_TOKEN", token.as_str()];
        let tokens = tenants.iter().map(|tenant| &tenant.token_hash).chain(&admin.token_hash).cloned();
        let unread = unread::noted(&self.environment, &texts.text);
        let notes = unread.iter().cloned().chain(texts.blank_note()).chain(std::mem::take(&mut reading.weak.notes));
        let sources = self.sources(&mut config, &not_keys, (tokens.collect(), notes.collect()), &mut reading);
        let to_beside = (&not_keys[..], &sources[0].tokens);
        let beside = beside::resolve(&config, (&exits, &addresses), to_beside, &mut reading);
        exits.check(&config.keys, "keys", &mut reading.document);
        reading.problems.extend(exits.problems(&sources[1..]));
        if serves {
            start::log(&config.log, &mut reading.document);
            start::store(&store, &mut reading);
            start::listens("gateway.listen", &addresses, &mut reading.document);
            start::listens("admin.listen", admin.addresses.as_deref().unwrap_or_default(), &mut reading.document);
            start::is_itself(provider.base(), &addresses, &mut reading.document);
        }

        let Reading { document, mut files, mut problems, weak, .. } = reading;
        problems.extend(document.into_problems());
        problems.extend(texts.hidden_problems(&problems));
        if !problems.is_empty() {
            // What is wrong may be just that: a setting that was misspelled.
            problems.extend(unread);
        }
        files.extend(self.more_files.iter().cloned());
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&files);
        ConfigErrors::check(problems)?;
        let keys = unite(&sources, &self.more, &token, &exits);
        Ok(Loaded {
            written: texts.path.clone().map(|path| (path, Written::of(&texts.text))),
            config,
            keys,
            sources: sources.into(),
            addresses,
            token,
            own_token,
            near_only: weak.near_only,
            tenants,
            admin,
            provider,
            exits,
            beside,
            store,
            roots,
            certified,
            files,
            begun,
        })
    }

    /// Where keys come from: the configuration itself, key files, variables. `tokens`, by their hashes, are none; `notes` are
    /// said with the variables'.
    fn sources(
        &self,
        config: &mut Config,
        not_keys: &[&str],
        (tokens, notes): (Vec<String>, Vec<Problem>),
        reading: &mut Reading<'_>,
    ) -> Vec<Source> {
        let Reading { document, environment, folder, files, problems, .. } = reading;
        let mut own = config.pool().source(document, folder, environment, not_keys);
        own.tokens.extend(tokens.into_iter().chain(tokens_of(&self.more)));
        if config.pool.key_files.is_empty() {
            if self.usual || Path::new(USUAL).exists() {
                config.pool.key_files.push(USUAL.into());
            }
            // It may come.
            files.insert(USUAL.into());
        }
        let pool = config.pool();
        let of_files = pool.files(document, folder, not_keys);
        files.extend(pool.key_paths(document, folder));
        let variables = config.gateway.provider.variables();
        let mut of_variables = variables.source(environment, not_keys, problems);
        of_variables.notes.extend(notes);
        files.extend(variables.files(environment));
        files.extend(config.keys.iter().filter_map(|key| key.secret_file.as_ref()).map(|path| folder.join(path)));
        std::iter::once(own).chain(of_files).chain([of_variables]).collect()
    }
}

/// Where the gateway listens, and whom it lets in.
struct Entrance {
    addresses: Vec<SocketAddr>,
    token: String,
    own_token: bool,
    tenants: Vec<Grant>,
    admin: Administration,
}

impl Entrance {
    fn of(config: &Config, reading: &mut Reading<'_>) -> Self {
        let gateway = &config.gateway;
        let addresses = address::resolve(gateway, &mut reading.document);
        address::hosts(gateway, &mut reading.document);
        address::origins(gateway, &mut reading.document);
        address::session_header(gateway, &mut reading.document);
        let given = gateway.token.as_ref().map(SecretText::expose);
        let given = reading.secret(("gateway.token", "gateway.token_file"), given, gateway.token_file.as_deref());
        let (token, own_token) = address::token(given.as_deref(), &addresses, reading);
        let tenants = tenants::resolve(config, &addresses, Some(&token), reading);
        let mut known: Vec<String> = tenants.iter().map(|tenant| tenant.token_hash.clone()).collect();
        known.push(hash_of(token.as_bytes()));
        let admin = admin::resolve(config, &addresses, &known, reading);
        Self { addresses, token, own_token, tenants, admin }
    }
}

/// Files that variables name, beside those of keys.
fn files_of_variables(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    let tokens = variables::token_file(environment).into_iter().chain(variables::admin_token_file(environment));
    tokens.chain(store::files(environment)).chain(certificate::files(environment))
}

/// The key file of those who name none.
const USUAL: &str = "key.txt";

/// What the library leaves open, as `serve` has it.
fn fill(config: &mut Config) {
    config.pool.wait.get_or_insert(Interval::seconds(5));
    config.limits.assume_known.get_or_insert(true);
}
