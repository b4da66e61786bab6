//! Overwrites a secret in bytes that pass, however they are cut: with as many `*`, so that lengths stay true.

use std::borrow::Cow;

use memchr::memmem;

/// What is overwritten.
pub(super) struct Blot {
    secret: Vec<u8>,
    /// The end of what came, where it may be the beginning of the secret.
    held: Vec<u8>,
}

impl Blot {
    /// This secret.
    pub(super) fn of(secret: &str) -> Self {
        Self { secret: secret.as_bytes().to_vec(), held: Vec::new() }
    }

    /// What may go on of what came before and this.
    pub(super) fn pass<'b>(&mut self, bytes: &'b mut [u8]) -> Cow<'b, [u8]> {
        if self.secret.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut all = std::mem::take(&mut self.held);
        if all.is_empty() && memmem::find(bytes, &self.secret).is_none() && self.begins_at_end_of(bytes) == 0 {
            return Cow::Borrowed(bytes);
        }
        all.extend_from_slice(bytes);
        while let Some(at) = memmem::find(&all, &self.secret) {
            all[at..at + self.secret.len()].fill(b'*');
        }
        self.held = all.split_off(all.len() - self.begins_at_end_of(&all));
        Cow::Owned(all)
    }

    /// Whether all that came went on.
    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// What was held back, at the end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// How many bytes at the end are the secret's first.
    fn begins_at_end_of(&self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(self.secret.len().saturating_sub(1));
        (1..=most).rev().find(|length| bytes.ends_with(&self.secret[..*length])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_overwritten_wherever_it_is_cut() {
        let text = b"before AAAB-secret, AAAAB-secret AAAB-secre";
        for step in 1..text.len() {
            let mut blot = Blot::of("AAAB-secret");
            let mut out = Vec::new();
            for piece in text.chunks(step) {
                out.extend_from_slice(&blot.pass(&mut piece.to_vec()));
            }
            out.extend(blot.rest());
            assert_eq!(String::from_utf8_lossy(&out), "before ***********, A*********** AAAB-secre", "{step}");
        }
    }

    #[test]
    fn what_cannot_be_it_is_not_held_back() {
        let mut blot = Blot::of("secret");
        assert_eq!(&*blot.pass(&mut b"frame".to_vec()), b"frame");
        assert_eq!(&*blot.pass(&mut b"frames".to_vec()), b"frame");
        assert_eq!(&*blot.pass(&mut b"x".to_vec()), b"sx");
        assert_eq!(&*Blot::of("").pass(&mut b"anything".to_vec()), b"anything");
    }
}
