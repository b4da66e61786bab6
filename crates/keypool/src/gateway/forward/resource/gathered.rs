//! A body, read as far as it says where its request goes.

use std::{collections::VecDeque, io::Read as _};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;

use super::{
    at_once::Coming,
    body_model,
    made::outlives_its_call,
    mentioned::{self, Behind},
    path::says_who_answers,
    unseen,
};
use crate::{
    gateway::{
        admit::tenant::{MODEL, Tenant},
        connection::pace::Arriving,
        dialect::Refusal,
    },
    outgoing::{Broken, Gathered, Outgoing, Watch},
};

/// So much of a body is read before it is known where it goes. What comes behind goes on as it comes, and must name
/// nothing.
const READ: usize = 8 << 20;
/// A body of a length that is known and no more than this is read in any case: most of it comes with its head.
const SHORT: u64 = 64 << 10;
/// So much of a body that may name something, and of a compressed one when it is inflated.
const WHOLE: usize = 64 << 20;

const UNREADABLE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the body is no JSON, and may name a file or the like: send it as JSON");
const ENCODED: Refusal = Refusal::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "the body is in an encoding that is not read here: send it as it is, or in gzip",
);
const LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "a body that may name a file or the like, or that is compressed, may be no larger than 64 MiB",
);
pub(in crate::gateway::forward) const BROKE_OFF: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the request's body broke off");

/// Whether a body takes a while to come, or may.
pub(super) fn is_long(body: &Arriving) -> bool {
    body.size_hint().exact().is_none_or(|length| length > SHORT)
}

/// Whether a body is known to be no longer than what is read whole.
pub(super) fn is_short(body: &Arriving) -> bool {
    body.size_hint().exact().is_some_and(|length| length <= WHOLE as u64)
}

pub(super) fn is_known_to_name_nothing(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A body, as far as it was read.
pub(super) struct Gathering {
    pub(super) body: Outgoing,
    pub(super) broken: Broken,
    /// What it names that is somebody's.
    pub(super) names: Vec<String>,
    /// The model that it wants, where its path says that it stands there.
    pub(super) model: Option<String>,
    /// All of it was seen, and no word in it could name anything of anybody's.
    pub(super) is_plain: bool,
    /// It asks for an answer that is kept.
    pub(super) is_kept: bool,
}

impl Gathering {
    /// As it comes.
    pub(super) fn unread(body: Arriving) -> Self {
        Self::of(Outgoing::Came(body), Broken::default())
    }

    fn of(body: Outgoing, broken: Broken) -> Self {
        Self { body, broken, names: Vec::new(), model: None, is_plain: false, is_kept: false }
    }
}

/// What a body is read for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// What it names that may be somebody's.
    pub(super) names: bool,
    /// Its requests may not stand in a file.
    pub(super) unseen: bool,
    /// The model in it.
    pub(super) model: bool,
}

/// Nothing that passes matters.
#[derive(Debug)]
struct Anything;

impl Watch for Anything {
    fn passes(&mut self, _: &[u8]) -> bool {
        true
    }
}

/// Reads a body as far as it must be, and what is wanted of it.
pub(super) async fn gather(
    parts: &Parts,
    Coming { mut first, rest: mut body }: Coming,
    (tenant, wanted): (&Tenant, Wanted),
) -> Result<Gathering, Refusal> {
    let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let mut frames: VecDeque<Frame<Bytes>> = VecDeque::new();
    let compatible = parts.uri.path().contains("/openai/");
    let (mut behind, mut length) = (Behind::of(compatible), 0);
    let may_name_anything = if compatible { mentioned::may_name_compatible } else { mentioned::may_name };
    // What is encoded shows nothing before it is whole; and who may not ask every model is asked which it is.
    let mut may_name = wanted.names && (encoded || tenant.is_restricted() || says_who_answers(parts.uri.path()));
    let mut is_plain = wanted.names && !encoded;
    loop {
        let frame = match first.take() {
            Some(frame) => *frame,
            None => match body.frame().await {
                Some(frame) => frame.map_err(|_| BROKE_OFF)?,
                None => break,
            },
        };
        let last = body.is_end_stream();
        if let Some(data) = frame.data_ref() {
            // Most bodies come in one piece, of which nothing is kept for a next one.
            let passes = match wanted.names {
                true if last && length == 0 => !may_name_anything(data),
                names => !names || behind.passes(data),
            };
            length += data.len();
            may_name = may_name || !passes;
            is_plain = is_plain && passes;
        }
        frames.push_back(frame);
        if last || (!may_name && length > READ) {
            break;
        }
        if length > WHOLE {
            return Err(LARGE);
        }
    }
    let (mut names, mut model, mut is_kept) = (Vec::new(), None, false);
    let reads_model = wanted.model && (may_name || !encoded);
    if may_name || reads_model {
        let text = text_of(parts, &frames)?;
        if text.is_empty() {
            let gathered = Gathered { frames, rest: None, broken: Broken::default() };
            return Ok(Gathering::of(Outgoing::Gathered(Box::new(gathered)), Broken::default()));
        }
        if reads_model {
            model = body_model::model_in(&text);
        }
        if may_name {
            is_kept = says_who_answers(parts.uri.path()) && outlives_its_call(&text);
            names = mentioned::names_in(&text, compatible).map_err(|_| UNREADABLE)?;
        }
        if wanted.unseen && may_name && mentioned::asks_from_a_file(&text).map_err(|_| UNREADABLE)? {
            return Err(unseen::UNCOUNTED);
        }
        if tenant.is_restricted() {
            let models = mentioned::models_in(&text).map_err(|_| UNREADABLE)?;
            if models.iter().any(|model| !tenant.may_use(model)) {
                return Err(MODEL);
            }
        }
    }
    let broken = Broken::default();
    let watch = || -> Box<dyn Watch> { if wanted.names { Box::new(behind) } else { Box::new(Anything) } };
    let rest = if body.is_end_stream() { None } else { Some((body, watch())) };
    is_plain &= rest.is_none();
    let body = Outgoing::Gathered(Box::new(Gathered { frames, rest, broken: broken.clone() }));
    Ok(Gathering { names, model, is_plain, is_kept, ..Gathering::of(body, broken) })
}

/// What stands in a body.
fn text_of(parts: &Parts, frames: &VecDeque<Frame<Bytes>>) -> Result<Bytes, Refusal> {
    let pieces = || frames.iter().filter_map(Frame::data_ref);
    let text = match (pieces().count(), pieces().next()) {
        (0, _) | (_, None) => return Ok(Bytes::new()),
        (1, Some(piece)) => piece.clone(),
        _ => pieces()
            .fold(Vec::new(), |mut text, piece| {
                text.extend_from_slice(piece);
                text
            })
            .into(),
    };
    match parts.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(text),
        Some(b"gzip" | b"x-gzip") => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&*text).take(WHOLE as u64 + 1).read_to_end(&mut plain);
            if read.is_err() || plain.len() > WHOLE { Err(ENCODED) } else { Ok(plain.into()) }
        }
        Some(_) => Err(ENCODED),
    }
}
