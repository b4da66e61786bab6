//! What a configuration is read from, and how: all of it, or everything that is wrong.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tower_keypool::config::{
    ConfigErrors, Document, Environment, Interval, Origin, Problem, SecretText, Setting, Source,
};

use super::{
    Begun, Config, Loaded, Written, address, admin, beside, certificate, exits, find,
    loaded::{tokens_of, unite},
    outside::{UNREAD, provider_at, roots, secret_of},
    start, store, tenants, unread, variables,
};
use crate::{
    database::Told,
    gateway::{capability::hash_of, token::PLACEHOLDER},
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
        let mut document = texts.document();
        let mut config: Config = document.read();
        fill(&mut config);
        let folder = texts.folder();
        let mut files: BTreeSet<PathBuf> = texts.path.iter().cloned().collect();

        let addresses = address::resolve(&config.gateway, &mut document);
        address::hosts(&config.gateway, &mut document);
        address::origins(&config.gateway, &mut document);
        address::session_header(&config.gateway, &mut document);
        files.extend(variables::token_file(&self.environment));
        let gateway = &config.gateway;
        let names = ("gateway.token", "gateway.token_file");
        let given = gateway.token.as_ref().map(SecretText::expose);
        let given = secret_of(names, given, gateway.token_file.as_deref(), &folder, &mut document, &mut files);
        let store = store::resolve(&config.store, &folder, &mut document, &mut files);
        files.extend(store::files(&self.environment));
        let mut weak = address::Weak::default();
        let (token, own_token) = address::token(given.as_deref(), &addresses, &mut document, &mut weak);
        let noted = (&mut files, &mut weak);
        let tenants = tenants::resolve(&config, &addresses, Some(&token), &folder, &mut document, noted);
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

        let exits = exits::resolve(&config, &self.environment, &folder, &mut document, &mut files);
        let not_keys = [PLACEHOLDER, "PLACEHOLDER_OPENAI_TOKEN", "PLACEHOLDER_ANTHROPIC_TOKEN", token.as_str()];
        let pool = config.pool();
        pool.check(&mut document);
        let mut problems = [&*texts.not_text, &*texts.problems].concat();
        let mut sources = vec![pool.source(&mut document, &folder, &self.environment, &not_keys)];
        let tokens = tenants.iter().map(|tenant| &tenant.token_hash).chain(&admin.token_hash);
        sources[0].tokens.extend(tokens.cloned().chain(tokens_of(&self.more)));
        if config.pool.key_files.is_empty() {
            if self.usual || Path::new(USUAL).exists() {
                config.pool.key_files.push(USUAL.into());
            }
            // It may come.
            files.insert(USUAL.into());
        }
        let pool = config.pool();
        sources.extend(pool.files(&mut document, &folder, &not_keys));
        files.extend(pool.key_paths(&document, &folder));
        let variables = config.gateway.provider.variables();
        let mut environment = variables.source(&self.environment, &not_keys, &mut problems);
        let unread = unread::noted(&self.environment, &texts.text);
        environment.notes.extend(unread.iter().cloned());
        environment.notes.extend(texts.blank_note().into_iter().chain(weak.notes));
        sources.push(environment);
        files.extend(variables.files(&self.environment));
        files.extend(config.keys.iter().filter_map(|key| key.secret_file.as_ref()).map(|path| folder.join(path)));

        let beside = (&*folder, &self.environment, (&not_keys[..], &sources[0].tokens));
        let beside = beside::resolve(&config, (&exits, &addresses), &mut document, beside, (&mut files, &mut problems));
        exits.check(&config.keys, "keys", &mut document);
        problems.extend(exits.problems(&sources[1..]));
        if serves {
            start::log(&config.log, &mut document);
            start::store(&store, &self.environment, &mut document, &mut problems);
            start::listens("gateway.listen", &addresses, &mut document);
            start::listens("admin.listen", admin.addresses.as_deref().unwrap_or_default(), &mut document);
            start::is_itself(provider.base(), &addresses, &mut document);
        }

        problems.extend(document.into_problems());
        if !texts.settings.is_empty() {
            // What is laid over a mistake hides it for as long as it is there.
            let mut alone = Document::new(texts.path.as_deref().unwrap_or(Path::new("")), &texts.text, &[]);
            let _: Config = alone.read();
            let hidden = alone.into_problems().into_iter().filter(|problem| !problems.contains(problem));
            problems.extend(hidden.collect::<Vec<_>>());
        }
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
}

/// The key file of those who name none.
const USUAL: &str = "key.txt";

/// What the library leaves open, as `serve` has it.
fn fill(config: &mut Config) {
    config.pool.wait.get_or_insert(Interval::seconds(5));
    config.limits.assume_known.get_or_insert(true);
}
