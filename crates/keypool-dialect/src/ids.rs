//! Ids of calls: at most 64 letters, as OpenAI takes them, and told apart from others' ids.
//!
//! `call_<unique>x0x1_kp<model>_<id>`: what is unique to the answer, the choice and the number of the call, a mark, four hex
//! digits that stand for the model, and Gemini's own id where it fits.

use crate::gemini::bare_model;

const MARK: &str = "_kp";
/// OpenAI and its clients' databases take no longer ones.
const MAX: usize = 64;
/// Of what is unique to an answer.
const MAX_UNIQUE: usize = 24;

/// A new id.
pub(crate) fn call_id(prefix: &str, unique: &str, number: (u32, usize), model: &str, own: Option<&str>) -> String {
    let unique = &unique[..unique.len().min(MAX_UNIQUE)];
    let mut id = format!("{prefix}{unique}x{}x{}{MARK}{}", number.0, number.1, tag(model));
    let plain = |own: &&str| !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if let Some(own) = own.filter(plain).filter(|own| id.len() + 1 + own.len() <= MAX) {
        id.push('_');
        id.push_str(own);
    }
    id
}

/// Whether an id is one of ours.
pub(crate) fn is_ours(id: &str) -> bool {
    parts(id).is_some()
}

/// Gemini's own id of a call.
pub(crate) fn own_id(id: &str) -> Option<&str> {
    parts(id).and_then(|(_, own)| own)
}

/// Whether a signature that came with this id may go to a model: another than the one that gave it would refuse it.
pub(crate) fn fits(id: &str, model: &str) -> bool {
    parts(id).is_none_or(|(of, _)| of == tag(model))
}

fn parts(id: &str) -> Option<(&str, Option<&str>)> {
    let (_, rest) = id.split_once(MARK).filter(|_| id.len() <= MAX)?;
    let (tag, rest) = rest.split_at_checked(4)?;
    let is_hex = tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let own = if rest.is_empty() { None } else { Some(rest.strip_prefix('_')?) };
    is_hex.then_some((tag, own))
}

/// Four hex digits for a model: FNV-1a, folded.
fn tag(model: &str) -> String {
    let hash = bare_model(model)
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
}
