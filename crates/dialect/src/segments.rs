//! A body that is written, large pieces of another one by reference.

use std::{collections::HashMap, io, ops::Range};

use bytes::Bytes;
use serde::Serialize;

use crate::Text;

/// From this length on a piece of the caller's body is passed on without a copy.
pub(crate) const LARGE: usize = 8 * 1024;

/// A part of a text that was read from the caller's body without an escape needs none either when it is written again, but
/// lacks its quotes. It stands in what is written by its beginning alone, and is put in whole on the way. (A text with its
/// quotes is written at once, as it stands.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'r>(&'r str);

/// So much is made room for at first: of larger bodies most goes by reference.
const MOST_AT_FIRST: usize = 256 * 1024;

/// So much longer a turn or a part of it may become.
const FRAME: usize = 16;

/// So much of it stands for it.
const MARK: usize = 24;

impl<'r> Whole<'r> {
    /// Of a text that is large enough to be worth it, and lies in a body as it is.
    pub(crate) fn of(text: &'r Text<'_>) -> Option<Self> {
        text.bare().filter(|text| text.len() >= LARGE && text.is_char_boundary(MARK)).map(Self)
    }
}

impl Serialize for Whole<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0[..MARK])
    }
}

/// What is written for the upstream. A large piece of the caller's own body (a base64 image) is no copy of it, but the
/// same memory: the rest is written around it.
#[derive(Debug)]
pub struct Segments {
    source: Bytes,
    /// Texts whose beginnings stand for them, by where they lie in the source.
    whole: HashMap<usize, usize>,
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Segments {
    /// Nothing yet, from the caller's body `source`.
    pub fn from(source: Bytes) -> Self {
        Self::around(source, 0)
    }

    /// The same, where so many things have frames of their own: what becomes a little longer than it was is not moved.
    pub(crate) fn around(source: Bytes, framed: usize) -> Self {
        let frames = FRAME.saturating_mul(framed).min(MOST_AT_FIRST);
        let open = Vec::with_capacity(source.len().min(MOST_AT_FIRST) + frames + 256);
        Self { source, whole: HashMap::new(), done: Vec::new(), open }
    }

    /// The beginning of this text will stand for it; `None` where it does not lie in the source.
    pub(crate) fn will_hold(&mut self, text: Whole<'_>) -> Option<()> {
        let place = self.place(text.0.as_bytes())?;
        self.whole.insert(place.start, place.len());
        Some(())
    }

    /// The pieces, in order.
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open).into());
        }
    }

    /// Where in the source a piece lies, if it lies there.
    fn place(&self, piece: &[u8]) -> Option<Range<usize>> {
        let start = (piece.as_ptr() as usize).checked_sub(self.source.as_ptr() as usize)?;
        let end = start.checked_add(piece.len())?;
        (end <= self.source.len()).then_some(start..end)
    }
}

impl io::Write for Segments {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let place = if piece.len() == MARK || piece.len() >= LARGE { self.place(piece) } else { None };
        let marked = place.as_ref().filter(|_| piece.len() == MARK).and_then(|place| self.whole.get(&place.start));
        match (place, marked) {
            (Some(place), Some(length)) => {
                let whole = self.source.slice(place.start..place.start + length);
                self.close();
                self.done.push(whole);
            }
            (Some(place), None) if piece.len() >= LARGE => {
                self.close();
                self.done.push(self.source.slice(place));
            }
            _ => self.open.extend_from_slice(piece),
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_piece_is_the_same_memory() {
        let image = "A".repeat(100_000);
        let body = Bytes::from(format!(r#"["small", "{image}", "a\n{image}"]"#));
        let read: Vec<Text<'_>> = serde_json::from_slice(&body).unwrap();
        let mut segments = Segments::from(body.clone());
        serde_json::to_writer(&mut segments, &read).unwrap();
        let pieces = segments.into_pieces();
        let whole: Vec<u8> = pieces.iter().flatten().copied().collect();
        assert_eq!(
            serde_json::from_slice::<Vec<String>>(&whole).unwrap(),
            ["small".to_owned(), image.clone(), format!("a\n{image}")]
        );
        let shared: Vec<usize> =
            pieces.iter().filter(|piece| body.as_ptr_range().contains(&piece.as_ptr())).map(Bytes::len).collect();
        // With their quotes, and with the escape.
        assert_eq!(shared, [100_002, 100_005]);

        let mut segments = Segments::from(body.clone());
        assert!(read.iter().all(|text| Whole::of(text).is_none()), "what has quotes needs no mark");
        let part = read[1].clone().behind(1);
        let marked = Whole::of(&part).unwrap();
        segments.will_hold(marked).unwrap();
        serde_json::to_writer(&mut segments, &("a", marked, &read[0])).unwrap();
        let whole = segments.into_pieces().concat();
        let written = serde_json::from_slice::<Vec<String>>(&whole).unwrap();
        assert_eq!(written, ["a".to_owned(), image[1..].to_owned(), "small".to_owned()]);
        assert!(Segments::from(Bytes::new()).will_hold(marked).is_none());
    }
}
