//! What a caller sent, and what is asked of the provider for it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use keypool_dialect::{Fault, Kind};
use tower_keypool::Demand;

use super::{packed::unpacked, room::Held};
use crate::{
    gateway::{answer::unpacked::is_gzip, connection::pace::Arriving},
    outgoing::Outgoing,
};

/// A larger request is refused: it is held while it is understood.
pub(super) const MOST_ASKED: usize = 32 << 20;

/// Whether a body can be held until it is understood, as far as its head says.
pub(in crate::gateway) fn can_be_read(headers: &HeaderMap, body: &Arriving) -> bool {
    let is_known = match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes().trim_ascii()) {
        None | Some(b"") => true,
        Some(encoding) => encoding.eq_ignore_ascii_case(b"identity") || is_gzip(encoding),
    };
    is_known && body.size_hint().exact().is_some_and(|length| length <= MOST_ASKED as u64)
}

/// A body that could not be read.
pub(super) struct Unread {
    pub(super) fault: Fault,
    /// All of it as it came, where it is only that it cannot be unpacked.
    pub(super) packed: Option<Bytes>,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self { fault, packed: None }
    }
}

/// The caller's body, whole, and as it was before it was packed.
pub(super) async fn read(headers: &HeaderMap, body: Arriving, held: &mut Held) -> Result<Bytes, Unread> {
    let packed = match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes().trim_ascii()) {
        None | Some(b"") => false,
        Some(encoding) if encoding.eq_ignore_ascii_case(b"identity") => false,
        Some(encoding) if is_gzip(encoding) => true,
        Some(_) => {
            let message = "the body is in an encoding that is not read here: send it as it is, or in gzip";
            return Err(Fault::new(Kind::Encoded, message).into());
        }
    };
    let whole = as_it_came(body, held).await?;
    if !packed {
        return Ok(whole);
    }
    unpacked(whole.clone(), held).await.map_err(|fault| Unread { fault, packed: Some(whole) })
}

pub(super) fn too_large() -> Fault {
    let message = format!(
        "the body is larger than {} MiB, which is all that is read to translate it or to find its provider",
        MOST_ASKED >> 20
    );
    Fault::new(Kind::TooLarge, message)
}

async fn as_it_came(mut body: Arriving, held: &mut Held) -> Result<Bytes, Fault> {
    let expected = usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or(usize::MAX);
    if expected > MOST_ASKED {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::invalid("the request's body broke off"))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if whole.len() + chunk.len() > MOST_ASKED {
            return Err(too_large());
        }
        held.hold(whole.len() + chunk.len())?;
        if whole.is_empty() && chunk.len() == expected {
            return Ok(chunk);
        }
        if whole.is_empty() {
            whole.reserve(expected);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// A request of this gateway's own.
pub(super) fn request(
    method: Method,
    target: &str,
    parts: &Parts,
    body: Vec<Bytes>,
    demand: Option<Demand>,
) -> Request<Outgoing> {
    let body = Outgoing::written(body);
    let mut request = Request::new(body);
    *request.uri_mut() = target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if method == Method::POST {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for name in ["user-agent", "traceparent", "tracestate"] {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    *request.method_mut() = method;
    if let Some(demand) = demand {
        request.extensions_mut().insert(demand);
    }
    request
}
