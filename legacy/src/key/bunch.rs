//! All keys of a pool, to be found in a text in one pass, however many there are: each as it is and as known writers escape it.
//!
//! Where one may begin is found first: by the start that all share, as nearly all keys of one provider do; else by the
//! pieces that they begin with ([`Grams`]). Which of them stands there is looked up in a sorted list.

use memchr::{memchr_iter, memmem::Finder};

use super::{SHORTEST, Secret, forms, grams::Grams, grams::PIECE};

/// A shorter start is in too many words of any text.
pub(super) const SHORTEST_START: usize = 3;

/// All keys of a pool, in all their forms.
pub(crate) struct Bunch {
    /// Made when so many had come.
    came: u64,
    /// None of those has given its place to another.
    all: bool,
    /// Sorted, so that those that begin like a text stand beside it.
    texts: Box<[Secret]>,
    longest: usize,
    way: Way,
}

/// How the place is found where a key may begin.
enum Way {
    /// By the start of all.
    Start(Box<Finder<'static>>),
    Grams(Grams),
}

/// What begins at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// A key of so many bytes; the longest one that does.
    Whole(usize),
    /// What may become a key, or a longer one than is there, had the text gone on.
    Begun,
}

impl Bunch {
    /// `came`: how many had come by then.
    pub(crate) fn of(came: u64, secrets: Vec<Secret>) -> Self {
        let all = secrets.len() as u64 == came;
        let mut texts = secrets;
        texts.retain(|secret| secret.bytes().len() >= SHORTEST);
        let others: Vec<Secret> = texts.iter().flat_map(others).collect();
        texts.extend(others);
        texts.sort_unstable_by(|one, other| one.bytes().cmp(other.bytes()));
        texts.dedup_by(|one, other| one.bytes() == other.bytes());
        let lengths = || texts.iter().map(|text| text.bytes().len());
        let start = match &texts[..] {
            [first, .., last] => &first.bytes()[..alike(first.bytes(), last.bytes())],
            [only] => only.bytes(),
            [] => &[],
        };
        let way = if start.len() >= SHORTEST_START {
            Way::Start(Box::new(Finder::new(start).into_owned()))
        } else {
            Way::Grams(Grams::of(texts.iter().map(Secret::bytes), lengths().min().unwrap_or(SHORTEST)))
        };
        Self { came, all, longest: lengths().max().unwrap_or(0), way, texts: texts.into() }
    }

    /// Whether it was made when so many had come.
    pub(crate) fn is_of(&self, came: u64) -> bool {
        self.came == came
    }

    /// Whether this one, which was in the pool, is among them.
    pub(crate) fn has(&self, secret: &Secret) -> bool {
        self.all || self.texts.binary_search_by(|text| text.bytes().cmp(secret.bytes())).is_ok()
    }

    /// In how many bytes the longest is written.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The first place from there on where a key stands. `more`: the text may go on, so that the beginning of one at its end
    /// counts, too.
    pub(crate) fn look(&self, text: &[u8], mut from: usize, more: bool) -> Option<(usize, Hit)> {
        // What begins before this place is whole. No key has a line's end.
        let cut = more && !text.ends_with(b"\n");
        let sure = if cut { text.len().saturating_sub(self.longest.saturating_sub(1)) } else { text.len() };
        while from < sure {
            let Some(at) = self.next(text, from).filter(|at| *at < sure) else {
                from = sure;
                break;
            };
            if let Some(hit) = self.at(&text[at..], cut) {
                return Some((at, hit));
            }
            from = at + 1;
        }
        // All of it was sure: most chunks of a stream.
        if !cut {
            return None;
        }
        while let Some(at) = self.next_begun(text, from) {
            if let Some(hit) = self.at(&text[at..], cut) {
                return Some((at, hit));
            }
            from = at + 1;
        }
        None
    }

    /// Overwrites all that stand in a text, of one that goes on (`more`) all before what may be the beginning of one at its end.
    pub(crate) fn mask(&self, text: &mut [u8], more: bool) {
        let mut from = 0;
        while let Some((at, Hit::Whole(length))) = self.look(text, from, more) {
            text[at..at + length].fill(b'*');
            from = at + length;
        }
    }

    /// Where a whole one may begin next.
    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        match &self.way {
            Way::Start(start) => Some(from + start.find(&text[from..])?),
            Way::Grams(grams) => grams.next(text, from),
        }
    }

    /// The same of one that may be cut.
    fn next_begun(&self, text: &[u8], from: usize) -> Option<usize> {
        match &self.way {
            Way::Start(start) => {
                let start = start.needle();
                let begins = |at: &usize| text[*at..].iter().zip(start).all(|(byte, wanted)| byte == wanted);
                memchr_iter(start[0], &text[from..]).map(|at| from + at).find(begins)
            }
            Way::Grams(grams) => {
                (from..text.len()).find(|at| text.get(*at..at + PIECE).is_none_or(|piece| grams.has(piece)))
            }
        }
    }

    /// What begins a text, which goes on behind its end if `cut`.
    fn at(&self, text: &[u8], cut: bool) -> Option<Hit> {
        let mut text = &text[..text.len().min(self.longest)];
        let mut before = self.not_behind(text, self.texts.len());
        if cut && self.texts.get(before).is_some_and(|longer| longer.bytes().starts_with(text)) {
            return Some(Hit::Begun);
        }
        // Whatever begins the text stands before it, and between them stands only what begins so as well.
        loop {
            let nearest = self.texts[before.checked_sub(1)?].bytes();
            let length = alike(nearest, text);
            if length == nearest.len() {
                return Some(Hit::Whole(length));
            }
            if length < SHORTEST {
                return None;
            }
            text = &text[..length];
            before = self.not_behind(text, before);
        }
    }

    /// How many of the first ones do not stand behind a text.
    fn not_behind(&self, text: &[u8], among: usize) -> usize {
        self.texts[..among].partition_point(|key| key.bytes() <= text)
    }
}

/// The other forms of a key, each as if it were one.
pub(super) fn others(secret: &Secret) -> Vec<Secret> {
    let others = if secret.is_encodable() { forms::written(secret.expose()) } else { Vec::new() };
    others.iter().filter_map(|text| Secret::new(text).ok()).collect()
}

/// How many bytes two texts begin with alike.
pub(super) fn alike(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bunch(keys: &[&str]) -> Bunch {
        Bunch::of(0, keys.iter().map(|key| Secret::new(key).unwrap()).collect())
    }

    #[test]
    fn the_longest_that_is_there_counts() {
        for other in ["AIza-12345-abc", "zzzz-zzzz-zzzz"] {
            let bunch = bunch(&["AIza-12345", "AIza-12345-67890", "AIza-12345-6", "short", other]);
            for (text, more, expected) in [
                ("AIza-12345", false, Some((0, Hit::Whole(10)))),
                ("AIza-12345", true, Some((0, Hit::Begun))),
                ("AIza-12345\n", true, Some((0, Hit::Whole(10)))),
                ("AIza-12345-", true, Some((0, Hit::Begun))),
                ("AIza-12345-678", false, Some((0, Hit::Whole(12)))),
                ("AIza-12345-67890", true, Some((0, Hit::Whole(16)))),
                ("AIza-12345-aaaaaaaaaaaaaaaaaaa", true, Some((0, Hit::Whole(10)))),
                ("x AIza AIza-12345.", false, Some((7, Hit::Whole(10)))),
                ("x AIza-1234", false, None),
                ("x AIza-1234", true, Some((2, Hit::Begun))),
                ("x short", false, None),
                ("xA", true, Some((1, Hit::Begun))),
                ("", true, None),
            ] {
                assert_eq!(bunch.look(text.as_bytes(), 0, more), expected, "{text} {other}");
            }
            assert!(bunch.has(&Secret::new(other).unwrap()) && !bunch.has(&Secret::new("AIza-1234").unwrap()));
        }
    }

    #[test]
    fn none_are_nowhere() {
        for keys in [&[][..], &["short"]] {
            assert_eq!(bunch(keys).look(b"short, and a longer text without any key in it", 0, true), None);
        }
    }
}
