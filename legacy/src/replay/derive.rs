//! What a request needs, as far as its head and length tell.

use std::sync::Arc;

use http::{HeaderMap, Method, header, request};

use super::{body_scan::BodyScan, model_scan::ModelScan, text_scan::TextScan};
use crate::{
    pool::{Demand, KeyPool},
    provider::{Asks, Cost, ModelIn, NamedIn},
};

/// Stands for models that have no name. They share a lane of their own: what the provider answers to them must not rest
/// the requests that ask for no model at all.
const NAMELESS: &str = "a model without a name";

/// Completes a demand with what the head says; what the caller said holds. `last`: the model that was asked for last.
pub(super) fn complete(
    demand: &mut Demand,
    asks: &Asks<'_>,
    pool: Option<&KeyPool>,
    last: &mut Option<Arc<str>>,
    bytes: Option<u64>,
) {
    match (&asks.model, pool) {
        (ModelIn::Head(model), Some(pool)) if demand.model.is_none() => {
            if last.as_deref() != Some(&**model) {
                *last = Some(pool.share_name(model));
            }
            demand.model.clone_from(last);
        }
        (ModelIn::Head(_), _) => {}
        (elsewhere, _) => demand.named_in = NamedIn::of(elsewhere),
    }
    demand.free |= asks.free;
    if asks.once {
        demand.particulars.once = true;
    }
    if let (0, Some(bytes)) = (demand.input_tokens, bytes) {
        demand.input_tokens = tokens_of(bytes);
        demand.estimated = true;
    }
}

/// What has to be found in the body to know the rest. Of one that is long, where tokens are limited, that is how much of
/// it is text: such a body is read before it goes out.
pub(super) fn scan(demand: &Demand, asks: &Asks<'_>, pool: Option<&KeyPool>, bytes: Option<u64>) -> Option<BodyScan> {
    let guessed = demand.input_tokens == 0 && !demand.free && !asks.free && bytes.is_some_and(|bytes| bytes >= LONG);
    let text = (guessed && pool.is_some_and(KeyPool::limits_tokens)).then(TextScan::default);
    BodyScan::new(model_scan(demand, asks), text)
}

fn model_scan(demand: &Demand, asks: &Asks<'_>) -> Option<ModelScan> {
    let wants_model = demand.model.is_none() && asks.model == ModelIn::Body;
    let counted = match asks.cost {
        Cost::ItemsOf(name) if demand.requests == 0 => Some(name),
        _ => None,
    };
    (wants_model || counted.is_some()).then(|| ModelScan::new(wants_model, counted))
}

/// Completes a demand with what was found in the body, of which so many bytes were read, and others are to come.
pub(super) fn complete_from(demand: &mut Demand, scan: &BodyScan, pool: &KeyPool, (read, rest): (u64, u64)) {
    if let Some(text) = scan.text() {
        demand.input_tokens = text.tokens(read + rest, read);
    }
    let Some(scan) = scan.model() else { return };
    if let (None, Some(named)) = (&demand.model, scan.model()) {
        demand.model = Some(pool.share_name(pool.provider().lane(named)));
    } else if demand.model.is_none() && scan.is_nameless() {
        demand.model = Some(NAMELESS.into());
    }
    if demand.requests == 0 {
        demand.requests = scan.items();
    }
}

/// A shorter body is hardly worth a look at what is text in it.
const LONG: u64 = 32 << 10;

/// A token of usual text or JSON has about four bytes.
fn tokens_of(bytes: u64) -> u64 {
    bytes / 4
}

/// So many headers have most requests.
const FEW: usize = 8;

/// How long the body is, as its head says.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    // A look at each of a few costs less than looking one up.
    let told = if headers.len() <= FEW {
        headers.iter().find(|(name, _)| *name == header::CONTENT_LENGTH)?.1
    } else {
        headers.get(header::CONTENT_LENGTH)?
    };
    plain_number(told.as_bytes()).or_else(|| told.to_str().ok()?.trim().parse().ok())
}

/// A number as nearly all write it: a few digits and nothing else.
fn plain_number(text: &[u8]) -> Option<u64> {
    // So many cannot overflow.
    if !(1..=18).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// A request whose connection becomes something else: what follows its head is not a body to be sent twice. One that is
/// posted has a body of its own before anything becomes of its connection; asked first, since most requests are.
pub(super) fn is_upgrade(head: &request::Parts) -> bool {
    head.method != Method::POST && (head.method == Method::CONNECT || head.headers.contains_key(header::UPGRADE))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn lengths_as_a_number_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(content_length(&headers), None);
        for n in 0..20_u64 {
            headers.insert(http::HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from(n));
            assert_eq!(content_length(&headers), None);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(7 + n));
            assert_eq!(content_length(&headers), Some(7 + n));
            headers.remove(header::CONTENT_LENGTH);
        }
        for text in [
            "0",
            "7",
            "007",
            "1234567890",
            "999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            " 42 ",
            "+1",
            "-1",
            "1.0",
            "1a",
            "",
            " ",
            "1,1",
        ] {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(text));
            assert_eq!(content_length(&headers), text.trim().parse().ok(), "{text:?}");
        }
    }
}
