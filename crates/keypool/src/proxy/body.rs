//! Bodies: those of requests are collected, and compressed ones are decompressed.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::{
    read::{MultiGzDecoder, ZlibDecoder},
    write,
};
use http::{HeaderMap, Response, StatusCode, header, request::Parts};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use memchr::memmem;
use sync_wrapper::SyncWrapper;
use tower_http::timeout::TimeoutBody;
use tower_keypool::{BoxError, cooldown, replay::CollectedBody};

use crate::error::ApiError;

/// The body of a request.
pub enum Collected {
    /// The whole body; clones share the model that was read.
    Whole(CollectedBody),
    /// A body too large to be kept for another attempt. It is sent once, as it arrives.
    Streamed(SyncWrapper<Body>),
}

/// Collects a body of up to `limit` bytes; a larger one is streamed. Trailers of a collected body are dropped.
///
/// # Errors
/// 408 if nothing arrives for `timeout`; 400 if the body breaks off.
pub async fn collect(mut body: Body, limit: usize, timeout: Duration) -> Result<Collected, ApiError> {
    // The length that the client announced; 0 if it did not.
    let announced = body.size_hint().lower() as usize;
    if announced > limit {
        return Ok(uncollected(body, timeout));
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while !body.is_end_stream()
        && let Some(frame) = next(&mut body, timeout).await?
    {
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() && rest.is_none() {
            first = data;
        } else {
            let rest = rest.get_or_insert_with(|| {
                let mut all = BytesMut::with_capacity(announced.max(first.len() + data.len()));
                all.extend_from_slice(&std::mem::take(&mut first));
                all
            });
            rest.extend_from_slice(&data);
        }
        if first.len() + rest.as_ref().map_or(0, BytesMut::len) > limit {
            let begun = rest.map_or(first, BytesMut::freeze);
            return Ok(streamed(begun, body, timeout));
        }
    }
    Ok(Collected::whole(rest.map_or(first, BytesMut::freeze)))
}

/// Decompresses a collected gzip or deflate body, so that the names in it can be read, and removes `Content-Encoding`.
///
/// # Errors
/// 400 for damaged data, 413 if the decompressed body is larger than `limit` bytes.
pub fn decompress_request(headers: &mut HeaderMap, body: Collected, limit: usize) -> Result<Collected, ApiError> {
    let coding = headers.get(header::CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase());
    let (Some(coding), Some(compressed)) = (coding, body.data().filter(|compressed| !compressed.is_empty())) else {
        return Ok(body);
    };
    let decoder: Box<dyn Read> = match &*coding {
        b"gzip" | b"x-gzip" => Box::new(MultiGzDecoder::new(&compressed[..])),
        b"deflate" => Box::new(ZlibDecoder::new(&compressed[..])),
        _ => return Ok(body),
    };
    let mut data = Vec::new();
    let wrong = |error| ApiError::bad_request(format!("the body does not match its Content-Encoding: {error}"));
    decoder.take(limit as u64 + 1).read_to_end(&mut data).map_err(wrong)?;
    if data.len() > limit {
        let message = format!("a compressed body may hold at most {} MiB (gateway.replay_mib)", limit >> 20);
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    headers.remove(header::CONTENT_ENCODING);
    Ok(Collected::whole(data.into()))
}

/// A decoder for a response. Some relays compress without being asked to.
enum Decoder {
    Gzip(write::MultiGzDecoder<Vec<u8>>),
    Deflate(write::ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    /// Returns the decoder for a body that starts with this data. JSON and events never start like compressed data.
    fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0x1f, ..] => Some(Self::Gzip(write::MultiGzDecoder::new(Vec::new()))),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Some(Self::Deflate(write::ZlibDecoder::new(Vec::new()))),
            _ => None,
        }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        }
    }
}

/// Maximum number of bytes that a piece of a response may have when it is decompressed.
const MAX_DECOMPRESSED: usize = 32 << 20;

/// Decompresses a response in gzip or deflate while it is read. Data after a damaged piece is lost. `Content-Encoding`
/// is removed unless it is another one.
pub fn decompress_response<B>(mut response: Response<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if cooldown::can_decode(response.headers()) {
        response.headers_mut().remove(header::CONTENT_ENCODING);
    }
    response.headers_mut().remove(header::CONTENT_LENGTH);
    let mut decoder: Option<Decoder> = None;
    let mut begun = false;
    let mut decompress = move |data: Bytes| {
        if !std::mem::replace(&mut begun, true) {
            decoder = Decoder::of(&data);
        }
        let Some(decoder) = &mut decoder else { return data };
        for piece in data.chunks(1 << 10) {
            if decoder.write(piece).is_err() || decoder.output().len() > MAX_DECOMPRESSED {
                break;
            }
        }
        std::mem::take(decoder.output()).into()
    };
    response.map(|body| Body::new(body.map_frame(move |frame| frame.map_data(&mut decompress))))
}

/// Checks that the body has no encoding that [`decompress_request`] cannot read.
///
/// # Errors
/// 415 if it has.
pub fn check_readable(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let message = "the body cannot be read: send it without Content-Encoding, or with gzip";
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
        _ => Ok(()),
    }
}

async fn next(body: &mut Body, timeout: Duration) -> Result<Option<Frame<Bytes>>, ApiError> {
    match tokio::time::timeout(timeout, body.frame()).await {
        Ok(frame) => frame
            .transpose()
            .map_err(|error| ApiError::bad_request(format!("the body of the request broke off: {error}"))),
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body of the request stopped arriving")),
    }
}

/// Joins the bytes read so far and the rest of a body. Its length is known if the client announced it.
fn streamed(begun: Bytes, rest: Body, timeout: Duration) -> Collected {
    let length = rest.size_hint().exact().map(|rest| rest + begun.len() as u64);
    let rest = Box::pin(TimeoutBody::new(timeout, rest));
    Collected::Streamed(SyncWrapper::new(Body::new(Streamed { begun: Some(begun), length, rest })))
}

/// Wraps a body that is sent as it arrives.
pub fn uncollected(body: Body, timeout: Duration) -> Collected {
    streamed(Bytes::new(), body, timeout)
}

struct Streamed {
    begun: Option<Bytes>,
    /// The length of the whole body: `TimeoutBody` hides it.
    length: Option<u64>,
    rest: Pin<Box<TimeoutBody<Body>>>,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.begun.take().filter(|begun| !begun.is_empty()) {
            Some(begun) => Some(Ok(Frame::data(begun))),
            None => ready!(self.rest.as_mut().poll_frame(cx)),
        };
        if let (Some(Ok(frame)), Some(length)) = (&frame, &mut self.length) {
            *length = length.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Returns the boundary that the type of a form names; `None` if it does not name exactly one.
fn boundary(content_type: &str) -> Option<&str> {
    let is_boundary = |name: &str| name.trim().get(..8).is_some_and(|start| start.eq_ignore_ascii_case("boundary"));
    let parameters = content_type.split(';').filter_map(|parameter| parameter.split_once('='));
    let mut boundaries = parameters.filter(|(name, _)| is_boundary(name)).map(|(_, value)| value);
    let boundary = boundaries.next()?.trim().trim_matches('"');
    boundaries.next().is_none().then_some(boundary)
}

impl Collected {
    /// Creates a collected body of these bytes.
    pub fn whole(data: Bytes) -> Self {
        Self::Whole(CollectedBody::new(data))
    }

    /// Returns the bytes of a collected body.
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Whole(body) => Some(body.data()),
            Self::Streamed(_) => None,
        }
    }

    /// Returns the model that a collected body names: the top-level `model` of JSON, or of a form. `None` if there is
    /// none, or more than one.
    pub fn model(&self, head: &Parts) -> Option<String> {
        let Self::Whole(body) = self else { return None };
        let content_type = head.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if content_type.starts_with(b"multipart/form-data") {
            // The provider skips all text before the first boundary, so this must be the first line.
            let boundary = boundary(std::str::from_utf8(content_type).ok()?)?;
            let behind = body.data().strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
            return keypool_dialect::model_of_form(body.data()).filter(|_| behind.starts_with(b"\r\n"));
        }
        body.model().map(ToString::to_string)
    }

    /// Checks that a JSON body names its model so that every reader finds the same one. Bodies of other types, such as
    /// files, are not checked; some clients send JSON as text.
    ///
    /// # Errors
    /// 400 for two top-level fields `model`, and for a byte order mark, which some providers skip.
    pub fn check_one_model(&self, head: &Parts) -> Result<(), ApiError> {
        #[derive(serde::Deserialize)]
        struct OneModel {
            #[serde(rename = "model")]
            _model: Option<serde::de::IgnoredAny>,
        }
        let content_type = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
        let is_json = |kind: &[u8]| kind.starts_with(b"text/plain") || memmem::find(kind, b"json").is_some();
        if content_type.is_some_and(|kind| !is_json(&kind)) {
            return Ok(());
        }
        let data = self.data().map(|data| data.trim_ascii_start()).unwrap_or_default();
        if data.starts_with(b"\xef\xbb\xbf") {
            return Err(ApiError::bad_request("the body starts with a byte order mark: send it without"));
        }
        match serde_json::from_slice::<OneModel>(data) {
            Err(error) if error.is_data() && data.starts_with(b"{") => {
                Err(ApiError::bad_request(format!("the body is not valid: {error}")))
            }
            _ => Ok(()),
        }
    }

    pub fn into_body(self) -> Body {
        match self {
            Self::Whole(body) => Body::from(body.data().clone()),
            Self::Streamed(body) => body.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_starts_with_x_is_not_compressed_data() {
        let compressed = |level| {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
            encoder.write_all(b"text").and_then(|()| encoder.finish()).expect("memory can be written")
        };
        assert!((0..10).all(|level| Decoder::of(&compressed(level)).is_some()));
        assert!(Decoder::of(b"\x1f").is_some(), "a first piece of one byte");
        assert!(["x", "x = 1", "x-ray", "x?", "x}", "y"].iter().all(|text| Decoder::of(text.as_bytes()).is_none()));
    }
}
