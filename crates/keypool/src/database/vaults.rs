//! The keys that secrets may be encrypted with, as a text has them one after the other.

use tower_keypool::store::Vault;

/// At least one: the first encrypts, each opens, so that one can take another's place while programs run.
#[derive(Clone, Debug)]
pub(super) struct Vaults {
    first: Vault,
    others: Vec<Vault>,
}

impl Vaults {
    /// Those of a text, between commas, semicolons and white space.
    ///
    /// # Errors
    /// Which of them is no key; nothing of the text.
    pub(super) fn of(text: &str) -> Result<Self, String> {
        let parts = text.split(|letter: char| matches!(letter, ',' | ';') || letter.is_whitespace());
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let read = |(n, part): (usize, &&str)| {
            Vault::new(part).map_err(|error| match parts.len() {
                1 => error.to_string(),
                all => format!("key {} of {all} in it is {error}", n + 1),
            })
        };
        let mut vaults = parts.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?.into_iter();
        match vaults.next() {
            Some(first) => Ok(Self { first, others: vaults.collect() }),
            None => Vault::new("").map(|first| Self { first, others: Vec::new() }).map_err(|error| error.to_string()),
        }
    }

    /// The one that encrypts.
    pub(super) fn first(&self) -> &Vault {
        &self.first
    }

    /// Those that open, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Vault> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_encrypts_and_each_opens() {
        let (one, other) = ("5a".repeat(32), "6b".repeat(32));
        for between in [",", "\n", " ; ", "\r\n"] {
            let vaults = Vaults::of(&format!("{one}{between}{other}\n")).unwrap();
            let sealed = vaults.first().seal("hash", "a secret").unwrap();
            assert!(Vault::new(&one).unwrap().unseal("hash", &sealed).is_ok());
            let earlier = Vault::new(&other).unwrap().seal("hash", "a secret").unwrap();
            assert!(vaults.iter().any(|vault| vault.unseal("hash", &earlier).is_ok()));
        }
        let error = Vaults::of(&format!("{one},short")).unwrap_err();
        assert!(error.starts_with("key 2 of 2 in it is not 32 bytes") && !error.contains("short"), "{error}");
        for none in ["", " ,\n"] {
            assert!(Vaults::of(none).unwrap_err().starts_with("not 32 bytes"));
        }
    }
}
