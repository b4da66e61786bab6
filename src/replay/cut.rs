//! Cuts the chunks of a body so that the model's name in it becomes another, without copying any of them.

use std::{mem, ops::Range};

use bytes::{Buf, Bytes};

/// Another name in the place of the model's.
#[derive(Clone, Debug)]
pub(super) struct Splice {
    /// Where the old name stands in the original body.
    place: Range<u64>,
    /// The new one, as JSON, without quotes.
    name: Bytes,
}

impl Splice {
    pub(super) fn new(place: Range<u64>, model: &str) -> Self {
        let quoted = Bytes::from(serde_json::Value::from(model).to_string());
        Self { place, name: quoted.slice(1..quoted.len() - 1) }
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
    /// The new name went out already.
    spliced: bool,
    /// What is left of the chunk.
    chunk: Bytes,
}

impl Cutter {
    /// At the beginning of a body, with another name in it where one is given.
    pub(super) fn new(splice: Option<Splice>) -> Self {
        let cut = |splice| Box::new(Cut { splice, spliced: false, chunk: Bytes::new() });
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
        if !*spliced {
            let before = splice.place.start - self.at;
            if before == 0 {
                *spliced = true;
                return Some(splice.name.clone());
            }
            if before < chunk.len() as u64 {
                self.at += before;
                return Some(chunk.split_to(before as usize));
            }
        } else if self.at < splice.place.end && !chunk.is_empty() {
            let old = chunk.len().min((splice.place.end - self.at) as usize);
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
        match self.cut.as_deref() {
            Some(Cut { splice, spliced: true, .. }) => rest.saturating_sub(splice.place.end.saturating_sub(self.at)),
            Some(Cut { splice, .. }) => {
                (rest + splice.name.len() as u64).saturating_sub(splice.place.end - splice.place.start)
            }
            None => rest,
        }
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
    fn the_name_is_replaced_wherever_the_chunks_end() {
        assert_eq!(cut(&["{\"model\":\"abc\"}"], 10..13, "longer"), "{\"model\":\"longer\"}");
        assert_eq!(cut(&["{\"model\":\"", "abc", "\"}"], 10..13, "x"), "{\"model\":\"x\"}");
        assert_eq!(cut(&["{\"model\":\"a", "b", "c\"}"], 10..13, "x\"y\\"), "{\"model\":\"x\\\"y\\\\\"}");
        assert_eq!(cut(&["{\"model\":\"", "\"}"], 10..10, "x"), "{\"model\":\"x\"}");
        assert_eq!(cut(&["{\"model\":\"abc\"}"], 10..13, ""), "{\"model\":\"\"}");
    }
}
