//! Reads the configuration again when a file of it changes, or on SIGHUP, and the keys of the database when a command
//! changes them; and makes the running gateway, or batch, go by it. No request is dropped: each ends as it began. What is wrong
//! is refused as a whole, and the old goes on.

mod hangups;
mod news;
mod watch;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle};
use tower_keypool::{
    KeyError, KeyPool,
    config::{ConfigErrors, Origin, Problem},
};

use crate::{
    admin::Ask,
    config::{self, Inputs, Loaded},
    database::{Keys, Told},
};
pub use hangups::{Hangups, terminal_gone};
use news::News;
pub use news::Runs;
use watch::Watch;

/// Makes what runs go by another configuration.
pub type Apply = Arc<dyn Fn(&Loaded) -> Applied + Send + Sync>;
/// That, under way.
pub type Applied = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Hears what was taken, in one line.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// What may have changed before it was watched is looked at this much later: the first requests go first.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// The running configuration.
pub struct Reload {
    /// What it is read from.
    pub inputs: Inputs,
    /// As it is now.
    pub loaded: Loaded,
    /// The keys of the database.
    pub keys: Keys,
    /// The pool that goes by it.
    pub pool: KeyPool,
    /// What runs.
    pub runs: Runs,
    /// What else goes by it.
    pub apply: Apply,
    /// Who hears of it. What is refused is an error of the log.
    pub tell: Tell,
    /// Who wants it to be read again, and to be told what came of it.
    pub asks: mpsc::Receiver<Ask>,
    /// Those of all the time since it was read.
    pub hangups: Hangups,
}

/// Why a new configuration was not taken.
enum Refused {
    Wrong(ConfigErrors),
    /// More lines of key files than before are no key, or others.
    Lines(Vec<Problem>),
    /// These key files had keys, and have not one line by now.
    Emptied(Vec<PathBuf>),
    /// The configuration file had settings, and has nothing by now.
    Cleared(PathBuf),
    /// Half of a key that was there stands here.
    Torn(Origin),
    NoKey,
    /// Another provider: its keys are nothing for the one that is served.
    Provider,
    Key(KeyError),
}

impl Reload {
    /// Follows the files, and SIGHUP, until the task is aborted.
    pub fn follow(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            self.inputs.stay_with(&self.loaded);
            let mut watch = Watch::new(&self.loaded.files);
            // It was read before anybody watched.
            let mut again = true;
            let mut settling = false;
            // What was refused last, as it was told; and whether it is read again only since a folder was replaced.
            let (mut told_of, mut moved) = (None, false);
            loop {
                let mut teller = None;
                let mut is_same = false;
                let asked = tokio::select! {
                    () = tokio::time::sleep(AFTERWARDS), if again => {
                        again = false;
                        // As a rule nothing has, and a thousand keys need not be read twice.
                        if self.loaded.begun.found(&self.loaded.files) {
                            continue;
                        }
                        is_same = moved;
                        false
                    }
                    () = watch.changed() => false,
                    () = self.hangups.next() => true,
                    Some(ask) = self.asks.recv() => {
                        teller = Some(ask);
                        true
                    }
                    told = self.keys.changed() => {
                        self.take_keys(told).await;
                        again |= watch.follow(&self.loaded.files);
                        continue;
                    }
                };
                again = false;
                let Some(taken) = self.read_again().await else { continue };
                let is_cut = matches!(taken, Err(Refused::Emptied(_) | Refused::Cleared(_) | Refused::Torn(_)))
                    && teller.is_none();
                let refused = taken.as_ref().err().map(Refused::to_string);
                let is_told = is_same && refused == told_of;
                settling = is_cut && !settling && !is_told;
                if settling {
                    // As a rule somebody cut it off to write it anew, and goes on writing just now.
                    (again, moved) = (true, false);
                    continue;
                }
                if let Some(teller) = teller {
                    let _ = teller.send(taken.as_ref().map(News::to_string).map_err(Refused::to_string));
                }
                told_of = refused;
                match taken {
                    Ok(news) => {
                        if asked || !news.is_empty() {
                            (self.tell)(&format!("configuration read again: {news}"));
                        }
                    }
                    Err(_) if is_told => {}
                    Err(refused) => refused.tell(),
                }
                // One that was refused may name files that come yet.
                let mut files = self.loaded.files.clone();
                files.extend(self.inputs.named.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
                moved = watch.follow(&files);
                again = moved;
            }
        })
    }

    /// Reads everything again, and takes it unless it looks wrong; `None`: it could not be read.
    async fn read_again(&mut self) -> Option<Result<News, Refused>> {
        match self.keys.read().await {
            Ok(told) => self.inputs.hear(told),
            Err(error) => tracing::warn!("the keys of the database stay as they were: {error}"),
        }
        let inputs = self.inputs.clone();
        let read = tokio::task::spawn_blocking(move || inputs.load()).await.ok()?;
        let new = match read {
            Ok(new) => new,
            Err(errors) => return Some(Err(Refused::Wrong(errors))),
        };
        Some(match self.faults(&new) {
            Some(refused) => Err(refused),
            None => self.take(new, &[]).await,
        })
    }

    /// What speaks against what was read: it holds less than before, as nobody means it.
    fn faults(&self, new: &Loaded) -> Option<Refused> {
        if new.config.gateway.provider != self.loaded.config.gateway.provider {
            return Some(Refused::Provider);
        }
        if let Some(file) = new.cleared(&self.loaded) {
            return Some(Refused::Cleared(file.into()));
        }
        let emptied: Vec<PathBuf> = new.emptied(&self.loaded).map(Into::into).collect();
        if !emptied.is_empty() {
            return Some(Refused::Emptied(emptied));
        }
        if new.keys.is_empty() && (!self.loaded.keys.is_empty() || new.lacks_keys()) {
            return Some(Refused::NoKey);
        }
        if let Some(origin) = new.torn(&self.loaded) {
            return Some(Refused::Torn(origin));
        }
        new.slipped(&self.loaded).then(|| Refused::Lines(self.new_notes(new)))
    }

    /// Goes by other keys of the database, whatever the files hold by now.
    async fn take_keys(&mut self, told: Told) {
        let lifted = told.lifted.clone();
        let files: BTreeSet<PathBuf> =
            self.loaded.files.difference(&self.inputs.more_files).chain(&told.files).cloned().collect();
        self.inputs.hear(Some(told));
        let mut new = self.loaded.with(&self.inputs.more);
        new.files = files;
        match self.take(new, &lifted).await {
            Ok(news) if news.is_empty() => {}
            Ok(news) => (self.tell)(&format!("keys changed by command: {news}")),
            Err(refused) => return refused.tell(),
        }
        if self.loaded.lacks_keys() {
            tracing::error!("no key is left: {} until one is added", self.runs.without_keys());
        }
    }

    /// Goes by a new configuration. `lifted`: keys that commands switched on, by their hashes.
    async fn take(&mut self, new: Loaded, lifted: &[String]) -> Result<News, Refused> {
        let new = new.sharing(&self.loaded);
        let keys = self.pool.reconfigure(new.builder()).map_err(Refused::Key)?;
        new.switch_off(&self.pool, &self.loaded);
        if !lifted.is_empty() {
            for spec in new.keys.keys.iter().filter(|spec| lifted.contains(&spec.hash())) {
                if let Err(error) = self.pool.enable(&spec.key().key_id()) {
                    tracing::warn!("{error}");
                }
            }
        }
        (self.apply)(&new).await;
        self.new_notes(&new).iter().for_each(|note| tracing::warn!("{note}"));
        let news = News::between(self.runs, &self.loaded, &new, keys);
        self.inputs.stay_with(&new);
        self.keys.in_both().are(new.sources(), &self.inputs.more);
        self.loaded = new;
        Ok(news)
    }
}

impl Reload {
    /// What was not said yet.
    fn new_notes(&self, new: &Loaded) -> Vec<Problem> {
        let said: Vec<&Problem> = self.loaded.notes().collect();
        new.notes().filter(|note| !said.contains(note)).cloned().collect()
    }
}

/// In one text, for whoever asked.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if matches!(self, Self::Lines(_)) { "key file" } else { "configuration" };
        write!(f, "the new {what} is refused: {}", self.why())
    }
}

/// Which files, and how to say that they are meant to be so.
fn emptied(files: &[PathBuf], what: &str) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let (are, had) = if names.len() == 1 { ("is", "it") } else { ("are", "they") };
    format!(
        "{} {are} empty, and {had} had {what}: write them back, or a comment (# none) where none are meant",
        names.join(", ")
    )
}

/// Each of its lines by itself: a line of the log has no other in it.
fn tell_lines(problem: &Problem) {
    problem.to_string().lines().for_each(|line| tracing::error!("  {line}"));
}

impl Refused {
    fn why(&self) -> String {
        let list = |problems: &mut dyn Iterator<Item = &Problem>| {
            let told = problems.take(20).map(|problem| problem.to_string().replace("\n  ", "; "));
            told.collect::<Vec<_>>().join("; ")
        };
        match self {
            Self::Wrong(errors) => list(&mut errors.iter()),
            Self::Lines(notes) => list(&mut notes.iter()),
            Self::Emptied(files) => emptied(files, "keys"),
            Self::Cleared(file) => emptied(std::slice::from_ref(file), "settings"),
            Self::Torn(origin) => {
                format!(
                    "{origin}: what stands there is the beginning of a key that was there before: write the file whole"
                )
            }
            Self::NoKey => "no key is left in it".to_owned(),
            Self::Provider => "gateway.provider is another one, which takes a new start".to_owned(),
            Self::Key(error) => error.to_string(),
        }
    }

    fn tell(&self) {
        match self {
            Self::Wrong(errors) => {
                let count = errors.iter().count();
                tracing::error!(
                    "the new configuration is refused, the old one goes on; it is wrong in {}:",
                    config::count(count, "place")
                );
                errors.iter().take(20).for_each(tell_lines);
            }
            Self::Lines(notes) => {
                tracing::error!("the new key file is refused, the old one goes on; wrong in it:");
                notes.iter().take(20).for_each(tell_lines);
            }
            _ => tracing::error!("the new configuration is refused, the old one goes on: {}", self.why()),
        }
    }
}
