//! Images that a request names by URL, fetched for it where the configuration allows that.
//!
//! The URLs are a stranger's, and whoever follows them does so from inside of this machine's network. So each name is
//! resolved once and what is connected to is that address; it must be one of the open network, at each redirect anew;
//! no proxy of the environment is asked; how long, how much and how many is bounded; and whatever goes wrong, the
//! caller hears the same sentence, so that nobody learns from it who is there.

mod address;
mod image;
mod target;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use keypool_dialect::{Conversation, Fault};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::sleep,
};
use tokio_rustls::TlsConnector;

use crate::client::Roots;
use target::Target;

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;
/// Of one image.
const MOST_BYTES: usize = 20 << 20;
/// Of one request's images together.
const MOST_TOGETHER: usize = 32 << 20;
/// Images of one request.
const MOST_IMAGES: usize = 16;
/// From the name to the last byte.
const LONGEST: Duration = Duration::from_secs(10);
/// All images of one request.
const LONGEST_TOGETHER: Duration = Duration::from_secs(30);
/// Of all requests together, at once.
const AT_ONCE: usize = 8;

type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Fetches images.
#[derive(Clone)]
pub struct Fetcher {
    resolve: Arc<dyn Fn(String, u16) -> Resolved + Send + Sync>,
    is_allowed: fn(SocketAddr) -> bool,
    /// Made when it is needed first: most never fetch.
    tls: Arc<OnceLock<TlsConnector>>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        let resolve = |host: String, port| -> Resolved {
            Box::pin(async move {
                if let Ok(address) = host.parse::<IpAddr>() {
                    return Ok(vec![(address, port).into()]);
                }
                Ok(tokio::net::lookup_host((host, port)).await?.collect())
            })
        };
        Self::finding(resolve, |address| address::is_global(address.ip()))
    }
}

/// It did not come. Why is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfetched;

impl From<io::Error> for Unfetched {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<hyper::Error> for Unfetched {
    fn from(_: hyper::Error) -> Self {
        Self
    }
}

impl Fetcher {
    /// One that finds names so, and connects to such addresses alone.
    pub fn finding<R>(resolve: R, is_allowed: fn(SocketAddr) -> bool) -> Self
    where
        R: Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync + 'static,
    {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { resolve: Arc::new(resolve), is_allowed, tls: Arc::default(), places }
    }

    /// Puts what stands elsewhere into a conversation; what was put there.
    ///
    /// # Errors
    /// A fault that names the field whose image did not come, and not why.
    pub async fn bring(&self, conversation: &mut Conversation<'_>) -> Result<Vec<(&'static str, Bytes)>, Fault> {
        let far: Vec<(String, String)> =
            conversation.far().map(|far| (far.url.to_string(), far.place.clone())).collect();
        if far.len() > MOST_IMAGES {
            let why = format!("messages: more than {MOST_IMAGES} images by URL");
            return Err(Fault::invalid(why).at("messages"));
        }
        let (mut near, mut left, mut time) = (Vec::new(), MOST_TOGETHER, std::pin::pin!(sleep(LONGEST_TOGETHER)));
        for (url, place) in far {
            let fetched = tokio::select! {
                fetched = self.fetch(&url, left.min(MOST_BYTES)) => fetched,
                () = &mut time => Err(Unfetched),
            };
            let (kind, bytes) = fetched
                .map_err(|Unfetched| Fault::invalid(format!("{place}: the image could not be fetched")).at(place))?;
            left -= bytes.len();
            near.push((kind, bytes));
        }
        conversation.bring(near.iter().cloned());
        Ok(near)
    }

    /// An image of at most `most` bytes, and its type.
    ///
    /// # Errors
    /// When it did not come, for any reason.
    pub async fn fetch(&self, url: &str, most: usize) -> Result<(&'static str, Bytes), Unfetched> {
        let fetching = async {
            let _place = self.places.acquire().await.map_err(|_| Unfetched)?;
            self.follow(Target::of(url).ok_or(Unfetched)?, most).await
        };
        // All failures of all kinds look alike.
        tokio::time::timeout(LONGEST, fetching).await.unwrap_or(Err(Unfetched))
    }

    async fn follow(&self, mut target: Target, most: usize) -> Result<(&'static str, Bytes), Unfetched> {
        for _ in 0..=MOST_REDIRECTS {
            let response = self.ask(&target).await?;
            match response.status() {
                StatusCode::OK => {
                    let bytes = read(response, most).await?;
                    return Ok((image::kind(&bytes).ok_or(Unfetched)?, bytes));
                }
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                    target = location.and_then(|to| target.onward(to)).ok_or(Unfetched)?;
                }
                _ => return Err(Unfetched),
            }
        }
        Err(Unfetched)
    }

    async fn ask(&self, target: &Target) -> Result<Response<Incoming>, Unfetched> {
        let addresses = (self.resolve)(target.host.clone(), target.port).await?;
        // A name that leads inside as well is no name of a picture.
        if addresses.is_empty() || !addresses.iter().all(|address| (self.is_allowed)(*address)) {
            return Err(Unfetched);
        }
        let stream = TcpStream::connect(&addresses[..]).await?;
        if !target.tls {
            return send(stream, target).await;
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| Unfetched)?;
        let connector = self.tls.get_or_init(|| TlsConnector::from(Arc::new(Roots::mozilla().into_config())));
        send(connector.connect(name, stream).await?, target).await
    }
}

async fn send<T>(stream: T, target: &Target) -> Result<Response<Incoming>, Unfetched>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its answer's body, or when that is dropped.
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = target.path.parse().map_err(|_| Unfetched)?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(&target.authority).map_err(|_| Unfetched)?);
    headers.insert(header::ACCEPT, HeaderValue::from_static("image/*"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("keypool"));
    Ok(sender.send_request(request).await?)
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Bytes, Unfetched> {
    let (head, mut body) = response.into_parts();
    let plain = head.headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    let told = head.headers.get(header::CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse::<usize>().ok());
    if !plain || told.is_some_and(|told| told > most) {
        return Err(Unfetched);
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        if whole.len() + chunk.len() > most {
            return Err(Unfetched);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
