//! Where an image is said to be.

use http::{Uri, uri::Scheme};

/// A URL that may be asked, as far as it says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As `Host` names it.
    pub(super) authority: String,
    pub(super) path: String,
}

/// A longer URL is none of an image.
const LONGEST: usize = 8_192;

impl Target {
    /// Reads a URL; `None` for one that is no plain `http:` or `https:` URL.
    pub(super) fn of(url: &str) -> Option<Self> {
        let url = url.split('#').next().unwrap_or_default();
        if url.len() > LONGEST {
            return None;
        }
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        // A name and password would go to wherever the URL leads.
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() || host.contains('%') {
            return None;
        }
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port.parse().ok().filter(|port| *port != 0)?,
            _ => {
                if tls {
                    443
                } else {
                    80
                }
            }
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Self { tls, host, port, authority: authority.to_string(), path })
    }

    /// Where a redirect from here leads. A secure one leads to secure places alone.
    pub(super) fn onward(&self, location: &str) -> Option<Self> {
        let scheme = if self.tls { "https" } else { "http" };
        let absolute = if location.contains("://") {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{scheme}://{rest}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.authority)
        } else {
            let folder =
                self.path.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(front, _)| front);
            format!("{scheme}://{}{folder}/{location}", self.authority)
        };
        Self::of(&absolute).filter(|next| next.tls || !self.tls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<(bool, String, u16, String)> {
        Target::of(url).map(|target| (target.tls, target.host, target.port, target.path))
    }

    #[test]
    fn plain_urls_alone() {
        assert_eq!(read("https://a.example/x?y=z#frag"), Some((true, "a.example".into(), 443, "/x?y=z".into())));
        assert_eq!(read("http://a.example:8080"), Some((false, "a.example".into(), 8080, "/".into())));
        assert_eq!(read("http://[2606:4700::1]/"), Some((false, "2606:4700::1".into(), 80, "/".into())));
        assert_eq!(read("http://[2606:4700::1]:81/"), Some((false, "2606:4700::1".into(), 81, "/".into())));
        for url in [
            "",
            "/x",
            "a.example/x",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://user:pass@a.example/",
            "https://user@a.example/",
            "https://",
            "http://a.example:0/",
            "http://a.example:99999/",
            "http://a b/",
            "http://[fe80::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "gopher://a/",
            "http://:80/",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
        assert_eq!(read(&format!("https://a.example/{}", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn redirects_lead_on() {
        let from = Target::of("https://a.example/b/c?d").unwrap();
        for (location, expected) in [
            ("https://b.example/x", Some("https b.example /x")),
            ("/x", Some("https a.example /x")),
            ("x", Some("https a.example /b/x")),
            ("//b.example/x", Some("https b.example /x")),
            // From secure to not.
            ("http://b.example/x", None),
            ("file:///etc/passwd", None),
        ] {
            let next = from.onward(location).map(|next| {
                assert!(next.tls);
                format!("https {} {}", next.host, next.path)
            });
            assert_eq!(next.as_deref(), expected, "{location}");
        }
        let plain = Target::of("http://a.example/").unwrap();
        assert!(plain.onward("https://b.example/").is_some() && plain.onward("http://b.example/").is_some());
    }
}
