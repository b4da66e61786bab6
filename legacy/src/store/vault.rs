//! Secrets at rest: encrypted with a key that is not in the store.

use std::fmt;

use base64::Engine;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use super::{KeptSecret, KeyRecord, KeyStanding, StoreError, record::secret_hash};
use crate::key::{Key, Priority, Tier};

const NONCE: usize = 24;

/// Encrypts secrets: XChaCha20-Poly1305, a random nonce each, bound to a name, so that none can be put in the place of
/// another. The name of a key's secret in a store is its hash, which stays when the key is called otherwise.
///
/// ```
/// use tower_keypool::store::Vault;
///
/// let vault = Vault::new("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")?;
/// let sealed = vault.seal("work", "AIza-not-a-real-key-001")?;
/// assert_eq!(vault.unseal("work", &sealed)?, "AIza-not-a-real-key-001");
/// assert!(vault.unseal("home", &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Vault(XChaCha20Poly1305);

/// A text that is no key for a [`Vault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVaultKey;

impl Vault {
    /// Takes 32 bytes, in hex (64 digits) or base64.
    ///
    /// # Errors
    /// [`InvalidVaultKey`] when they are anything else.
    pub fn new(key: &str) -> Result<Self, InvalidVaultKey> {
        let key = key.trim();
        let bytes = if key.len() == 64 { from_hex(key) } else { from_base64(key) };
        let bytes: [u8; 32] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidVaultKey)?;
        Ok(Self(XChaCha20Poly1305::new(&bytes.into())))
    }

    /// Encrypts the secret of this name: the nonce, and then what it is in cipher.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, id: &str, secret: &str) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|error| StoreError::new(format!("the system gives no random bytes: {error}")))?;
        let payload = Payload { msg: secret.as_bytes(), aad: id.as_bytes() };
        let cipher = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| StoreError::new(format!("the secret of {id} cannot be encrypted")))?;
        Ok([&nonce[..], &cipher].concat())
    }

    /// Decrypts what [`Vault::seal`] made.
    ///
    /// # Errors
    /// When it was made with another key or for another id, or was changed since.
    pub fn unseal(&self, id: &str, sealed: &[u8]) -> Result<String, StoreError> {
        let secret = sealed.split_first_chunk::<NONCE>().and_then(|(nonce, cipher)| {
            let payload = Payload { msg: cipher, aad: id.as_bytes() };
            String::from_utf8(self.0.decrypt(&XNonce::from(*nonce), payload).ok()?).ok()
        });
        secret.ok_or_else(|| {
            StoreError::new(format!(
                "the stored secret of {id} cannot be decrypted: it needs the key it was encrypted with"
            ))
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

impl fmt::Display for InvalidVaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 32 bytes in hex or base64 (`openssl rand -hex 32` makes them)")
    }
}

impl std::error::Error for InvalidVaultKey {}

/// How a secret that is added to a store is kept there.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// Encrypted.
    Sealed(Vault),
    /// As it is, because somebody asked for that: whoever reads the file, or a copy of it, has the key.
    Plain,
}

impl Keeping {
    /// The form in which a secret is stored.
    ///
    /// # Errors
    /// Those of [`Vault::seal`].
    pub fn keep(&self, secret: &str) -> Result<KeptSecret, StoreError> {
        match self {
            Self::Sealed(vault) => vault.seal(&secret_hash(secret), secret).map(KeptSecret::Sealed),
            Self::Plain => Ok(KeptSecret::Plain(secret.to_owned())),
        }
    }
}

impl KeyRecord {
    /// The key as a pool takes it, where its secret is had from here: see [`KeptSecret::reveal`]. None for a key that is
    /// not, and for one that was removed. What commands said of it is not in it.
    ///
    /// # Errors
    /// When the secret cannot be had.
    pub fn reveal(&self, vault: Option<&Vault>) -> Result<Option<Key>, StoreError> {
        if self.state == KeyStanding::Removed {
            return Ok(None);
        }
        let Some(secret) = self.secret.reveal(&self.id, &self.hash, vault)? else { return Ok(None) };
        let mut key = Key::new(secret).id(&*self.id).priority(Priority(self.priority)).weight(self.weight);
        key.owner.clone_from(&self.owner);
        key.tier = self.tier.as_deref().map(Tier::of_name);
        if let Some(source) = &self.source {
            key = key.label("source", source);
        }
        Ok(Some(key))
    }
}

impl KeptSecret {
    /// The secret of the key with this id, and with this hash when it was stored; `None` when it is not had from here.
    /// References are followed: `env:NAME`, `file:PATH`.
    ///
    /// # Errors
    /// When it cannot be had: no vault or another one, no such variable or file. Says which, never what is in it.
    pub fn reveal(&self, id: &str, hash: &str, vault: Option<&Vault>) -> Result<Option<String>, StoreError> {
        let secret = match self {
            Self::Elsewhere => return Ok(None),
            Self::Plain(secret) => secret.clone(),
            Self::Sealed(sealed) => match vault {
                Some(vault) => vault.unseal(hash, sealed).map_err(|_| {
                    StoreError::new(format!(
                        "the stored secret of {id} cannot be decrypted: it needs the key it was encrypted with"
                    ))
                })?,
                None => {
                    return Err(StoreError::new(format!(
                        "the stored secret of {id} is encrypted: set KEYPOOL_SECRET_KEY to the key it was encrypted with"
                    )));
                }
            },
            Self::Reference(name) => follow(id, name)?,
        };
        Ok(Some(secret.trim().to_owned()))
    }
}

fn follow(id: &str, reference: &str) -> Result<String, StoreError> {
    if let Some(name) = reference.strip_prefix("env:") {
        return std::env::var(name)
            .map_err(|_| StoreError::new(format!("the secret of {id} is in the variable {name}, which is not set")));
    }
    let path = reference.strip_prefix("file:").unwrap_or(reference);
    crate::whole_file::read_text(path)
        .map_err(|error| StoreError::because(format!("the secret of {id} is in the file {path}"), error))
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|form| form.decode(text).ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_key_is_32_bytes_in_hex_or_base64() {
        let sealed = Vault::new(HEX).unwrap().seal("a", "secret").unwrap();
        for same in [HEX.to_uppercase(), format!(" {BASE64}\n"), BASE64.trim_end_matches('=').to_owned()] {
            assert_eq!(Vault::new(&same).unwrap().unseal("a", &sealed).unwrap(), "secret", "{same}");
        }
        for wrong in ["", "password", &HEX[2..], &format!("{}zz", &HEX[2..]), "AAEC"] {
            assert_eq!(Vault::new(wrong).unwrap_err(), InvalidVaultKey, "{wrong}");
        }
    }

    #[test]
    fn what_is_sealed_opens_for_its_own_key_and_name_alone_and_only_whole() {
        let vault = Vault::new(HEX).unwrap();
        let sealed = vault.seal("a", "secret").unwrap();
        assert_ne!(sealed, vault.seal("a", "secret").unwrap(), "a nonce each");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        vault.unseal("b", &sealed).unwrap_err();
        Vault::new(&"11".repeat(32)).unwrap().unseal("a", &sealed).unwrap_err();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            vault.unseal("a", &changed).unwrap_err();
            vault.unseal("a", &sealed[..at]).unwrap_err();
        }
    }

    #[test]
    fn a_secret_that_cannot_be_had_says_where_it_should_be() {
        let reference = |name: &str| KeptSecret::Reference(name.to_owned()).reveal("work", "hash", None);
        let error = reference("env:KEYPOOL_TEST_NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(error.contains("work") && error.contains("KEYPOOL_TEST_NO_SUCH_VARIABLE"), "{error}");
        let error = reference("file:/nowhere/secret").unwrap_err().to_string();
        assert!(error.contains("/nowhere/secret"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a-secret\n").unwrap();
        let read = reference(&format!("file:{}", file.path().display())).unwrap();
        assert_eq!(read.as_deref(), Some("a-secret"));
        let error = KeptSecret::Sealed(vec![1; 50]).reveal("work", "hash", None).unwrap_err().to_string();
        assert!(error.contains("KEYPOOL_SECRET_KEY"), "{error}");
        assert_eq!(KeptSecret::Elsewhere.reveal("work", "hash", None).unwrap(), None);
    }
}
