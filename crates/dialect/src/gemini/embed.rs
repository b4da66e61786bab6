//! Texts as vectors: `batchEmbedContents`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    count::{Count, or_nothing},
    name, nonsense,
};
use crate::{Embedded, Embedding, Fault};

/// Texts that one request may hold.
pub const MOST_AT_ONCE: usize = 100;

/// This model's vectors are of length one only in their full size.
const UNEVEN: (&str, usize) = ("gemini-embedding-001", 3_072);

#[derive(Serialize)]
struct Batch<'r> {
    requests: Vec<Request<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'r> {
    model: &'r str,
    content: Content<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
}

#[derive(Serialize)]
struct Content<'r> {
    parts: [Part<'r>; 1],
}

#[derive(Serialize)]
struct Part<'r> {
    text: &'r str,
}

/// The body of `batchEmbedContents` for a part of the texts.
///
/// # Errors
/// None that is known of.
pub fn embedding(asked: &Embedding<'_>, texts: &[crate::Text<'_>]) -> Result<Bytes, Fault> {
    let model = format!("models/{}", name(&asked.model));
    let requests = texts.iter().map(|text| Request {
        model: &model,
        content: Content { parts: [Part { text }] },
        output_dimensionality: asked.dimensions,
    });
    let batch = Batch { requests: requests.collect() };
    serde_json::to_vec(&batch).map(Bytes::from).map_err(|_| nonsense())
}

/// The vectors of an answer.
///
/// # Errors
/// When there are not as many as texts.
pub fn embedded(asked: &Embedding<'_>, texts: usize, body: &[u8]) -> Result<Embedded, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        embeddings: Vec<Vector>,
        #[serde(default, deserialize_with = "or_nothing")]
        usage_metadata: Usage,
    }
    #[derive(Deserialize)]
    struct Vector {
        values: Vec<f32>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Usage {
        prompt_token_count: Count,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| nonsense())?;
    let mut vectors: Vec<Vec<f32>> = answer.embeddings.into_iter().map(|vector| vector.values).collect();
    if vectors.len() != texts {
        return Err(nonsense());
    }
    if name(&asked.model) == UNEVEN.0 {
        for vector in vectors.iter_mut().filter(|vector| vector.len() < UNEVEN.1) {
            make_unit(vector);
        }
    }
    Ok(Embedded { vectors, tokens: answer.usage_metadata.prompt_token_count.0 })
}

fn make_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}
