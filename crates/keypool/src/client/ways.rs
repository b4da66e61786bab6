//! The ways out that are configured, and what goes by each.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use http::{Extensions, HeaderValue, Uri};
use tower_keypool::{Exit, ExitError};

/// A proxy. Its credentials are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `http://host:port`, `https://host:port` or `socks5://host:port`, without credentials.
    pub(super) place: Uri,
    /// A name and a password.
    pub(super) credentials: Option<(String, String)>,
}

/// What an exit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// An HTTP proxy, asked to `CONNECT` whatever the provider's scheme is: what goes through it, it does not see. One of
    /// `https` is itself spoken to over TLS, so that nobody between sees its credentials, nor where it is asked to lead.
    Http(Proxy),
    /// A SOCKS5 proxy, which looks up names itself.
    Socks5(Proxy),
    /// An address of this machine.
    Local(IpAddr),
}

/// A text that is no proxy. Says why, never what: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected http://host:port, https://host:port or socks5://host:port, with user:password@ before the host where it \
     asks for them"
)]
pub struct NoProxy;

impl WayOut {
    /// A proxy as it is written: `http://user:password@host:port`, `https://host:8443`, `socks5://host:1080`.
    ///
    /// # Errors
    /// [`NoProxy`].
    pub fn proxy(text: &str) -> Result<Self, NoProxy> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(NoProxy)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => 1080,
        };
        let place: http::uri::Authority = host.parse().map_err(|_| NoProxy)?;
        // What stands behind the host is a port, or nothing.
        let has_port = place.as_str() != place.host();
        if place.host().is_empty() || (has_port && place.port_u16().is_none()) {
            return Err(NoProxy);
        }
        let place = format!("{scheme}://{}:{}", place.host(), place.port_u16().unwrap_or(usual));
        let decoded = |text: &str| {
            let text = percent_encoding::percent_decode_str(text).decode_utf8().map_err(|_| NoProxy)?;
            if text.chars().any(char::is_control) { Err(NoProxy) } else { Ok(text.into_owned()) }
        };
        let credentials = match credentials.map(|both| both.split_once(':').unwrap_or((both, ""))) {
            None => None,
            Some((user, password)) => Some((decoded(user)?, decoded(password)?)),
        };
        let proxy = Proxy { place: place.parse().map_err(|_| NoProxy)?, credentials };
        match scheme {
            "http" | "https" => Ok(Self::Http(proxy)),
            // A length is one byte there.
            "socks5" | "socks5h" => match &proxy.credentials {
                Some((user, password)) if user.len() > 255 || password.len() > 255 => Err(NoProxy),
                _ => Ok(Self::Socks5(proxy)),
            },
            _ => Err(NoProxy),
        }
    }

    /// Whether it is the same address from whatever machine it is used.
    pub fn is_same_everywhere(&self) -> bool {
        !matches!(self, Self::Local(_))
    }
}

impl Proxy {
    /// What an HTTP proxy is shown.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        use base64::Engine as _;
        let (user, password) = self.credentials.as_ref()?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.credentials.is_some() { "***@" } else { "" };
        write!(f, "{with}{}", self.place)
    }
}

/// All of them, by name. A cheap handle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaysOut(Arc<BTreeMap<String, WayOut>>);

impl WaysOut {
    /// Whether one has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names of those that are the same address from every machine.
    pub fn same_everywhere(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, way)| way.is_same_everywhere()).map(|(name, _)| name.as_str())
    }
}

impl FromIterator<(String, WayOut)> for WaysOut {
    fn from_iter<T: IntoIterator<Item = (String, WayOut)>>(ways: T) -> Self {
        Self(Arc::new(ways.into_iter().collect()))
    }
}

/// One of something for each way out.
#[derive(Clone, Debug)]
pub(super) struct ByExit<T> {
    usual: T,
    named: HashMap<Exit, T>,
}

impl<T> ByExit<T> {
    /// Makes them; `None` is the usual way.
    pub(super) fn of(ways: &WaysOut, make: impl Fn(Option<(Exit, &WayOut)>) -> T) -> Self {
        let named = ways.0.iter().map(|(name, way)| {
            let exit = Exit::from(name.as_str());
            (exit.clone(), make(Some((exit, way))))
        });
        Self { named: named.collect(), usual: make(None) }
    }

    /// That of a request. Nothing goes out by another way than its key's: one that nobody described lets nothing out.
    pub(super) fn take(&self, extensions: &mut Extensions) -> Result<&T, ExitError> {
        let Some(exit) = extensions.remove::<Exit>() else { return Ok(&self.usual) };
        self.named.get(&exit).ok_or_else(|| ExitError::new(exit, "no exit of this name is configured"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_never_shown() {
        let Ok(WayOut::Http(proxy)) = WayOut::proxy("http://me:p%40ss-word@proxy.example:3128/") else { panic!() };
        assert_eq!(
            (proxy.place.to_string().as_str(), proxy.credentials.is_some()),
            ("http://proxy.example:3128/", true)
        );
        assert_eq!(proxy.authorization().unwrap(), "Basic bWU6cEBzcy13b3Jk");
        let Ok(WayOut::Http(secured)) = WayOut::proxy("https://proxy.example") else { panic!() };
        assert_eq!(secured.place, "https://proxy.example:443/");
        let Ok(socks) = WayOut::proxy("socks5://you:secret-word@[2001:db8::1]") else { panic!() };
        for shown in [format!("{proxy:?}"), format!("{socks:?}")] {
            assert!(!shown.contains("ss-word") && !shown.contains("secret-word") && shown.contains("***@"), "{shown}");
        }
        assert!(format!("{socks:?}").contains("[2001:db8::1]:1080"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_text() {
        for text in
            ["", "proxy:3128", "https://p:x", "ftp://p:1", "http://", "http://me:pw@", "http://a b:1", "http://p:x"]
        {
            assert_eq!(WayOut::proxy(text), Err(NoProxy), "{text}");
        }
        assert!(!NoProxy.to_string().contains("pw@"));
    }
}
