//! Ids of calls: at most 64 characters, which is OpenAI's limit, and distinguishable from other providers' ids.
//!
//! `call_<unique>x0x1_kp<model>_<id>`: a text unique to the response, the index of the choice, the number of the call,
//! a mark, a hash of the model in four hex digits, and Gemini's own id if there is room for it.

use crate::gemini::bare_model;

const MARK: &str = "_kp";
/// Maximum length of an id for OpenAI and its clients' databases.
const MAX: usize = 64;
/// Maximum length of the part that is unique to a response.
const MAX_UNIQUE: usize = 24;

/// Creates an id.
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

/// Reports whether this module created an id.
pub(crate) fn is_ours(id: &str) -> bool {
    parts(id).is_some()
}

/// Returns Gemini's own id of a call.
pub(crate) fn own_id(id: &str) -> Option<&str> {
    parts(id).and_then(|(_, own)| own)
}

/// Reports whether the signature of the call with this id may be sent to a model: only the model that created it
/// accepts it.
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

/// Returns a hash of a model's name in four hex digits: FNV-1a, folded to 16 bits.
fn tag(model: &str) -> String {
    let hash = bare_model(model)
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
}
