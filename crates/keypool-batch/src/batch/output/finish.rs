//! The final form of an output: each task once, in order.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    Order,
    journal::{Head, with_end},
};
use crate::batch::result::INPUT;

/// The place of a line, and its place in the order.
struct Spot {
    /// Results of other inputs are sorted after those of this input.
    rank: (bool, u64),
    at: u64,
    length: usize,
}

/// Replaces a file of lines with its final form, and returns the locked file.
pub(super) fn lines(source: &File, path: &Path, order: &Order) -> io::Result<File> {
    write_beside(path, |target| write(source, target, order, ["", "\n", "\n"]))
}

/// Writes lines as one array.
pub(super) fn array(source: &File, path: &Path, order: &Order) -> io::Result<()> {
    write_beside(path, |target| write(source, target, order, ["[\n", ",\n", "\n]\n"])).map(drop)
}

/// Replaces the contents of a file.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    write_beside(path, |target| target.write_all(bytes))
}

/// Writes a new file beside the old one and renames it, so that readers see a complete file at all times.
fn write_beside(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<File> {
    let new = with_end(path, ".keypool-new");
    let file = OpenOptions::new().read(true).append(true).create(true).open(&new)?;
    file.set_len(0)?;
    // The lock moves to the new file.
    file.try_lock().map_err(io::Error::from)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    let mut target = BufWriter::with_capacity(1 << 18, &file);
    let written = write(&mut target).and_then(|()| target.flush());
    drop(target);
    if let Err(error) = written.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_folder(path)?;
    Ok(file)
}

/// Syncs the folder of a file, so that the file's name survives a power cut.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| cfg!(unix) && !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write(
    mut source: &File,
    target: &mut impl Write,
    order: &Order,
    [begin, between, end]: [&str; 3],
) -> io::Result<()> {
    let spots = spots(source, order)?;
    target.write_all(begin.as_bytes())?;
    let mut line = Vec::new();
    for (n, spot) in spots.iter().enumerate() {
        source.seek(SeekFrom::Start(spot.at))?;
        line.resize(spot.length, 0);
        source.read_exact(&mut line)?;
        if n > 0 {
            target.write_all(between.as_bytes())?;
        }
        target.write_all(line.trim_ascii_end())?;
    }
    if !spots.is_empty() || !begin.is_empty() {
        target.write_all(end.as_bytes())?;
    }
    Ok(())
}

/// Returns the last line of each task, in order. Results of earlier runs for invalid input lines are left out.
fn spots(mut source: &File, order: &Order) -> io::Result<Vec<Spot>> {
    source.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1 << 18, source);
    let mut last = HashMap::new();
    let mut line = Vec::new();
    let (mut at, mut number) = (0, 0);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        number += 1;
        if let Some(head) = Head::of(&line) {
            let key @ (id, hash) = head.key();
            let rank = match order.get(&id) {
                Some((place, present)) if *present == hash => Some((false, *place)),
                _ => (!head.is_error(INPUT)).then_some((true, number)),
            };
            last.extend(rank.map(|rank| (key, Spot { rank, at, length })));
        } else if !line.trim_ascii().is_empty() {
            return Err(io::Error::other(format!("line {number}: this is not a result of a batch")));
        }
        at += length as u64;
    }
    let mut spots: Vec<Spot> = last.into_values().collect();
    spots.sort_unstable_by_key(|spot| spot.rank);
    Ok(spots)
}
