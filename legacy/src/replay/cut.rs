//! Cuts the chunks of a body so that the model's name in it becomes another, or all of it, without copying any of them.

use std::{mem, ops::Range, sync::Arc};

use bytes::{Buf, Bytes};

/// Other bytes in the place of some of the original body's.
#[derive(Clone, Debug)]
pub(super) struct Splice {
    /// Where the old ones stand in the original body.
    place: Range<u64>,
    pieces: Arc<[Bytes]>,
}

impl Splice {
    /// Another name in the place of the model's.
    pub(super) fn new(place: Range<u64>, model: &str) -> Self {
        let quoted = Bytes::from(serde_json::Value::from(model).to_string());
        Self { place, pieces: Arc::from([quoted.slice(1..quoted.len() - 1)]) }
    }

    /// Another body in the place of all of it.
    pub(super) fn whole(pieces: Vec<Bytes>) -> Self {
        Self { place: 0..u64::MAX, pieces: pieces.into() }
    }
}

/// A place in a body that is being read, and what is left of the chunk there.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// On the heap, since few bodies have one.
    cut: Option<Box<Cut>>,
    /// Bytes of the original body that went out, or were left out.
    at: u64,
}

/// What is cut.
#[derive(Debug)]
struct Cut {
    splice: Splice,
    /// So many of the new pieces went out already.
    spliced: usize,
    /// What is left of the chunk.
    chunk: Bytes,
}

impl Cut {
    /// Bytes of the new pieces that are still to go out.
    fn due(&self) -> u64 {
        self.splice.pieces[self.spliced..].iter().map(|piece| piece.len() as u64).sum()
    }
}

impl Cutter {
    /// At the beginning of a body, with other bytes in it where some are given.
    pub(super) fn new(splice: Option<Splice>) -> Self {
        let cut = |splice| Box::new(Cut { splice, spliced: 0, chunk: Bytes::new() });
        Self { cut: splice.map(cut), at: 0 }
    }

    pub(super) fn splice(&self) -> Option<&Splice> {
        self.cut.as_deref().map(|cut| &cut.splice)
    }

    /// Gives the next chunk of the original body, after [`next`](Cutter::next) found nothing left of the one before.
    pub(super) fn load(&mut self, chunk: Bytes) {
        if let Some(cut) = &mut self.cut {
            cut.chunk = chunk;
        }
    }

    /// Whether chunks go out as they come.
    pub(super) fn is_idle(&self) -> bool {
        self.cut.is_none()
    }

    /// A chunk goes out as it came.
    pub(super) fn pass(&mut self, chunk: &Bytes) {
        self.at += chunk.len() as u64;
    }

    /// The next piece that goes out.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let Cut { splice, spliced, chunk } = self.cut.as_deref_mut()?;
        if let Some(piece) = splice.pieces.get(*spliced) {
            let before = splice.place.start - self.at;
            if before == 0 {
                *spliced += 1;
                return Some(piece.clone());
            }
            if before < chunk.len() as u64 {
                self.at += before;
                return Some(chunk.split_to(before as usize));
            }
        } else if self.at < splice.place.end && !chunk.is_empty() {
            let old = usize::try_from(splice.place.end - self.at).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(old);
            self.at += old as u64;
        }
        if chunk.is_empty() {
            return None;
        }
        self.at += chunk.len() as u64;
        Some(mem::take(chunk))
    }

    /// Bytes that are still to go out when the original body has `total`.
    pub(super) fn rest_of(&self, total: u64) -> u64 {
        let rest = total.saturating_sub(self.at);
        let Some(cut) = self.cut.as_deref() else { return rest };
        let Range { start, end } = cut.splice.place;
        // Of the old bytes as many as there are do not go out.
        let old = end.min(total).saturating_sub(start.max(self.at));
        (rest + cut.due()).saturating_sub(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&'static str], place: Range<u64>, model: &str) -> String {
        let total: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        let mut cutter = Cutter::new(Some(Splice::new(place, model)));
        let mut out = Vec::new();
        let mut promised = cutter.rest_of(total as u64);
        for chunk in chunks {
            cutter.load(Bytes::from_static(chunk.as_bytes()));
            while let Some(piece) = cutter.next() {
                promised -= piece.len() as u64;
                assert_eq!(cutter.rest_of(total as u64), promised);
                out.extend_from_slice(&piece);
            }
        }
        assert_eq!(promised, 0);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_of_it_is_replaced_whatever_came() {
        for chunks in [&["{\"model\":", "\"abc\"}"][..], &["x"], &[]] {
            let total: usize = chunks.iter().map(|chunk| chunk.len()).sum();
            let pieces = ["an", "", "other"].map(Bytes::from);
            let mut cutter = Cutter::new(Some(Splice::whole(pieces.to_vec())));
            assert_eq!((cutter.rest_of(0), cutter.rest_of(total as u64)), (7, 7));
            let mut out = Vec::new();
            for chunk in [&[""], chunks].concat() {
                cutter.load(Bytes::from_static(chunk.as_bytes()));
                while let Some(piece) = cutter.next() {
                    out.extend_from_slice(&piece);
                    assert_eq!(cutter.rest_of(total as u64), 7 - out.len() as u64);
                }
            }
            assert_eq!(out, b"another");
        }
    }

    #[test]
    fn the_name_is_replaced_wherever_the_chunks_end() {
        assert_eq!(cut(&["{\"model\":\"abc\"}"], 10..13, "longer"), "{\"model\":\"longer\"}");
        assert_eq!(cut(&["{\"model\":\"", "abc", "\"}"], 10..13, "x"), "{\"model\":\"x\"}");
        assert_eq!(cut(&["{\"model\":\"a", "b", "c\"}"], 10..13, "x\"y\\"), "{\"model\":\"x\\\"y\\\\\"}");
        assert_eq!(cut(&["{\"model\":\"", "\"}"], 10..10, "x"), "{\"model\":\"x\"}");
        assert_eq!(cut(&["{\"model\":\"abc\"}"], 10..13, ""), "{\"model\":\"\"}");
    }
}
