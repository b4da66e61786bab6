//! The file of lines: what an earlier run left in it.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Before, OutputError, lock::hold_results, place::write_anew, torn::is_torn};
use crate::{
    batch::{
        Id, Json,
        input::{self, Place},
        result::INPUT,
        task::id_of,
    },
    json::compact,
};

/// What is looked at of a result.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    index: u64,
    success: bool,
    #[serde(default)]
    hash: String,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    kind: String,
}

/// A result's name, place and outcome.
pub(super) struct Head {
    pub(super) id: Id,
    pub(super) index: u64,
    success: bool,
    hash: u64,
    /// It is of what is no task: it holds for the run that says it, since the next one reads the input anew.
    pub(super) no_task: bool,
}

impl Head {
    pub(super) fn of(line: &[u8]) -> Result<Self, String> {
        let Line { id, index, success, hash, error } =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let id = Json::read(id.get()).ok().and_then(|id| id_of(&id)).ok_or("its id is neither a text nor a number")?;
        let no_task = error.is_some_and(|error| error.kind == INPUT);
        Ok(Self { id, index, success, hash: u64::from_str_radix(&hash, 16).unwrap_or_default(), no_task })
    }
}

/// What a file of lines holds.
#[derive(Default)]
pub(super) struct Read {
    pub(super) before: HashMap<u64, Before>,
    /// Lines that a later one replaces.
    pub(super) replaced: u64,
}

/// Opens it to append to it, and cuts off what was torn at its end. `name`: what the output is called.
pub(super) fn open(path: &Path, name: &Path) -> Result<(File, Read), OutputError> {
    let io = |source| OutputError::Io { path: name.to_owned(), source };
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(io)?;
    if !hold_results(&file).map_err(io)? {
        // That run knows it by another name.
        return Err(OutputError::Locked { path: name.to_owned(), lock: name.to_owned() });
    }
    let mut read = Read::default();
    let (mut whole, mut torn) = (0, false);
    let foreign = each(&mut file, |number, line, length| {
        let ended = line.last() == Some(&b'\n');
        if line.iter().all(u8::is_ascii_whitespace) {
            if ended {
                whole += length;
            }
            return Ok(());
        }
        match Head::of(line) {
            Ok(head) => {
                read.add(&head);
                whole += length;
                torn = !ended;
                Ok(())
            }
            // Only the last line can lack its end.
            Err(_) if !ended && is_torn(line, !read.before.is_empty()) => Ok(()),
            Err(what) => Err((number, what)),
        }
    })
    .map_err(io)?;
    if let Some((line, what)) = foreign {
        return Err(OutputError::Foreign { path: name.to_owned(), place: Place::Line(line), what });
    }
    if file.metadata().map_err(io)?.len() > whole {
        file.set_len(whole).map_err(io)?;
    }
    if torn {
        // It is all there but for its end.
        file.write_all(b"\n").map_err(io)?;
    }
    Ok((file, read))
}

impl Read {
    /// Adds what an array has and its journal has not: nobody knows why that lies there, and it takes the array's place.
    pub(super) fn add_missing(&mut self, mut journal: &File, list: &Path) -> Result<(), OutputError> {
        let io = |source| OutputError::Io { path: list.to_owned(), source };
        let mut failed = Ok(());
        each_result(list, |line| {
            let head = Head::of(line.as_bytes()).ok().filter(|head| !self.before.contains_key(&head.id.hash()));
            if let Some(head) = head {
                failed = journal.write_all(format!("{line}\n").as_bytes());
                self.add(&head);
            }
            failed.is_ok()
        })?;
        failed.map_err(io)
    }

    fn add(&mut self, head: &Head) {
        let before = Before { hash: head.hash, success: head.success };
        self.replaced += u64::from(head.no_task || self.before.insert(head.id.hash(), before).is_some());
    }
}

/// Every line with its number from 1 and its length, until one is refused.
pub(super) fn each<E>(
    file: &mut File,
    mut take: impl FnMut(u64, &[u8], u64) -> Result<(), E>,
) -> io::Result<Option<E>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        if let Err(refused) = take(number, &line, length as u64) {
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

/// Makes a journal of an array of results.
pub(super) fn of_list(list: &Path, journal: &Path) -> Result<(), OutputError> {
    let io = |source| OutputError::Io { path: list.to_owned(), source };
    let mut foreign = None;
    let made = write_anew(journal, list, |to| {
        let mut failed = Ok(());
        let read = each_result(list, |line| {
            failed = to.write_all(line.as_bytes()).and_then(|()| to.write_all(b"\n"));
            failed.is_ok()
        });
        foreign = read.err();
        // What it says of itself is told below.
        if foreign.is_some() { Err(io::ErrorKind::InvalidData.into()) } else { failed }
    });
    match foreign {
        Some(foreign) => Err(foreign),
        None => made.map_err(io),
    }
}

/// Whether an array holds results, by its first: it will be replaced.
pub(super) fn is_list_of_results(list: &Path) -> Result<(), OutputError> {
    each_result(list, |_| false)
}

/// Each result of an array as a line, until `take` says that it is enough.
fn each_result(list: &Path, mut take: impl FnMut(&str) -> bool) -> Result<(), OutputError> {
    let foreign = |place, what| OutputError::Foreign { path: list.to_owned(), place, what };
    let from = File::open(list).map_err(|source| OutputError::Io { path: list.to_owned(), source })?;
    let (mut number, mut wrong) = (0, None);
    let read = input::each_of_list(BufReader::new(from), &mut |item: Box<RawValue>| {
        number += 1;
        let line = compact(item.get());
        match Head::of(line.as_bytes()) {
            Ok(_) => take(&line),
            Err(what) => {
                wrong = Some(what);
                false
            }
        }
    });
    match (wrong, read) {
        (Some(what), _) => Err(foreign(Place::Item(number), what)),
        (None, Err(error)) => Err(foreign(Place::Line(error.line() as u64), error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}
