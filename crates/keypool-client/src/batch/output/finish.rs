//! The last form of an output: each task once.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{journal, place::write_anew};

/// Where a line is.
#[derive(Clone, Copy)]
struct Spot {
    index: u64,
    at: u64,
    length: u32,
}

/// Writes a file of lines anew.
pub(super) fn lines(path: &Path, ordered: bool) -> io::Result<()> {
    write(path, path, true, ordered, (b"", b"\n", b"\n"))
}

/// Writes lines as one array.
pub(super) fn list(lines: &Path, list: &Path, replaced: bool, ordered: bool) -> io::Result<()> {
    write(lines, list, replaced, ordered, (b"[\n", b",\n", b"\n]\n"))
}

fn write(
    from: &Path,
    to: &Path,
    replaced: bool,
    ordered: bool,
    (begin, between, end): (&[u8], &[u8], &[u8]),
) -> io::Result<()> {
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
        if replaced || ordered {
            let spots = spots(&mut source, ordered)?;
            let mut reader = BufReader::with_capacity(1 << 18, &mut source);
            let (mut position, mut line) = (reader.seek(SeekFrom::Start(0))?, Vec::new());
            for spot in spots {
                // Near each other they are read from what is at hand.
                reader.seek_relative(spot.at as i64 - position as i64)?;
                line.resize(spot.length as usize, 0);
                reader.read_exact(&mut line)?;
                position = spot.at + u64::from(spot.length);
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
fn spots(source: &mut File, ordered: bool) -> io::Result<Vec<Spot>> {
    let (mut last, mut at) = (HashMap::new(), 0);
    let wrong = journal::each(source, |_, line, length| {
        let head = journal::Head::of(line)?;
        last.insert(head.id.hash(), Spot { index: head.index, at, length: length as u32 });
        at += length;
        Ok::<_, String>(())
    })?;
    if let Some(what) = wrong {
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut spots: Vec<Spot> = last.into_values().collect();
    spots.sort_unstable_by_key(|spot| if ordered { (spot.index, spot.at) } else { (spot.at, 0) });
    Ok(spots)
}
