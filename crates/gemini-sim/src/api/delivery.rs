//! The conversion of a reply to a response, which applies the faults of the script.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue};

use super::call::Call;
use crate::answer::{Format, Reply};
use crate::body::{ConnectionReset, Step, scripted};
use crate::fault::{Fault, Faults};
use crate::refusal::Caller;
use crate::simulator::Simulator;

/// Time to flush the data that was sent before an error.
const FLUSH: Duration = Duration::from_millis(5);

const FIXED_HEADERS: [(&str, &str); 5] = [
    ("vary", "Origin, X-Origin, Referer"),
    ("server", "scaffolding on HTTPServer2"),
    ("x-xss-protection", "0"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-content-type-options", "nosniff"),
];

impl Simulator {
    pub(super) fn deliver(&self, call: &Call, mut reply: Reply, faults: &Faults, rng: &mut Rng) -> Response {
        // Only a successful reply is a stream that can contain an error.
        if reply.kind == "ok" {
            faults.0.iter().find_map(|fault| insert_error(&mut reply, fault, call.caller(self)));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in FIXED_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let date = call.wall.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.extend(HeaderValue::try_from(date).ok().map(|date| (DATE, date)));
        if call.accepts_gzip() && !reply.headers.contains_key(CONTENT_ENCODING) && !reply.chunks.is_empty() {
            reply.chunks = compress(&reply.chunks);
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // Last, because headers of a script override all others.
        headers.extend(std::mem::take(&mut reply.headers));

        let status = reply.status;
        let cut = faults.0.iter().rev().find(|fault| is_cut(fault));
        let body = if reply.format == Format::Whole && cut.is_none() && !headers.contains_key(CONTENT_LENGTH) {
            Body::from(reply.chunks.concat())
        } else {
            let mut steps = self.steps(reply, rng);
            if let Some(cut) = cut {
                cut_off(&mut steps, cut);
            } else if headers.contains_key(CONTENT_LENGTH) {
                // The announced length may be wrong, which hyper treats as an error.
                steps.push(Step::Wait(FLUSH));
            }
            scripted(steps, call.parts.extensions.get::<ConnectionReset>().cloned())
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Returns the chunks, with delays between those of a stream.
    fn steps(&self, reply: Reply, rng: &mut Rng) -> Vec<Step> {
        let mut steps = Vec::with_capacity(reply.chunks.len());
        for chunk in reply.chunks.into_iter().filter(|chunk| !chunk.is_empty()) {
            if reply.format != Format::Whole && !steps.is_empty() {
                let wait = self.settings.chunk_latency.draw(rng);
                steps.extend((!wait.is_zero()).then_some(Step::Wait(wait)));
            }
            steps.push(Step::Data(chunk));
        }
        steps
    }
}

/// Replaces the rest of a stream with an error, if the fault is one within a stream.
fn insert_error(reply: &mut Reply, fault: &Fault, caller: Caller<'_>) -> Option<()> {
    let (after, refusal) = match fault {
        Fault::ErrorEventAfter(after, refusal) | Fault::RawErrorAfter(after, refusal) => (*after, refusal),
        _ => return None,
    };
    let error = refusal.error(caller);
    let mut kept = after.min(reply.chunks.len());
    if reply.format == Format::List && kept == reply.chunks.len() {
        // The last chunk closes the list.
        kept = kept.saturating_sub(1);
    }
    reply.chunks.truncate(kept);
    let text = match reply.format {
        Format::Whole => error.to_body(false),
        Format::Events if matches!(fault, Fault::RawErrorAfter(..)) => error.to_body(false),
        Format::Events => format!("data: {}\r\n\r\n", error.to_line()),
        Format::List => format!("{}{}\n]", if kept == 0 { "[" } else { "\n,\r\n" }, error.to_line()),
    };
    reply.chunks.push(text.into());
    Some(())
}

fn is_cut(fault: &Fault) -> bool {
    matches!(fault, Fault::Truncate(_) | Fault::ResetAfter(_) | Fault::StallAfter(_))
}

/// Cuts a body after a number of bytes: it then ends, resets the connection, or stalls.
fn cut_off(steps: &mut Vec<Step>, cut: &Fault) {
    let (mut left, end) = match cut {
        Fault::ResetAfter(bytes) => ((*bytes).max(1), vec![Step::Wait(FLUSH), Step::Reset]),
        Fault::StallAfter(bytes) => (*bytes, vec![Step::Stall]),
        Fault::Truncate(bytes) => (*bytes, vec![]),
        _ => return,
    };
    let mut kept = 0;
    while let Some(step) = steps.get_mut(kept).filter(|_| left > 0) {
        if let Step::Data(data) = step {
            data.truncate(left);
            left -= data.len();
        }
        kept += 1;
    }
    steps.truncate(kept);
    steps.extend(end);
}

/// Compresses all chunks with gzip, and flushes after each, so that each can be read when it arrives.
fn compress(chunks: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut compressed = Vec::with_capacity(chunks.len() + 1);
    for chunk in chunks {
        // Writing to a `Vec` does not fail.
        let _ = encoder.write_all(chunk).and_then(|()| encoder.flush());
        compressed.push(std::mem::take(encoder.get_mut()).into());
    }
    compressed.push(encoder.finish().unwrap_or_default().into());
    compressed
}
