//! Words that open something for whoever knows them: kept as hashes alone, and what they open sealed under them.

use sha2::{Digest, Sha256};
use tower_keypool::store::{StoreError, Vault};

/// 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Capability([u8; 32]);

impl Capability {
    /// One that nobody knows yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As it is handed out: 64 hexadecimal digits.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// One that was handed out.
    pub fn parse(text: &str) -> Option<Self> {
        let fine = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate().take(if fine { 32 } else { 0 }) {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        fine.then_some(Self(bytes))
    }

    /// What it is called where it is kept: nobody gets back from there.
    pub fn name(&self) -> String {
        hex(&self.digest(b"keypool capability name"))
    }

    /// Seals what only whoever knows it may read.
    ///
    /// # Errors
    /// Those of [`Vault::seal`].
    pub fn seal(&self, text: &str) -> Result<String, StoreError> {
        Ok(hex(&self.vault()?.seal("capability", text)?))
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// When it was sealed under another, or changed since.
    pub fn unseal(&self, sealed: &str) -> Result<String, StoreError> {
        let bytes = (0..sealed.len() / 2).map(|at| u8::from_str_radix(sealed.get(2 * at..2 * at + 2)?, 16).ok());
        let bytes: Option<Vec<u8>> = bytes.collect();
        self.vault()?.unseal("capability", &bytes.unwrap_or_default())
    }

    fn vault(&self) -> Result<Vault, StoreError> {
        Vault::new(&hex(&self.digest(b"keypool capability seal")))
            .map_err(|error| StoreError::because("a capability", error))
    }

    fn digest(&self, purpose: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(purpose).chain_update([0]).chain_update(self.0).finalize().into()
    }
}

impl std::fmt::Debug for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Capability(***)")
    }
}

/// A SHA-256 that somebody wrote down, in hexadecimal.
pub fn digest_of(hash: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The SHA-256 of a text, in hexadecimal.
pub fn hash_of(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    // By hand: `{:02x}` costs five times as much as the hash.
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_sha256sum_writes_it() {
        assert_eq!(hash_of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex(&digest_of(&hash_of(b"abc").to_uppercase()).unwrap()), hash_of(b"abc"));
        for none in ["", "+a", &hash_of(b"abc")[1..], &format!("+{}", &hash_of(b"abc")[1..])] {
            assert_eq!(digest_of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_kept_opens_with_the_word_alone() {
        let (one, other) = (Capability::new().unwrap(), Capability::new().unwrap());
        assert_eq!(Capability::parse(&one.text()).unwrap(), one);
        let sealed = one.seal("https://upstream.example/?upload_id=secret").unwrap();
        assert_eq!(one.unseal(&sealed).unwrap(), "https://upstream.example/?upload_id=secret");
        assert!(other.unseal(&sealed).is_err());
        assert!(one.unseal(&sealed[2..]).is_err() && one.unseal("zz").is_err() && one.unseal("é").is_err());
        assert!(!one.name().contains(&one.text()) && one.name() != other.name());
        assert!(!format!("{one:?}").contains(&one.text()));
        for wrong in ["", "00", &one.text()[1..], &one.text().to_uppercase(), &format!("{}é", &one.text()[2..])] {
            assert!(Capability::parse(wrong).is_none() || wrong == one.text(), "{wrong}");
        }
    }
}
