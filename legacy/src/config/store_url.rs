//! Where a store is, as people write it.

use std::{borrow::Cow, fmt, path::Path};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::{self, Scalar};

/// Where a store is: `auto`, `none`, the path of a database file, or the address of a Redis server. `Debug`, `Display` and
/// its written form show neither user nor password of an address.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `auto`: the usual file.
    Auto,
    /// `none`: in memory.
    None,
    /// A database file.
    File(String),
    /// A Redis server: `redis://…`, over TLS `rediss://…`, by its socket `redis+unix://…`; `valkey` is the same.
    Redis(String),
}

const SERVERS: [&str; 6] = ["redis", "rediss", "redis+unix", "valkey", "valkeys", "valkey+unix"];

impl StoreUrl {
    /// The path of a database file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(Path::new(path)),
            _ => None,
        }
    }

    /// The address of a server, with all that is in it.
    pub fn expose_server(&self) -> Option<&str> {
        match self {
            Self::Redis(url) => Some(url),
            _ => None,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::File(path) => f.write_str(path),
            Self::Redis(url) => {
                // What is behind `?` and `#` may be a password as well.
                let (scheme, rest) = url.split_once("://").unwrap_or(("redis", ""));
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                match rest[..end].rsplit_once('@') {
                    Some((_, place)) => write!(f, "{scheme}://***@{place}"),
                    None => write!(f, "{scheme}://{}", &rest[..end]),
                }
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Scalar for StoreUrl {
    fn expected() -> Cow<'static, str> {
        "the path of a database file, redis://HOST:PORT or rediss://HOST:PORT (PORT is 1 to 65535), \"auto\" or \"none\""
            .into()
    }

    fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        match text {
            "" => None,
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            _ => match text.split_once("://") {
                None => Some(Self::File(text.to_owned())),
                Some((scheme, rest)) => {
                    let known = SERVERS.contains(&scheme) && !rest.is_empty() && is_address(text);
                    known.then(|| Self::Redis(text.to_owned()))
                }
            },
        }
    }
}

#[cfg(feature = "redis")]
fn is_address(url: &str) -> bool {
    // That TLS is not built in is said where it is opened.
    url.starts_with("rediss:") || url.starts_with("valkeys:") || crate::redis::Options::new(url).is_ok()
}

#[cfg(not(feature = "redis"))]
fn is_address(_: &str) -> bool {
    true
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar::read(deserializer)
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for StoreUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StoreUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "anyOf": [
                { "pattern": r"^\s*(rediss?|redis\+unix|valkeys?|valkey\+unix)://\S" },
                { "pattern": r"\S", "not": { "pattern": "://" } },
            ],
            "examples": ["auto", "none", "redis://127.0.0.1:6379"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_server_or_a_word() {
        let of = |text| StoreUrl::of_text(text);
        assert_eq!(of("auto"), Some(StoreUrl::Auto));
        assert_eq!(of("none"), Some(StoreUrl::None));
        assert_eq!(of("./none"), Some(StoreUrl::File("./none".to_owned())));
        for server in ["redis://a", "rediss://a:1/2", "valkey://a", "redis+unix:///run/redis.sock"] {
            assert!(matches!(of(server), Some(StoreUrl::Redis(_))), "{server}");
        }
        for wrong in ["", " ", "http://a", "redis://", "sqlite://a"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn neither_user_nor_password_is_shown() {
        for (text, shown) in [
            ("redis://me:secret@a:1/2", "redis://***@a:1/2"),
            ("rediss://:secret@a", "rediss://***@a"),
            ("redis://:se@cret@a", "redis://***@a"),
            ("redis://a:1", "redis://a:1"),
            ("redis+unix:///run/s?pass=secret", "redis+unix:///run/s"),
        ] {
            let url = StoreUrl::Redis(text.to_owned());
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{shown:?}"));
        }
    }
}
