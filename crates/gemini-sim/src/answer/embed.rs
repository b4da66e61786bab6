//! Embeddings: made of the text by a hash, so that the same text always has
//! the same vector.

use fastrand::Rng;
use serde_json::{Value, json};

use super::Reply;
use crate::Model;
use crate::engine::{Admission, Admitted, content_of, inputs};
use crate::proto_json::{field, items, whole};
use crate::refusal::ApiError;

pub(super) fn one(admitted: &Admitted) -> Admission<Reply> {
    let request = &admitted.request;
    let dimensions = dimensions(admitted.model.as_ref(), request)?;
    let content = request.get("content").unwrap_or(&Value::Null);
    Ok(Reply::json(&json!({
        "embedding": { "values": vector(content, dimensions) },
        "usageMetadata": usage(admitted),
    })))
}

pub(super) fn batch(admitted: &Admitted) -> Admission<Reply> {
    let embeddings = items(admitted.request.get("requests")).into_iter().map(|item| {
        let dimensions = dimensions(admitted.model.as_ref(), item)?;
        let content = item.get("content").unwrap_or(&Value::Null);
        Ok(json!({ "values": vector(content, dimensions) }))
    });
    let embeddings = embeddings.collect::<Admission<Vec<_>>>()?;
    Ok(Reply::json(&json!({
        "embeddings": embeddings,
        "usageMetadata": usage(admitted),
    })))
}

pub(super) fn compatible(admitted: &Admitted) -> Admission<Reply> {
    let request = &admitted.request;
    let dimensions = dimensions(admitted.model.as_ref(), request)?;
    let packed = request["encoding_format"] == "base64";
    let inputs = inputs(request)?;
    let data = inputs.iter().enumerate().map(|(index, text)| {
        let values = vector(&content_of(text), dimensions);
        let embedding: Value =
            if packed { base64(values.iter().flat_map(|value| value.to_le_bytes())).into() } else { values.into() };
        json!({ "object": "embedding", "embedding": embedding, "index": index })
    });
    let tokens = admitted.charge.tokens;
    Ok(Reply::json(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": request["model"],
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

fn usage(admitted: &Admitted) -> Value {
    let tokens = admitted.charge.tokens;
    json!({ "promptTokenCount": tokens, "totalTokenCount": tokens })
}

/// How long the vectors are that a request wants of this model.
pub(crate) fn dimensions(model: Option<&Model>, item: &Value) -> Admission<usize> {
    let own = model.and_then(|model| model.dimensions).unwrap_or(1);
    let wished = field(item, "outputDimensionality", "output_dimensionality");
    let wished = wished.or_else(|| item.get("dimensions")).and_then(whole);
    match wished {
        None => Ok(own),
        Some(wished) => usize::try_from(wished).ok().filter(|wished| (1..=own).contains(wished)).ok_or_else(|| {
            ApiError::invalid_argument("malformed", format!("Output dimensionality must be between 1 and {own}."))
        }),
    }
}

/// A unit vector that depends on the content alone.
fn vector(content: &Value, dimensions: usize) -> Vec<f32> {
    // FNV-1a: the standard library's hasher may change from release to release.
    let hash = content
        .to_string()
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mut rng = Rng::with_seed(hash);
    let values: Vec<f32> = (0..dimensions).map(|_| rng.f32() - 0.5).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}

fn base64(bytes: impl Iterator<Item = u8>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = bytes.collect();
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            if digit <= group.len() {
                let index = word >> (18 - 6 * digit) & 63;
                out.push(char::from(DIGITS[index as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_unit_vector() {
        let [a, b] = ["a", "b"].map(content_of);
        assert_eq!(vector(&a, 8), vector(&a, 8));
        assert_ne!(vector(&a, 8), vector(&b, 8));
        let length: f32 = vector(&a, 768).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-3);
    }

    #[test]
    fn base64_is_padded() {
        let encode = |text: &str| base64(text.bytes());
        assert_eq!(encode(""), "");
        assert_eq!(encode("f"), "Zg==");
        assert_eq!(encode("fo"), "Zm8=");
        assert_eq!(encode("foobar"), "Zm9vYmFy");
    }
}
