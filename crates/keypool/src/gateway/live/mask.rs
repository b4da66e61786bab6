//! Overwrites the pool's keys in the frames that pass, however they are cut: with as many `*`. In messages in the forms that a good
//! answer is looked through for; in control frames, of which the last tells of an error, however they are spelled.
//!
//! The end of what is inside of a frame may be the beginning of a key. So of a part of a message that another part
//! follows the last bytes go on with that one: frames stay whole, and what stands between them does not wait.

use tower_keypool::{KeyMask, Lease};

use super::frames::{CONTROL, Frame, Frames, Piece, Said, head};

/// What is overwritten.
pub(super) struct Blot {
    mask: KeyMask,
    /// How many bytes may be the beginning of a key, in the frame under way.
    most: usize,
    /// The end of what came of a message, which goes on with what follows.
    held: Vec<u8>,
    /// The same of a control frame.
    control: Vec<u8>,
    /// The frame under way, and where in its mask the next byte stands.
    frame: Frame,
    turn: usize,
}

impl Blot {
    /// The keys of this session, and of its pool.
    pub(super) fn of(lease: &Lease) -> Self {
        let mask = KeyMask::of_lease(lease);
        Self { mask, most: 0, held: Vec::new(), control: Vec::new(), frame: Frame::default(), turn: 0 }
    }

    /// What may go on of what came before and this, which `frames` follows: `heard` is told what is whole by then.
    pub(super) fn pass(&mut self, frames: &mut Frames, mut bytes: &[u8], mut heard: impl FnMut(Said)) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.held.len() + LONGEST_HEAD);
        while !bytes.is_empty() {
            let (took, piece) = frames.step(bytes, &mut heard);
            let (these, rest) = bytes.split_at(took);
            bytes = rest;
            match piece {
                Piece::Head => {}
                Piece::Begins(frame) => self.begin(frame, frames.is_at_border(), &mut out),
                Piece::Inside => self.inside(these, frames.is_at_border(), &mut out),
            }
        }
        out
    }

    fn begin(&mut self, frame: Frame, is_all: bool, out: &mut Vec<u8>) {
        // A longer key than those before may have come meanwhile.
        self.most = self.mask.longest().saturating_sub(1);
        let carried = if frame.is_control() { 0 } else { self.held.len() as u64 };
        let length = frame.length.saturating_add(carried);
        let stays = if frame.is_last() { 0 } else { length.min(self.most as u64) };
        head(frame.first, length - stays, out);
        (self.frame, self.turn) = (frame, 0);
        if is_all {
            self.inside(&[], true, out);
        }
    }

    fn inside(&mut self, bytes: &[u8], is_all: bool, out: &mut Vec<u8>) {
        let is_control = self.frame.is_control();
        let held = if is_control { &mut self.control } else { &mut self.held };
        let from = held.len();
        held.extend_from_slice(bytes);
        if self.frame.mask != [0; 4] {
            // No server may; what it says is looked through all the same.
            let mask = self.frame.mask.iter().cycle().skip(self.turn);
            held[from..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            self.turn = (self.turn + bytes.len()) % 4;
        }
        // A control frame is short, and looked at once it is whole.
        let most = if is_control { self.most.max(CONTROL) } else { self.most };
        if is_control && is_all {
            self.mask.hide_spelled(held);
        }
        let goes_on = !(is_all && self.frame.is_last());
        if goes_on {
            self.mask.hide_piece(held);
        } else {
            self.mask.hide(held);
        }
        let stays = if goes_on { held.len().min(most) } else { 0 };
        out.extend(held.drain(..held.len() - stays));
    }
}

/// A frame's head is no longer, in bytes.
const LONGEST_HEAD: usize = 14;

#[cfg(test)]
mod tests {
    use tower_keypool::{Gemini, Key, KeyPool};

    use super::*;

    fn blot() -> Blot {
        blot_of(["AAAB-secret"])
    }

    fn blot_of(keys: impl IntoIterator<Item = &'static str>) -> Blot {
        let pool = KeyPool::builder(Gemini::new()).keys(keys.into_iter().map(Key::new)).build().unwrap();
        Blot::of(&pool.try_acquire("m").unwrap())
    }

    fn frame(first: u8, inside: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        head(first, inside.len() as u64, &mut frame);
        frame.extend(inside);
        frame
    }

    /// What goes on of these bytes, as many at once: each message and control frame, whole.
    fn passed(bytes: &[u8], step: usize) -> Vec<(u8, String)> {
        passed_by(blot(), bytes, step)
    }

    fn passed_by(mut blot: Blot, bytes: &[u8], step: usize) -> Vec<(u8, String)> {
        let (mut frames, mut out) = (Frames::new(1 << 20, |_| false), Vec::new());
        for piece in bytes.chunks(step) {
            out.extend(blot.pass(&mut frames, piece, drop));
        }
        let (mut frames, mut rest, mut said) = (Frames::new(1 << 20, |_| false), &out[..], Vec::new());
        let (mut code, mut inside, mut message) = (0, Vec::new(), (0, Vec::new()));
        while !rest.is_empty() {
            let (took, piece) = frames.step(rest, &mut drop);
            match piece {
                Piece::Begins(frame) => code = frame.first,
                Piece::Inside => inside.extend(&rest[..took]),
                Piece::Head => panic!("it is cut"),
            }
            rest = &rest[took..];
            if !frames.is_at_border() {
                continue;
            }
            let inside = std::mem::take(&mut inside);
            if code & 0x8 != 0 {
                said.push((code & 0xf, inside));
                continue;
            }
            if code & 0xf != 0 {
                message = (code & 0xf, Vec::new());
            }
            message.1.extend(inside);
            if code & 0x80 != 0 {
                said.push(std::mem::take(&mut message));
            }
        }
        assert!(frames.is_at_border(), "all of it went on");
        said.into_iter().map(|(code, inside)| (code, String::from_utf8_lossy(&inside).into_owned())).collect()
    }

    #[test]
    fn a_secret_is_overwritten_wherever_it_is_cut() {
        let text = "before AAAB-secret, AAAAB-secret AAAB-secre";
        let expected = "before ***********, A*********** AAAB-secre".to_owned();
        for parts in 1..text.len() {
            let mut bytes = Vec::new();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(parts).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let last = if at + 1 == pieces.len() { 0x80 } else { 0 };
                bytes.extend(frame(last | u8::from(at == 0), piece));
                if last == 0 {
                    bytes.extend(frame(0x89, b"AAAB-secret?"));
                    bytes.extend(frame(0, b""));
                }
            }
            bytes.extend(frame(0x82, b"ends with A"));
            bytes.extend(frame(0x88, b"\x03\xf3AAA"));
            for step in [1, 2, 5, 17, bytes.len()] {
                let mut said = passed(&bytes, step);
                let pings = said.iter().filter(|said| **said == (9, "***********?".to_owned())).count();
                assert_eq!(pings, pieces.len() - 1, "{parts} {step}");
                said.retain(|(code, _)| *code != 9);
                let close = (8, "\u{3}\u{fffd}AAA".to_owned());
                let after = (2, "ends with A".to_owned());
                assert_eq!(said, [(1, expected.clone()), after, close], "{parts} {step}");
            }
        }
    }

    #[test]
    fn so_is_every_other_one_of_the_pool() {
        let keys = ["AAAB-secret", "AAAB-secret-that-is-longer", "another-one"];
        let text = "AAAB-secret-that-is-longer AAAB-secret-that another-one AAAB-secret";
        let expected = format!("{} ***********-that *********** ***********", "*".repeat(26));
        for parts in 1..text.len() {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(parts).collect();
            let mut bytes = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                let last = if at + 1 == pieces.len() { 0x80 } else { 0 };
                bytes.extend(frame(last | u8::from(at == 0), piece));
            }
            for step in [1, 5, bytes.len()] {
                assert_eq!(passed_by(blot_of(keys), &bytes, step), [(1, expected.clone())], "{parts} {step}");
            }
        }
    }

    #[test]
    fn what_is_whole_is_as_it_came() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = [frame(0x81, &vec![b'A'; length]), frame(0x8a, b"A")].concat();
            let (mut blot, mut frames) = (blot(), Frames::new(9, |_| false));
            assert_eq!(blot.pass(&mut frames, &bytes, drop), bytes, "{length}");
        }
    }
}
