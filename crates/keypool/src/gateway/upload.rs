//! Resumable uploads: the provider hands out a URL of its own, and ours stands in for it.
//!
//! The start request goes out with some key; the URL that comes back works for that key's owner only. So the client
//! gets a URL here with an unguessable id, which leads every chunk to the provider's URL over the same key.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, request::Parts, uri};
use tower_keypool::{Affinity, Base, Clock, Demand, KeyId, ServedBy, Tick};

use super::{dialect::Refusal, tls::Secured};

const URL: HeaderName = HeaderName::from_static("x-goog-upload-url");
const CONTROL_URL: HeaderName = HeaderName::from_static("x-goog-upload-control-url");
const STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");

/// An upload that nobody touched for this long is forgotten.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// More than this many at once, and the one that was idle longest gives way.
const MOST: usize = 10_000;

/// Which way a request takes.
#[derive(Debug)]
pub enum Passage {
    /// It may open an upload.
    Open(Handout),
    /// It carries a part of one.
    Chunk(Chunk),
    /// Neither.
    Other,
}

/// What our URL for an upload is made of.
#[derive(Debug)]
pub struct Handout {
    /// `http://host:port/path` as the client reached us.
    prefix: String,
}

/// A request that belongs to an open upload.
#[derive(Debug)]
pub struct Chunk {
    id: Id,
    target: Uri,
    key: KeyId,
}

const UNUSABLE: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "the provider handed out an upload URL that cannot be used");

/// 128 random bits. Whoever knows them may write to the upload.
type Id = [u8; 16];

/// The uploads that are open, in memory.
#[derive(Debug)]
pub struct Uploads {
    base: Base,
    clock: Clock,
    open: Mutex<HashMap<Id, Upload>>,
}

#[derive(Debug)]
struct Upload {
    target: Uri,
    key: KeyId,
    touched: Tick,
}

/// Whether a request may open an upload, which the host that it came in by.
pub fn opens(head: &Parts, host: &str) -> Passage {
    let path = head.uri.path();
    if !path.starts_with("/upload/") {
        return Passage::Other;
    }
    // Only this client's own answer depends on it.
    let secure = head.extensions.get::<Secured>().is_some()
        || head.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let scheme = if secure { "https" } else { "http" };
    Passage::Open(Handout { prefix: format!("{scheme}://{host}{path}") })
}

impl Uploads {
    /// None open yet; their URLs are held to `base`.
    pub fn new(base: Base, clock: Clock) -> Self {
        Self { base, clock, open: Mutex::default() }
    }

    /// The upload that a request names by `upload_id`, if it names one.
    ///
    /// # Errors
    /// 404 for an id that is not open: it ended, was forgotten, or never was.
    pub fn chunk(&self, head: &Parts) -> Result<Option<Chunk>, Refusal> {
        const GONE: Refusal = Refusal::new(
            StatusCode::NOT_FOUND,
            "this upload is not open: it has ended, was idle for a day, or this gateway was started anew",
        );
        if !head.uri.path().starts_with("/upload/") {
            return Ok(None);
        }
        let mut pairs = head.uri.query().unwrap_or_default().split('&');
        let Some(id) = pairs.find_map(|pair| pair.strip_prefix("upload_id=")) else { return Ok(None) };
        let id = from_hex(id).ok_or(GONE)?;
        let now = self.clock.tick();
        let mut open = self.lock();
        let upload = open.get_mut(&id).filter(|upload| now.since(upload.touched) < IDLE).ok_or(GONE)?;
        upload.touched = now;
        Ok(Some(Chunk { id, target: upload.target.clone(), key: upload.key.clone() }))
    }

    /// Puts our URL in the place of the provider's, if the answer hands one out.
    ///
    /// # Errors
    /// 502 when the provider's URL cannot be used.
    pub fn hand_out<B>(&self, handout: &Handout, response: &mut Response<B>) -> Result<(), Refusal> {
        let Some(url) = response.headers_mut().remove(URL) else { return Ok(()) };
        let target = self.target(&url).ok_or(UNUSABLE)?;
        let key = response.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned().ok_or(UNUSABLE)?;
        let mut id = Id::default();
        getrandom::fill(&mut id)
            .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the system has no random numbers"))?;
        self.remember(id, Upload { target, key, touched: self.clock.tick() });
        let ours = format!("{}?upload_id={}&upload_protocol=resumable", handout.prefix, to_hex(id));
        let ours = HeaderValue::try_from(ours).map_err(|_| UNUSABLE)?;
        let headers: &mut HeaderMap = response.headers_mut();
        headers.remove(CONTROL_URL);
        headers.insert(URL, ours);
        Ok(())
    }

    /// Closes the upload when the provider says that it is over.
    pub fn settle<B>(&self, chunk: &Chunk, response: &Response<B>) {
        let over = |status: &HeaderValue| matches!(status.as_bytes(), b"final" | b"cancelled");
        if response.headers().get(STATUS).is_some_and(over) {
            self.lock().remove(&chunk.id);
        }
    }

    /// Where chunks go: the provider's URL, but never to a host that is not configured.
    fn target(&self, url: &HeaderValue) -> Option<Uri> {
        let url: Uri = url.to_str().ok()?.parse().ok()?;
        let ours = url.authority() == Some(self.base.authority()) && url.scheme() == Some(self.base.scheme());
        if ours {
            return Some(url);
        }
        // Behind a relay the URL names the host that the relay speaks to: the path is kept, the host is ours.
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(url.path_and_query()?.clone());
        Uri::from_parts(parts).ok()
    }

    fn remember(&self, id: Id, upload: Upload) {
        let now = upload.touched;
        let mut open = self.lock();
        if open.len() >= MOST {
            open.retain(|_, upload| now.since(upload.touched) < IDLE);
            if open.len() >= MOST
                && let Some(oldest) = open.iter().min_by_key(|(_, upload)| upload.touched).map(|(id, _)| *id)
            {
                open.remove(&oldest);
            }
        }
        open.insert(id, upload);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Upload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunk {
    /// Sends a request's head to the provider's URL, over the key that opened the upload.
    pub fn direct(&self, head: &mut Parts) {
        head.uri = self.target.clone();
        head.extensions.insert(Demand::any_model().affinity(Affinity::MustKey(self.key.clone())));
    }
}

fn to_hex(id: Id) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

fn from_hex(text: &str) -> Option<Id> {
    let fine = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    fine.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}
