//! Brings tasks to the desk, one by one, leaving out what an earlier run did.

use std::{path::PathBuf, sync::Arc, thread};

use tokio::sync::mpsc;
use tower_keypool::KeyPool;

use super::{
    Done, Id, Output, Task,
    dialect::{Defaults, Dialect},
    input::{self, Format, InputError, Place, Read1},
    seen::Seen,
    shared::Shared,
    task::Ask,
    work::Work,
    writer::ToWrite,
};
use crate::{error::Error, holdings::Names, length};

/// Words of so many bytes may be keys.
const KEYS: std::ops::Range<usize> = 16..512;

/// Where tasks come from.
pub(crate) enum Source {
    Given(Box<dyn Iterator<Item = Task> + Send>),
    Read(mpsc::Receiver<Read1>),
}

/// A file, or standard input where there is none, read by a thread of its own.
pub(crate) fn reading(path: Option<PathBuf>, format: Option<Format>, prompt: String) -> Source {
    let (sender, receiver) = mpsc::channel(256);
    thread::spawn(move || {
        let mut take = |task: Read1| sender.blocking_send(task).is_ok();
        let opened = if let Some(path) = &path {
            input::read_file(path, format.unwrap_or_else(|| Format::of(path)), &prompt, &mut take)
        } else {
            input::read(std::io::stdin(), format, &prompt, &mut take);
            Ok(())
        };
        if let Err(error) = opened {
            take(Err(InputError::fatal(Place::Whole, error)));
        }
    });
    Source::Read(receiver)
}

impl Source {
    async fn next(&mut self, index: u64) -> Option<Read1> {
        match self {
            Self::Given(tasks) => Some(Ok((index, Place::Item(index + 1), tasks.next()?))),
            Self::Read(receiver) => receiver.recv().await,
        }
    }
}

/// What has to be known to make work of a task.
pub(crate) struct Making {
    pub(crate) dialect: Dialect,
    pub(crate) defaults: Defaults,
}

/// Where the model of the last task is asked: most tasks have the same.
type Last = Option<(Arc<str>, Arc<str>)>;

/// Who brings them.
pub(crate) struct Feeder {
    pub(crate) making: Making,
    pub(crate) output: Option<Arc<Output>>,
    /// Where it goes what is no task.
    pub(crate) results: mpsc::Sender<ToWrite>,
    pub(crate) shared: Arc<Shared>,
}

impl Feeder {
    /// Brings all of them until the run is stopped, also where none comes.
    pub(crate) async fn feed(self, source: Source) {
        tokio::select! {
            () = self.bring(source) => {}
            () = self.shared.desk.until_stopped() => {}
        }
    }

    /// Brings all of them, then says that it was all.
    async fn bring(&self, mut source: Source) {
        let Self { making, output, shared, .. } = self;
        let (mut seen, mut next, mut last) = (Seen::default(), 0, None);
        let counted = shared.counted_before();
        while let Some(read) = source.next(next).await {
            if read.as_ref().err().is_none_or(|error| !error.fatal) {
                shared.tally(|tally| tally.statistics.tasks += u64::from(!counted));
            }
            let (index, place, task) = match read {
                Ok(read) => read,
                Err(error) => {
                    let index = error.place.index().unwrap_or(next);
                    self.refuse(error, None, index).await;
                    continue;
                }
            };
            next = index + 1;
            let id = match seen.id(task.id.as_ref(), index) {
                Ok(id) => id,
                Err(id) => {
                    let error = InputError::at(place, format_args!("another task has the id {id}"));
                    self.refuse(error, None, index).await;
                    continue;
                }
            };
            if shows_key(shared.client.pool(), &task) {
                let error =
                    InputError::at(place, format_args!("task {id} shows an API key of this run: it was not sent"));
                self.refuse(error, Some(id), index).await;
                continue;
            }
            let hash = task.content();
            let done = output.as_ref().and_then(|output| output.done(&id, index, hash));
            match done {
                Some(Done::Changed) => shared.tally(|tally| tally.statistics.changed += 1),
                Some(done) => {
                    shared.tally(|tally| {
                        tally.statistics.skipped += 1;
                        tally.statistics.failed_before += u64::from(done == Done::Failed);
                    });
                    continue;
                }
                None => {}
            }
            let work = match making.work(task, id.clone(), (index, hash), &mut last) {
                Ok(work) => work,
                Err(error) => {
                    let error = InputError::at(place, format_args!("task {id}: {error}"));
                    self.refuse(error, Some(id), index).await;
                    continue;
                }
            };
            if !shared.desk.add(work).await {
                return;
            }
        }
        shared.desk.end();
    }

    /// What is no task fails, and is in the output like what else fails.
    async fn refuse(&self, error: InputError, id: Option<Id>, index: u64) {
        if let Some(result) = self.shared.refuse(error, id, index) {
            // A writer that is gone has said why.
            let _ = self.results.send((result, None)).await;
        }
    }
}

/// Whether its model's name, or one of its prompt's words, is a key that it would go out with: lines of a list of keys are no
/// prompts.
fn shows_key(pool: &KeyPool, task: &Task) -> bool {
    if task.model.as_deref().is_some_and(|model| pool.is_secret(model)) {
        return true;
    }
    let Ask::Prompt(prompt) = &task.ask else { return false };
    let of_keys = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.');
    let words = prompt.split(|sign| !of_keys(sign)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| KEYS.contains(&word.len())).any(|word| pool.is_secret(word))
}

/// A model's name without what Gemini lists it under.
pub(crate) fn bare(model: &Arc<str>) -> Arc<str> {
    match model.strip_prefix("models/") {
        Some(bare) => bare.into(),
        None => Arc::clone(model),
    }
}

impl Making {
    fn work(&self, task: Task, id: Id, (index, hash): (u64, u64), last: &mut Last) -> Result<Box<Work>, Error> {
        let model = task.model.as_ref().unwrap_or(&self.defaults.model);
        let model = bare(model);
        let path = match last {
            Some((of, path)) if *of == model => Arc::clone(path),
            _ => {
                let path: Arc<str> = self.dialect.path(&model)?.into();
                *last = Some((Arc::clone(&model), Arc::clone(&path)));
                path
            }
        };
        let body = self.dialect.body(&task, &model, &self.defaults);
        Ok(Box::new(Work {
            names: Names::of(&path, &body, self.dialect != Dialect::Gemini),
            about_tokens: length::about_tokens(&body),
            path,
            body,
            id,
            index,
            hash,
            model,
            fields: task.fields,
            attempts: 0,
            key_faults: 0,
            faults: 0,
            unheld: 0,
            limited: None,
            most_tokens: None,
            without_model: false,
            of_another: false,
            tried: Vec::new(),
        }))
    }
}
