//! Spoken words, as sound.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::cut;
use crate::{Event, Fault, Finish, Form, Shape, Voice, openai};

/// What is said of sound that names no rate, in Hz.
const USUAL_RATE: u32 = 24_000;

/// Gathers sound: 16 bits a sample, little end first, one channel.
pub(super) struct Sound {
    form: Form,
    rate: u32,
    samples: Vec<u8>,
    why: Option<Finish>,
}

impl Sound {
    pub(super) fn new(shape: &Shape) -> Self {
        Self { form: shape.form, rate: USUAL_RATE, samples: Vec::new(), why: None }
    }
}

impl Voice for Sound {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        let (mime, data) = match event {
            Event::Blob { choice: 0, mime, data } => (mime, data),
            Event::Finish { choice: 0, why } => {
                self.why = Some(why);
                return;
            }
            _ => return,
        };
        if let Some(rate) = mime.split(';').find_map(|part| part.trim().strip_prefix("rate=")?.parse().ok()) {
            self.rate = rate;
        }
        let Ok(bytes) = STANDARD.decode(data.as_bytes()) else { return };
        // Some models give the head along with it.
        self.samples.extend_from_slice(without_head(&bytes));
    }

    fn refuses(&self) -> Option<Fault> {
        cut(self.why, ("input", "input"))
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.samples.is_empty() {
            return;
        }
        if self.form != Form::Pcm {
            out.extend_from_slice(&head(self.rate, self.samples.len()));
        }
        out.extend_from_slice(&self.samples);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(&openai::body(fault));
    }

    fn media_type(&self) -> &'static str {
        if self.form == Form::Pcm { "audio/pcm" } else { "audio/wav" }
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}

/// A WAV's samples; anything else as it is.
fn without_head(bytes: &[u8]) -> &[u8] {
    if !(bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")) {
        return bytes;
    }
    let mut at = 12;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let start = at + 8;
        if head.starts_with(b"data") {
            return &bytes[start..start.saturating_add(length).min(bytes.len())];
        }
        // Pieces begin at even places.
        at = start.saturating_add(length).saturating_add(length % 2);
    }
    &[]
}

/// What stands before the samples of a WAV.
fn head(rate: u32, length: usize) -> [u8; 44] {
    let length = u32::try_from(length).unwrap_or(u32::MAX - 36);
    let mut head = [0; 44];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RIFF");
    put(4, &(36 + length).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16u32.to_le_bytes());
    // Plain samples, one channel.
    put(20, &1u16.to_le_bytes());
    put(22, &1u16.to_le_bytes());
    put(24, &rate.to_le_bytes());
    put(28, &rate.saturating_mul(2).to_le_bytes());
    put(32, &2u16.to_le_bytes());
    put(34, &16u16.to_le_bytes());
    put(36, b"data");
    put(40, &length.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_put_on_and_taken_off() {
        let samples = [1, 2, 3, 4];
        let wav = [&head(16_000, samples.len())[..], &samples].concat();
        assert_eq!(wav.len(), 48);
        assert_eq!((&wav[4..8], &wav[24..28]), (&40u32.to_le_bytes()[..], &16_000u32.to_le_bytes()[..]));
        assert_eq!(without_head(&wav), samples);
        assert_eq!(without_head(&samples), samples);
        for cut in 12..44 {
            assert_eq!(without_head(&wav[..cut]), b"", "{cut}");
        }
    }
}
