//! A body that is written, large pieces of another one by reference.

use std::{io, ops::Range};

use bytes::Bytes;

/// From this length on a piece of the caller's body is passed on without a copy.
const LARGE: usize = 8 * 1024;

/// What is written for the upstream. A large piece of the caller's own body (a base64 image) is no copy of it, but the
/// same memory: the rest is written around it.
#[derive(Debug)]
pub struct Segments {
    source: Bytes,
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Segments {
    /// Nothing yet, from the caller's body `source`.
    pub fn from(source: Bytes) -> Self {
        Self { source, done: Vec::new(), open: Vec::new() }
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
        if piece.len() >= LARGE
            && let Some(place) = self.place(piece)
        {
            self.close();
            self.done.push(self.source.slice(place));
        } else {
            self.open.extend_from_slice(piece);
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
    use crate::Text;

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
        // What had an escape was made anew.
        assert_eq!(shared, [100_000]);
    }
}
