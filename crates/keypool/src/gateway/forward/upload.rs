//! Resumable uploads: the provider hands out a URL of its own, and ours stands in for it.
//!
//! The start request goes out with some key; the URL that comes back works for that key's owner only, and may hold a
//! credential. So the client gets a URL here with an unguessable id, which leads every chunk to the provider's URL over
//! the same key. What is kept of it is under a hash of the id, and the URL sealed under the id itself: whoever has the
//! database has neither.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header, request::Parts, uri};
use serde::{Deserialize, Serialize};
use tower_keypool::{
    Affinity, Base, Clock, Demand, KeyId, KeyPool, ServedBy,
    store::{Ledger, LedgerEntry, Placing},
};

use super::results::Results;
use crate::{
    database::Records,
    gateway::{admit::capability::Capability, connection::tls::Secured, dialect::Refusal, unix_time::unix_ms},
};

const URL: HeaderName = HeaderName::from_static("x-goog-upload-url");
const CONTROL_URL: HeaderName = HeaderName::from_static("x-goog-upload-control-url");
/// The provider's own id of an upload, as its servers name it beside the URL.
const UPLOADER_ID: HeaderName = HeaderName::from_static("x-guploader-uploadid");
const STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");
const SIZE: HeaderName = HeaderName::from_static("x-goog-upload-header-content-length");
const OFFSET: HeaderName = HeaderName::from_static("x-goog-upload-offset");

/// An upload is forgotten so long after it was opened.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The kind of its records.
const UPLOAD: &str = "upload";

/// Which way a request takes.
#[derive(Debug)]
pub(in crate::gateway) enum Passage {
    /// It may open an upload.
    Open(Handout),
    /// It carries a part of one.
    Chunk(Box<Chunk>),
    /// It is answered by batches, which say where their results are.
    Batches(Results),
    /// None of these.
    Other,
}

/// What our URL for an upload is made of.
#[derive(Debug)]
pub(in crate::gateway) struct Handout {
    /// `http://host:port/path` as the client reached us.
    prefix: String,
    /// Bytes that the client announced.
    size: Option<u64>,
}

impl Handout {
    /// It turned out to lie at a provider whose paths have this in front.
    pub(in crate::gateway) fn lies_behind(&mut self, front: &str) {
        let path = self.prefix.find("://").and_then(|at| self.prefix[at + 3..].find('/').map(|path| at + 3 + path));
        self.prefix.insert_str(path.unwrap_or(self.prefix.len()), front);
    }
}

/// A request that belongs to an open upload.
#[derive(Debug)]
pub(in crate::gateway) struct Chunk {
    name: String,
    target: Uri,
    pub(in crate::gateway) affinity: Affinity,
    /// Whose upload it is.
    pub(in crate::gateway) tenant: String,
    /// Bytes that its body may have.
    pub(in crate::gateway) most: Option<u64>,
}

const UNUSABLE: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "the provider handed out an upload URL that cannot be used");
pub(in crate::gateway) const GONE: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "this upload is not open: it has ended, or was begun more than a day ago");
pub(in crate::gateway) const LONGER: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the upload is longer than was announced when it was begun");
const NO_LENGTH: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "X-Goog-Upload-Header-Content-Length must be a number of bytes");

/// The uploads that are open.
#[derive(Debug)]
pub(in crate::gateway) struct Uploads {
    base: Base,
    clock: Clock,
    pub(in crate::gateway) records: Records,
    pub(in crate::gateway) pool: Option<KeyPool>,
}

/// An upload as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    /// The provider's URL, sealed.
    target: String,
    key: String,
    owner: Option<String>,
    size: Option<u64>,
}

/// Whether a request may open an upload, with the host that it came in by, and what stood in front of its path.
///
/// # Errors
/// 400 where it announces a length that is none.
pub(in crate::gateway) fn opens(head: &Parts, host: &str, front: &str) -> Result<Passage, Refusal> {
    let path = head.uri.path();
    if !path.starts_with("/upload/") {
        return Ok(Passage::Other);
    }
    let size = number(&head.headers, &SIZE);
    if size.is_none() && head.headers.contains_key(SIZE) {
        return Err(NO_LENGTH);
    }
    Ok(Passage::Open(Handout { prefix: format!("{}://{host}{front}{path}", scheme(head)), size }))
}

/// How a client speaks to us. Only its own answer depends on it.
pub(super) fn scheme(head: &Parts) -> &'static str {
    let secure = head.extensions.get::<Secured>().is_some()
        || head.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    if secure { "https" } else { "http" }
}

/// The id of an upload that a request names.
pub(in crate::gateway) fn id_of(head: &Parts) -> Option<&str> {
    if !head.uri.path().starts_with("/upload/") {
        return None;
    }
    head.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("upload_id="))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

impl Uploads {
    /// Whether something stands in front of every path at the provider.
    pub(in crate::gateway) fn has_front(&self) -> bool {
        !self.base.path().is_empty()
    }

    /// Those of these records; their URLs are held to `base`.
    pub(in crate::gateway) fn new(base: Base, clock: Clock, records: Records) -> Self {
        Self { base, clock, records, pool: None }
    }

    /// The upload with this id, for a request with this head.
    ///
    /// # Errors
    /// 404 for an id that is not open: it ended, was forgotten, or never was. 400 for more than was announced.
    pub(in crate::gateway) async fn chunk(&self, id: &str, head: &Parts) -> Result<Chunk, Refusal> {
        if !matches!(head.method, Method::POST | Method::PUT) {
            return Err(GONE);
        }
        let id = Capability::parse(id).ok_or(GONE)?;
        let name = id.name();
        let now = unix_ms(&self.clock);
        let found = self.records.kept(UPLOAD, vec![name.clone()], now).await.map_err(|error| {
            tracing::warn!("an upload cannot be looked up: {error}");
            Refusal::UNREACHABLE
        })?;
        let entry = found.into_iter().next().ok_or(GONE)?;
        let kept: Upload = serde_json::from_str(&entry.value).map_err(|_| GONE)?;
        let target = id.unseal(&kept.target).ok().and_then(|url| self.target(&url)).ok_or(GONE)?;
        let key = KeyId::from(kept.key.as_str());
        let most = kept.size.map(|size| size.saturating_sub(number(&head.headers, &OFFSET).unwrap_or(0)));
        if let (Some(most), Some(length)) = (most, number(&head.headers, &header::CONTENT_LENGTH))
            && length > most
        {
            return Err(LONGER);
        }
        let affinity = match &self.pool {
            None => Affinity::MustKey(key),
            // A key of the same owner sees it, too.
            Some(pool) => pool.affinity_to(&key, kept.owner.as_deref()).unwrap_or(Affinity::MustKey(key)),
        };
        Ok(Chunk { name, target, affinity, tenant: entry.whose, most })
    }

    /// Puts our URL in the place of the provider's, if the answer hands one out.
    ///
    /// # Errors
    /// 502 when the provider's URL cannot be used, 503 where the upload cannot be kept.
    pub(in crate::gateway) async fn hand_out(
        &self,
        handout: &Handout,
        tenant: &str,
        headers: &mut Heading<'_>,
    ) -> Result<(), Refusal> {
        let Some((name, url)) = take_url(headers.all) else { return Ok(()) };
        let url = url.to_str().map_err(|_| UNUSABLE)?;
        self.target(url).ok_or(UNUSABLE)?;
        let key = headers.key.ok_or(UNUSABLE)?;
        let id = Capability::new()
            .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the system has no random numbers"))?;
        let owner = match self.pool.as_ref().and_then(|pool| pool.affinity_to(key, None)) {
            Some(Affinity::MustOwner(owner)) => Some(owner.to_string()),
            _ => None,
        };
        let kept = id.seal(url).and_then(|target| {
            let upload = Upload { target, key: key.to_string(), owner, size: handout.size };
            serde_json::to_string(&upload).map_err(|_| tower_keypool::store::StoreError::new("an upload"))
        });
        let now = unix_ms(&self.clock);
        let until = now.saturating_add(LIFE.as_millis() as i64);
        let written = match kept {
            Ok(value) => {
                let (name, whose) = (id.name(), tenant.to_owned());
                let entry = LedgerEntry { name, whose, value, until: Some(until), revision: 0 };
                self.records.keep(UPLOAD, vec![entry], Placing::Replace, now).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!("an upload cannot be kept: {error}");
            return Err(Refusal::UNREACHABLE);
        }
        let ours = format!("{}?upload_id={}&upload_protocol=resumable", handout.prefix, id.text());
        headers.all.insert(name, HeaderValue::try_from(ours).map_err(|_| UNUSABLE)?);
        Ok(())
    }

    /// Closes the upload when the provider says that it is over. Its client has a URL of ours, and hears of no other.
    pub(in crate::gateway) async fn settle(&self, chunk: &Chunk, headers: &mut HeaderMap) {
        take_url(headers);
        let over = |status: &HeaderValue| matches!(status.as_bytes(), b"final" | b"cancelled");
        if headers.get(STATUS).is_some_and(over)
            && let Err(error) = self.records.forget(UPLOAD, vec![chunk.name.clone()]).await
        {
            tracing::warn!("an upload that has ended cannot be forgotten: {error}");
        }
    }

    /// Where chunks go: the provider's URL, but never to a host that is not configured.
    fn target(&self, url: &str) -> Option<Uri> {
        let url: Uri = url.parse().ok()?;
        let ours = url.authority() == Some(self.base.authority()) && url.scheme() == Some(self.base.scheme());
        if ours {
            return Some(url);
        }
        // Behind a relay the URL names the host that the relay speaks to: the path is kept, the host is ours.
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(url.path_and_query()?.clone());
        Uri::from_parts(parts).ok()
    }
}

/// Takes out all that leads to the provider's upload: its URL, and the header in which a client looks for that.
fn take_url(headers: &mut HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    headers.remove(CONTROL_URL);
    headers.remove(UPLOADER_ID);
    let leads = |url: &HeaderValue| url.as_bytes().windows(10).any(|part| part == b"upload_id=");
    let leads_there = headers.get(header::LOCATION).is_some_and(leads);
    let location = if leads_there { headers.remove(header::LOCATION) } else { None };
    let url = headers.remove(URL).map(|url| (URL, url));
    url.or_else(|| location.map(|url| (header::LOCATION, url)))
}

/// An answer's headers, and the key that it came over.
#[derive(Debug)]
pub(in crate::gateway) struct Heading<'a> {
    all: &'a mut HeaderMap,
    key: Option<&'a KeyId>,
}

impl<'a> Heading<'a> {
    /// Of an answer that was served so.
    pub(in crate::gateway) fn of<B>(response: &'a mut Response<B>, served_by: Option<&'a ServedBy>) -> Self {
        Self { all: response.headers_mut(), key: served_by.and_then(ServedBy::key) }
    }
}

impl Chunk {
    /// Sends a request's head to the provider's URL, over the key that opened the upload.
    pub(in crate::gateway) fn direct(&self, head: &mut Parts) {
        head.uri = self.target.clone();
        // The last answer names the file: it must be readable.
        head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let demand = head.extensions.remove().unwrap_or_else(Demand::any_model);
        head.extensions.insert(demand.affinity(self.affinity.clone()).of_resource());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turned_out_to_lie_elsewhere_comes_back_by_a_path_that_says_so() {
        for (came, goes) in [
            ("http://h:1/upload/v1beta/fileSearchStores/s", "http://h:1/to/second/upload/v1beta/fileSearchStores/s"),
            ("https://[::1]:1/upload/v1beta/files", "https://[::1]:1/to/second/upload/v1beta/files"),
        ] {
            let mut handout = Handout { prefix: came.to_owned(), size: None };
            handout.lies_behind("/to/second");
            assert_eq!(handout.prefix, goes);
        }
    }
}
