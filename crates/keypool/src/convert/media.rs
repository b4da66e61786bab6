//! Fetches images, sounds and documents that a translated request names by URL.
//!
//! The URLs are untrusted, and this machine may have access to a private network. Therefore only public addresses are
//! connected to, and every redirect is checked again. The connector resolves names itself, so that the checked address
//! is the one that is connected to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use keypool_dialect::{Conversation, Error, ErrorKind, MediaData};
use rustls::ClientConfig;
use tower::service_fn;
use url::Url;

use crate::proxy::upstream::{HttpClient, https};

const MAX_REDIRECTS: usize = 3;
/// Maximum number of URLs in one request.
const MAX_URLS: usize = 16;
const MAX_BYTES: usize = 20 << 20;
/// Timeout for one URL with its redirects.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The client that fetches media.
pub struct Media {
    /// `None` if fetching is disabled.
    client: Option<HttpClient>,
    is_allowed: fn(IpAddr) -> bool,
}

impl Media {
    /// Creates a client with a TLS configuration. `None` disables fetching.
    pub fn new(tls: Option<ClientConfig>) -> Self {
        Self::within(tls, is_public)
    }

    fn within(tls: Option<ClientConfig>, is_allowed: fn(IpAddr) -> bool) -> Self {
        let client = |tls: ClientConfig| {
            let resolver = service_fn(move |name: Name| async move {
                let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
                // A name that also resolves to a private address is refused as a whole.
                let is_refused = found.iter().any(|address| !is_allowed(address.ip()));
                if is_refused { Err(io::Error::other(NOT_PUBLIC)) } else { Ok(found.into_iter()) }
            });
            let mut connector = HttpConnector::new_with_resolver(resolver);
            connector.enforce_http(false);
            connector.set_connect_timeout(Some(Duration::from_secs(5)));
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https(connector, &tls))
        };
        Self { client: tls.map(client), is_allowed }
    }

    /// Replaces the URLs in a conversation by the data that they name.
    ///
    /// # Errors
    /// 400 with the field's name, if a URL cannot or must not be fetched.
    pub async fn fetch(&self, conversation: &mut Conversation) -> Result<(), Error> {
        let mut fetched = 0;
        for media in conversation.media_mut() {
            let MediaData::Remote { url, field } = &media.data else { continue };
            let wrong =
                |why: &str| Error::new(ErrorKind::InvalidRequest, format!("{field}: {why}")).with_param(field.clone());
            let Some(client) = &self.client else {
                return Err(wrong(
                    "media by URL is not fetched here: send the data (data:image/png;base64,…), or set \
                     gateway.fetch_images = true",
                ));
            };
            fetched += 1;
            if fetched > MAX_URLS {
                return Err(wrong("too many URLs, at most 16 are fetched: send the data itself for the others"));
            }
            let answer = tokio::time::timeout(TIMEOUT, self.follow(client, url)).await;
            let (mime, data) =
                answer.unwrap_or_else(|_| Err("the URL responds too slowly".to_owned())).map_err(|why| wrong(&why))?;
            *media = keypool_dialect::Media { mime: Some(mime), data: MediaData::Base64(STANDARD.encode(data)) };
        }
        Ok(())
    }

    async fn follow(&self, client: &HttpClient, url: &str) -> Result<(String, Bytes), String> {
        let mut uri = self.checked(url)?;
        for _ in 0..=MAX_REDIRECTS {
            let request = Request::get(&uri).header(header::USER_AGENT, "keypool").body(Body::empty());
            let request = request.map_err(|_| "it is not a URL".to_owned())?;
            // The cause is omitted: it could reveal details of this network.
            let answer = client.request(request).await.map_err(|_| "the URL's host cannot be reached".to_owned())?;
            let status = answer.status();
            if status.is_redirection() {
                let location = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                let location = location.ok_or("the URL redirects without a Location header")?;
                let target = Url::parse(&uri.to_string()).and_then(|url| url.join(location));
                uri = self.checked(target.map_err(|_| "the URL redirects to an invalid one")?.as_str())?;
                continue;
            }
            if !status.is_success() {
                return Err(format!("the URL responds with {status}"));
            }
            let content_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let mime =
                content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let is_media = ["image/", "audio/", "video/"].iter().any(|kind| mime.starts_with(kind))
                || ["", "application/octet-stream", "binary/octet-stream", "application/pdf", "text/plain"]
                    .contains(&&*mime);
            if !is_media {
                return Err(format!("the URL is not an image, sound, video, PDF or plain text: it is {mime}"));
            }
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            let body = body.map_err(|_| "the URL's content has more than 20 MiB, or broke off".to_owned())?;
            return Ok((mime, body.to_bytes()));
        }
        Err("the URL redirects too often".to_owned())
    }

    fn checked(&self, url: &str) -> Result<Uri, String> {
        let uri: Uri = url.split('#').next().unwrap_or_default().parse().map_err(|_| "it is not a URL".to_owned())?;
        let is_http = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let authority = uri.authority().filter(|authority| is_http && !authority.as_str().contains('@'));
        let host = authority.ok_or("expected a plain http or https URL")?.host();
        // The resolver of the connector checks names, but it does not see literal addresses.
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if !(self.is_allowed)(address) => Err(NOT_PUBLIC.to_owned()),
            _ => Ok(uri),
        }
    }
}

const NOT_PUBLIC: &str = "the URL's host has no public address";

/// Reports whether an address is public, by IANA's registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = match first {
        // this network, private, loopback, multicast, reserved, broadcast
        0 | 10 | 127 | 224..=255 => true,
        // carrier-grade NAT
        100 => (64..=127).contains(&second),
        // link-local, including cloud metadata services
        169 => second == 254,
        172 => (16..=31).contains(&second),
        // private, protocol assignments, documentation, relays
        192 => matches!((second, third), (168, _) | (0, 0 | 2) | (88, 99)),
        // benchmarks, documentation
        198 => matches!((second, third), (18 | 19, _) | (51, 100)),
        203 => (second, third) == (0, 113),
        _ => false,
    };
    !special
}

/// Reports whether an IPv6 address is public: in `2000::/3`, unlike loopback, mapped, NAT64, local and multicast
/// addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let special = match first {
        // protocol assignments (Teredo and others carry IPv4), documentation
        0x2001 => second < 0x200 || second == 0xdb8,
        // 6to4
        0x2002 => true,
        // documentation
        0x3fff => second < 0x1000,
        _ => first & 0xe000 != 0x2000,
    };
    !special
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderMap, response::IntoResponse, routing::get};
    use keypool_dialect::{Frontend, Mode, Request};
    use serde_json::json;

    use super::*;

    fn naming(url: &str) -> Request {
        let image = json!({ "type": "image_url", "image_url": { "url": url } });
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [image] }] });
        Frontend::Chat.parse(body.to_string().as_bytes(), Mode::Strict).expect("a request")
    }

    fn typed(mime: &'static str, body: Vec<u8>) -> impl IntoResponse {
        ([(header::CONTENT_TYPE, mime)], body)
    }

    fn to(location: String) -> impl IntoResponse {
        (http::StatusCode::FOUND, [(header::LOCATION, location)])
    }

    #[tokio::test]
    async fn media_is_fetched_from_allowed_addresses_only() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = Router::new()
            .route("/a.png", get(async || typed("Image/PNG; x=y", b"PNG".to_vec())))
            .route("/there", get(async || to("/a.png".to_owned())))
            .route("/beside/there", get(async || to("a.png".to_owned())))
            .route("/beside/a.png", get(async || typed("image/png", b"PNG".to_vec())))
            .route("/round", get(async || to("/round".to_owned())))
            .route("/inside", get(async move || to(format!("http://127.0.0.2:{port}/a.png"))))
            .route("/file", get(async || to("file:///etc/passwd".to_owned())))
            .route("/page", get(async || typed("text/html", b"<html>".to_vec())))
            .route("/large", get(async || typed("image/png", vec![0; MAX_BYTES + 1])))
            .route(
                "/headers",
                get(async |headers: HeaderMap| typed("text/plain", format!("{headers:?}").into_bytes())),
            );
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let tls = ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let allowed: fn(IpAddr) -> bool = |address| address == Ipv4Addr::LOCALHOST;
        let media = Media::within(Some(tls), allowed);
        for path in ["a.png", "there", "beside/there", "a.png#part"] {
            let mut request = naming(&format!("http://127.0.0.1:{port}/{path}"));
            media.fetch(&mut request.conversation).await.expect(path);
            let native = String::from_utf8_lossy(&request.encode().expect("a request").body).into_owned();
            assert!(native.contains(r#""inlineData":{"mimeType":"image/png","data":"UE5H"}"#), "{native}");
        }
        for (url, why) in [
            (format!("http://127.0.0.1:{port}/none"), "404"),
            (format!("http://127.0.0.1:{port}/round"), "redirects too often"),
            (format!("http://127.0.0.1:{port}/inside"), NOT_PUBLIC),
            (format!("http://127.0.0.1:{port}/file"), "not a URL"),
            (format!("http://127.0.0.1:{port}/page"), "text/html"),
            (format!("http://127.0.0.1:{port}/large"), "20 MiB"),
            (format!("http://127.0.0.2:{port}/a.png"), NOT_PUBLIC),
            (format!("http://user@127.0.0.1:{port}/a.png"), "plain"),
        ] {
            let error = media.fetch(&mut naming(&url).conversation).await.expect_err(&url);
            assert!(error.message().contains(why), "{url}: {error}");
            assert_eq!(error.param(), Some("messages[0].content[0].image_url.url"));
        }
        // The addresses of a name are checked by the resolver.
        let nowhere: fn(IpAddr) -> bool = |_| false;
        let tls = ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let media = Media::within(Some(tls), nowhere);
        let url = format!("http://localhost:{port}/a.png");
        assert!(media.fetch(&mut naming(&url).conversation).await.is_err());
    }

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.255.255",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "64:ff9b::808:808",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
        for address in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2001:4860:4860::8888", "2606:4700::1111"]
        {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
    }
}
