//! From a reply to what goes over the wire: everything a script does to an
//! answer on its way out.

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body as _;

use crate::Latency;
use crate::answer::{Reply, template};
use crate::body::{Abort, Piece, SimBody};
use crate::fault::{Cut, Shape, StreamError};
use crate::refusal::{Scene, Wrapping};
use crate::route::Form;

/// What shaping needs to know of the request and the moment.
pub(crate) struct Way<'a> {
    pub(crate) scene: Scene<'a>,
    pub(crate) wrapping: Wrapping,
    pub(crate) date: Option<HeaderValue>,
    pub(crate) accepts_gzip: bool,
    pub(crate) chunk_latency: Latency,
    pub(crate) abort: Option<Abort>,
}

const FIXED_HEADERS: [(&str, &str); 5] = [
    ("vary", "Origin, X-Origin, Referer"),
    ("server", "scaffolding on HTTPServer2"),
    ("x-xss-protection", "0"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-content-type-options", "nosniff"),
];

pub(crate) fn shape(mut reply: Reply, shape: &Shape, way: Way<'_>, rng: &mut Rng) -> Response<SimBody> {
    if let Some(error) = &shape.error {
        insert_error(&mut reply, error, (way.scene, way.wrapping));
    }
    // Last: what a script says of headers stands above all else.
    let mut own = header_map(&reply.headers, way.scene.key);
    replace(&mut own, &header_map(&shape.headers, way.scene.key));
    let gzip = (shape.gzip || way.accepts_gzip) && !own.contains_key(CONTENT_ENCODING);
    if gzip {
        reply.chunks = compress(&reply.chunks);
    }
    let total: usize = reply.chunks.iter().map(Bytes::len).sum();
    let trailers = header_map(&shape.trailers, way.scene.key);

    let mut headers = HeaderMap::new();
    for (name, value) in FIXED_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.extend(way.date.clone().map(|date| (DATE, date)));
    let content_type = reply.content_type.map(HeaderValue::from_static);
    headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
    if gzip && total > 0 {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(extra) = shape.longer {
        headers.insert(CONTENT_LENGTH, HeaderValue::from((total as u64).saturating_add(extra)));
    }
    let names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
    let names = HeaderValue::try_from(names.join(", ")).ok();
    let names = names.filter(|names| !names.is_empty());
    headers.extend(names.map(|names| (TRAILER, names)));
    replace(&mut headers, &own);

    let announced = !headers.contains_key(CONTENT_LENGTH);
    let status = reply.status;
    let body = body(reply, shape, trailers, (&way, announced), rng);
    if let Some(length) = body.size_hint().exact() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut response = Response::new(body.aborting(way.abort));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn body(
    reply: Reply,
    shape: &Shape,
    trailers: HeaderMap,
    (way, announced): (&Way<'_>, bool),
    rng: &mut Rng,
) -> SimBody {
    let streamed = reply.form != Form::Whole;
    let mut pieces =
        delayed(reply.chunks, |first| if streamed && !first { way.chunk_latency.draw(rng) } else { Duration::ZERO });
    if let Some(cut) = shape.cut {
        pieces = cut_off(pieces, cut);
    }
    if !trailers.is_empty() {
        pieces.push_back(Piece::Trailers(trailers));
    }
    let plain = pieces.iter().all(|piece| matches!(piece, Piece::Data(_)));
    let mut body = if plain && announced && !streamed { SimBody::announced(pieces) } else { SimBody::pieces(pieces) };
    if streamed {
        body = body.breathing();
    }
    match shape.frame {
        Some(frame) => body.frames_of(frame),
        None => body,
    }
}

/// Puts all values of `new` in the place of those of the same names.
fn replace(headers: &mut HeaderMap, new: &HeaderMap) {
    for name in new.keys() {
        headers.remove(name);
    }
    for (name, value) in new {
        headers.append(name, value.clone());
    }
}

fn header_map(list: &[(String, String)], key: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        let value = template(&Bytes::copy_from_slice(value.as_bytes()), key);
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
            map.append(name, value);
        }
    }
    map
}

/// Replaces the rest of a stream by an error.
fn insert_error(reply: &mut Reply, error: &StreamError, (scene, wrapping): (Scene<'_>, Wrapping)) {
    let written = error.refusal.error(scene);
    let alone = if wrapping == Wrapping::Worded { wrapping } else { Wrapping::Bare };
    let mut kept = error.after.min(reply.chunks.len());
    if reply.form == Form::List && kept == reply.chunks.len() {
        // The last one closes the list, and what follows it stands in no list.
        kept = kept.saturating_sub(1);
    }
    reply.chunks.truncate(kept);
    let text = match reply.form {
        // What stands in a list is in no list of its own.
        Form::Whole => written.text(alone),
        Form::Events if error.raw => written.text(alone),
        Form::Events => format!("data: {}\r\n\r\n", written.line(alone)),
        Form::List => {
            let open = if kept == 0 { "[" } else { "\n,\r\n" };
            format!("{open}{}\n]", written.line(alone))
        }
    };
    reply.chunks.push(text.into());
}

/// gzip over all chunks, flushed behind each, so that each can be read when it
/// arrives.
fn compress(chunks: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out = Vec::with_capacity(chunks.len() + 1);
    for chunk in chunks {
        // Writing into a Vec does not fail.
        let _ = encoder.write_all(chunk);
        if chunks.len() > 1 {
            let _ = encoder.flush();
            out.push(std::mem::take(encoder.get_mut()).into());
        }
    }
    if !chunks.is_empty() {
        out.push(encoder.finish().unwrap_or_default().into());
    }
    out
}

fn delayed(chunks: Vec<Bytes>, mut delay: impl FnMut(bool) -> Duration) -> VecDeque<Piece> {
    let mut pieces = VecDeque::with_capacity(chunks.len());
    for chunk in chunks.into_iter().filter(|chunk| !chunk.is_empty()) {
        let wait = delay(pieces.is_empty());
        if !wait.is_zero() {
            pieces.push_back(Piece::Wait(wait));
        }
        pieces.push_back(Piece::Data(chunk));
    }
    pieces
}

/// Ends the pieces after some bytes: as if that were all, with a reset, or
/// never.
fn cut_off(pieces: VecDeque<Piece>, cut: Cut) -> VecDeque<Piece> {
    /// Long enough for what was sent before a reset to leave the machine.
    const FLUSH: Duration = Duration::from_millis(5);
    let mut left = match cut {
        Cut::End(bytes) | Cut::Stall(bytes) => bytes,
        Cut::Reset(bytes) => bytes.max(1),
    };
    let mut kept = VecDeque::new();
    for piece in pieces {
        if left == 0 {
            break;
        }
        if let Piece::Data(mut data) = piece {
            data.truncate(left);
            left -= data.len();
            kept.push_back(Piece::Data(data));
        } else {
            kept.push_back(piece);
        }
    }
    match cut {
        Cut::End(_) => {}
        Cut::Reset(_) => kept.extend([Piece::Wait(FLUSH), Piece::Reset]),
        Cut::Stall(_) => kept.push_back(Piece::Hang),
    }
    kept
}
