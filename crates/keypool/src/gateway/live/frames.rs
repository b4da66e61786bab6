//! Frames of a WebSocket as they pass (RFC 6455): only followed. What is longer than somebody wants to read passes all the
//! same.

use super::client_rules::{Fault, Rules};

/// Codes of closing frames (RFC 6455, section 7.4).
pub(super) const PROTOCOL: u16 = 1002;
pub(super) const NOT_UTF8: u16 = 1007;
pub(super) const POLICY: u16 = 1008;
pub(super) const TOO_BIG: u16 = 1009;
pub(super) const INTERNAL: u16 = 1011;
pub(super) const AGAIN: u16 = 1013;

/// What one side has said whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Text or bytes.
    Data(Vec<u8>),
    /// The same, longer than what is read: whether what is looked for may stand in it.
    Long(bool),
    /// A question whether anybody is there: what stands in it.
    Ping(Vec<u8>),
    /// The end: its code, and why.
    Close(u16, String),
    /// What is no frame, or none that may come here. Nothing behind it is heard.
    Broken(Fault),
}

/// What a frame's head says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Its first byte: what it is, and whether it is its message's last.
    pub(super) first: u8,
    /// How many bytes are inside.
    pub(super) length: u64,
    /// Those of a client are masked.
    pub(super) mask: [u8; 4],
}

impl Frame {
    /// Whether it may stand between two parts of a message.
    pub(super) fn is_control(self) -> bool {
        self.first & CLOSE != 0
    }

    /// Whether no other part of its message follows.
    pub(super) fn is_last(self) -> bool {
        self.first & 0x80 != 0 || self.is_control()
    }
}

/// What bytes are that pass.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    /// Of a frame's head that is not whole yet.
    Head,
    /// The end of this frame's head.
    Begins(Frame),
    /// Of what is inside of a frame.
    Inside,
}

/// Follows one side.
#[derive(Debug)]
pub(super) struct Frames {
    /// The longest message that is read, in bytes.
    most: usize,
    /// What longer ones are looked through for.
    sought: fn(&[u8]) -> bool,
    /// A frame's head, as far as it came.
    head: Vec<u8>,
    /// Bytes of a frame's inside that are still to come.
    left: u64,
    mask: [u8; 4],
    /// Where in the mask the next byte stands.
    turn: usize,
    code: u8,
    last: bool,
    /// A message so far, or the end of one that is too long.
    whole: Vec<u8>,
    /// It is too long: whether what is looked for may stand in what came.
    long: Option<bool>,
    /// A control frame so far, which may stand between two parts of a message.
    control: Vec<u8>,
    /// What it must keep to; a provider is believed.
    rules: Option<Rules>,
    /// It did not.
    broken: bool,
}

/// What is looked for is shorter, in bytes, also with each letter by its number: it may be cut in two.
const OVERLAP: usize = 128;
/// Inside of a control frame at most.
pub(super) const CONTROL: usize = 125;
pub(super) const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

impl Frames {
    /// Messages of up to `most` bytes are read; longer ones are looked through for what is `sought`, a piece at a time.
    pub(super) fn new(most: usize, sought: fn(&[u8]) -> bool) -> Self {
        Self {
            most,
            sought,
            head: Vec::new(),
            left: 0,
            mask: [0; 4],
            turn: 0,
            code: 0,
            last: false,
            whole: Vec::new(),
            long: None,
            control: Vec::new(),
            rules: None,
            broken: false,
        }
    }

    /// Those of a client, whose frames must be such.
    pub(super) fn of_client(self) -> Self {
        Self { rules: Some(Rules::default()), ..self }
    }

    /// Whether a frame may follow what came so far.
    pub(super) fn is_at_border(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Follows more bytes: `heard` is told what is whole by then.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut heard: impl FnMut(Said)) {
        while !bytes.is_empty() {
            let (took, _) = self.step(bytes, &mut heard);
            bytes = &bytes[took..];
        }
    }

    /// Follows bytes up to where something else begins: how many, and what they are.
    pub(super) fn step(&mut self, bytes: &[u8], heard: &mut impl FnMut(Said)) -> (usize, Piece) {
        if self.broken {
            return (bytes.len(), Piece::Head);
        }
        let (took, piece, kept) = self.follow(bytes, heard);
        if let Err(fault) = kept {
            self.broken = true;
            heard(Said::Broken(fault));
        }
        (took, piece)
    }

    /// The same, and whether it is what it must be.
    fn follow(&mut self, bytes: &[u8], heard: &mut impl FnMut(Said)) -> (usize, Piece, Result<(), Fault>) {
        if self.left == 0 {
            for (at, byte) in bytes.iter().enumerate() {
                self.head.push(*byte);
                match self.headed() {
                    Ok(None) => {}
                    Ok(Some(frame)) => {
                        let ended = if self.left == 0 { self.end(heard) } else { Ok(()) };
                        return (at + 1, Piece::Begins(frame), ended);
                    }
                    Err(fault) => return (at + 1, Piece::Head, Err(fault)),
                }
            }
            return (bytes.len(), Piece::Head, Ok(()));
        }
        let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut kept = self.keep(&bytes[..take]);
        self.left -= take as u64;
        if self.left == 0 && take > 0 && kept.is_ok() {
            kept = self.end(heard);
        }
        (take, Piece::Inside, kept)
    }

    /// The frame whose head this is, once it is whole.
    fn headed(&mut self) -> Result<Option<Frame>, Fault> {
        let [first, second, more @ ..] = &self.head[..] else { return Ok(None) };
        let (length, masked) = (second & 0x7f, second & 0x80 != 0);
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if more.len() < extended + if masked { 4 } else { 0 } {
            return Ok(None);
        }
        self.left = match extended {
            0 => u64::from(length),
            _ => more[..extended].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
        };
        self.mask = more[extended..].try_into().unwrap_or_default();
        (self.code, self.last, self.turn) = (first & 0xf, first & 0x80 != 0, 0);
        let frame = Frame { first: *first, length: self.left, mask: self.mask };
        if let Some(rules) = &mut self.rules {
            rules.begins([*first, *second], self.left)?;
        }
        self.head.clear();
        Ok(Some(frame))
    }

    fn keep(&mut self, inside: &[u8]) -> Result<(), Fault> {
        let turn = self.turn;
        self.turn = (turn + inside.len()) % 4;
        if self.code >= CLOSE {
            let plain = inside.iter().zip(self.mask.iter().cycle().skip(turn)).map(|(byte, mask)| byte ^ mask);
            let room = CONTROL.saturating_sub(self.control.len());
            self.control.extend(plain.take(room));
            return Ok(());
        }
        if self.whole.len() + inside.len() > self.most {
            let end = self.whole.len().saturating_sub(OVERLAP);
            self.long = Some(self.long == Some(true) || (self.sought)(&self.whole));
            self.whole.drain(..end);
        }
        let from = self.whole.len();
        self.whole.extend_from_slice(inside);
        let mut mask = self.mask;
        mask.rotate_left(turn);
        if mask != [0; 4] {
            // Four at once, or more.
            let mut fours = self.whole[from..].chunks_exact_mut(4);
            for four in &mut fours {
                four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            }
            fours.into_remainder().iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.rules.as_mut().map_or(Ok(()), |rules| rules.inside(&self.whole[from..]))
    }

    fn end(&mut self, heard: &mut impl FnMut(Said)) -> Result<(), Fault> {
        match self.code {
            CLOSE => {
                let inside = std::mem::take(&mut self.control);
                let (code, reason) = inside.split_at_checked(2).unwrap_or_default();
                let code = code.try_into().map_or(1005, u16::from_be_bytes);
                heard(Said::Close(code, String::from_utf8_lossy(reason).into_owned()));
            }
            PING => heard(Said::Ping(std::mem::take(&mut self.control))),
            0xa.. => self.control.clear(),
            _ if self.last => {
                let whole = std::mem::take(&mut self.whole);
                self.rules.as_mut().map_or(Ok(()), Rules::ends)?;
                heard(match self.long.take() {
                    Some(seen) => Said::Long(seen || (self.sought)(&whole)),
                    None => Said::Data(whole),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Writes the head of a frame without a mask.
pub(super) fn head(first: u8, length: u64, out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend(middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend(length.to_be_bytes());
        }
    }
}

/// A closing frame of the gateway's own; a longer reason is cut.
pub(super) fn closing(code: u16, reason: &str) -> Vec<u8> {
    let most = (0..=reason.len().min(CONTROL - 2)).rev().find(|at| reason.is_char_boundary(*at));
    let reason = &reason[..most.unwrap_or(0)];
    let mut frame = vec![0x80 | CLOSE, u8::try_from(reason.len() + 2).unwrap_or(2)];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

/// A control frame of the gateway's own.
pub(super) fn control(code: u8, inside: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    head(0x80 | code, inside.len() as u64, &mut frame);
    frame.extend(inside);
    frame
}

/// A message of a client's. Its mask changes nothing: it is there because one must be.
pub(super) fn asking(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ 0..126), _) => frame.push(0x80 | short),
        (_, Ok(middle)) => {
            frame.push(0xfe);
            frame.extend(middle.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_heard_whatever_its_length() {
        for length in [0, 1, 125, 126, 127, 0xffff, 0x1_0000] {
            let (text, mut heard) = (vec![b'x'; length], Vec::new());
            Frames::new(1 << 20, |_| false).pass(&asking(&text), |said| heard.push(said));
            assert_eq!(heard, [Said::Data(text)], "{length}");
        }
    }

    fn frame(first: u8, masked: bool, inside: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        let flag = if masked { 0x80 } else { 0 };
        match inside.len() {
            short @ 0..=125 => frame.push(flag | short as u8),
            middle @ 126..=0xffff => {
                frame.push(flag | 0x7e);
                frame.extend((middle as u16).to_be_bytes());
            }
            long => {
                frame.push(flag | 0x7f);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        let mask = if masked { [7, 0, 255, 1] } else { [0; 4] };
        if masked {
            frame.extend(mask);
        }
        frame.extend(inside.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let mut bytes = Vec::new();
        bytes.extend(frame(0x01, true, b"{\"set"));
        bytes.extend(frame(0x89, true, b"ping"));
        bytes.extend(frame(0x80, true, b"up\":1}"));
        bytes.extend(frame(0x82, false, &[]));
        bytes.extend(frame(0x81, false, &[b'y'; 300]));
        bytes.extend(frame(0x81, true, &long));
        bytes.extend(frame(0x88, false, b"\x03\xf3You exceeded"));
        bytes.extend(frame(0x88, false, b""));
        let expected = [
            Said::Ping(b"ping".to_vec()),
            Said::Data(b"{\"setup\":1}".to_vec()),
            Said::Data(Vec::new()),
            Said::Data(vec![b'y'; 300]),
            Said::Long(false),
            Said::Close(1011, "You exceeded".into()),
            Said::Close(1005, String::new()),
        ];
        for step in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut frames = Frames::new(1000, |text| text.contains(&b'z'));
            let mut heard = Vec::new();
            bytes.chunks(step).for_each(|piece| frames.pass(piece, |said| heard.push(said)));
            assert_eq!(heard, expected, "{step}");
        }
    }

    #[test]
    fn what_is_looked_for_is_found_in_what_is_too_long_to_read() {
        for at in [0, 1, 2_990, 2_998, 3_000, 3_001, 6_400, 8_997] {
            let mut text = vec![b'x'; 9_000];
            text[at..at + 3].copy_from_slice(b"uri");
            for (masked, step) in [(true, 1), (false, 7), (true, 1_000), (false, 20_000)] {
                let mut frames = Frames::new(3_000, |text| memchr::memmem::find(text, b"uri").is_some());
                let mut heard = Vec::new();
                let bytes = [frame(0x01, masked, &text[..4_000]), frame(0x80, masked, &text[4_000..])].concat();
                bytes.chunks(step).for_each(|piece| frames.pass(piece, |said| heard.push(said)));
                assert_eq!(heard, [Said::Long(true)], "{at} {step}");
                frames.pass(&frame(0x81, masked, b"short"), |said| assert_eq!(said, Said::Data(b"short".to_vec())));
                assert!(frames.is_at_border());
            }
        }
    }

    #[test]
    fn a_closing_frame_is_short_enough_to_be_one() {
        let mut heard = Vec::new();
        Frames::new(9, |_| false).pass(&closing(1013, &"ö".repeat(90)), |said| heard.push(said));
        assert_eq!(heard, [Said::Close(1013, "ö".repeat(61))]);
        let mut frames = Frames::new(9, |_| false);
        frames.pass(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255, b'x'], |_| panic!("nothing is whole"));
    }
}
