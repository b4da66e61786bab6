//! The last form of an output: each task once.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Before, journal, place::write_anew};

/// What is to be made of the lines.
pub(super) struct Form<'a> {
    /// Some lines are replaced by later ones, or by none.
    pub(super) replaced: bool,
    /// Where this run's lines begin: what earlier ones said of what is no task is left out.
    pub(super) begun: u64,
    /// In order.
    pub(super) order: Option<Order<'a>>,
}

impl Form<'_> {
    /// Whether it is another one than that of the lines as they came.
    pub(super) fn is_another(&self) -> bool {
        self.replaced || self.order.is_some()
    }
}

/// The order of this run's input.
pub(super) struct Order<'a> {
    /// What was there before, by a word for the id.
    pub(super) before: &'a HashMap<u64, Before>,
    /// Where of that stands in this input what does.
    pub(super) places: &'a HashMap<u64, u64>,
}

impl Order<'_> {
    /// Where a result belongs: in this input, or behind it.
    fn of(&self, id: u64, index: u64) -> (bool, u64) {
        match self.places.get(&id) {
            Some(place) => (false, *place),
            None => (self.before.contains_key(&id), index),
        }
    }
}

/// Where a line is, and where it goes.
#[derive(Clone, Copy)]
struct Spot {
    /// Of another input.
    other: bool,
    index: u64,
    /// Its place was another one.
    moved: bool,
    at: u64,
    length: u32,
}

/// Writes a file of lines anew.
pub(super) fn lines(path: &Path, form: &Form<'_>) -> io::Result<()> {
    write(path, path, form, (b"", b"\n", b"\n"))
}

/// Writes lines as one array.
pub(super) fn list(lines: &Path, list: &Path, form: &Form<'_>) -> io::Result<()> {
    write(lines, list, form, (b"[\n", b",\n", b"\n]\n"))
}

fn write(from: &Path, to: &Path, form: &Form<'_>, (begin, between, end): (&[u8], &[u8], &[u8])) -> io::Result<()> {
    let mut source = File::open(from)?;
    let like = if to.exists() { to } else { from };
    write_anew(to, like, |target| {
        target.write_all(begin)?;
        let mut any = false;
        let mut put = |target: &mut BufWriter<File>, line: &[u8]| {
            if std::mem::replace(&mut any, true) {
                target.write_all(between)?;
            }
            target.write_all(line.strip_suffix(b"\n").unwrap_or(line))
        };
        if form.is_another() {
            let spots = spots(&mut source, form)?;
            let mut reader = BufReader::with_capacity(1 << 18, &mut source);
            let (mut position, mut line) = (reader.seek(SeekFrom::Start(0))?, Vec::new());
            for spot in spots {
                // Near each other they are read from what is at hand.
                reader.seek_relative(spot.at as i64 - position as i64)?;
                line.resize(spot.length as usize, 0);
                reader.read_exact(&mut line)?;
                position = spot.at + u64::from(spot.length);
                if spot.moved {
                    moved(&mut line, spot.index)?;
                }
                put(target, &line)?;
            }
        } else if let Some(error) = journal::each(&mut source, |_, line, _| put(target, line))? {
            return Err(error);
        }
        if any || !begin.is_empty() {
            target.write_all(end)?;
        }
        Ok(())
    })
}

/// The last line of each task, in the order of the input or of the lines.
fn spots(source: &mut File, form: &Form<'_>) -> io::Result<Vec<Spot>> {
    let (mut last, mut no_tasks, mut at) = (HashMap::new(), Vec::new(), 0);
    let wrong = journal::each(source, |_, line, length| {
        let head = journal::Head::of(line)?;
        let mut spot = Spot { other: false, index: head.index, moved: false, at, length: length as u32 };
        if !head.no_task {
            let id = head.id.hash();
            if let Some(order) = &form.order {
                (spot.other, spot.index) = order.of(id, head.index);
                spot.moved = spot.index != head.index;
            }
            last.insert(id, spot);
        } else if at >= form.begun {
            no_tasks.push(spot);
        }
        at += length;
        Ok::<_, String>(())
    })?;
    if let Some(what) = wrong {
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut spots: Vec<Spot> = last.into_values().chain(no_tasks).collect();
    let ordered = form.order.is_some();
    spots.sort_unstable_by_key(|spot| if ordered { (spot.other, spot.index, spot.at) } else { (false, spot.at, 0) });
    Ok(spots)
}

/// The same result at another place.
fn moved(line: &mut Vec<u8>, index: u64) -> Result<(), serde_json::Error> {
    #[derive(Deserialize)]
    struct Place<'a> {
        #[serde(borrow)]
        index: &'a RawValue,
    }
    let written = serde_json::from_slice::<Place<'_>>(line)?.index.get();
    // It lies in the line.
    let begin = written.as_ptr() as usize - line.as_ptr() as usize;
    let end = begin + written.len();
    line.splice(begin..end, index.to_string().into_bytes());
    Ok(())
}
