//! Embeddings of texts: `batchEmbedContents`.

use serde_json::{Value, json};

use super::bare_model;
use crate::{Error, NativeRequest, fields::take};

/// Maximum number of texts in one request.
pub(crate) const MAX: usize = 100;

/// A model, and the number of dimensions below which its vectors are not normalized.
const UNEVEN: (&str, usize) = ("gemini-embedding-001", 3_072);

pub(crate) fn request(model: &str, texts: &[String], dimensions: Option<u32>) -> Result<NativeRequest, Error> {
    let name = format!("models/{}", bare_model(model));
    let request = |text: &String| {
        let mut request = json!({ "model": name, "content": { "parts": [{ "text": text }] } });
        if let Some(dimensions) = dimensions {
            request["outputDimensionality"] = dimensions.into();
        }
        request
    };
    let requests: Vec<Value> = texts.iter().map(request).collect();
    NativeRequest::new(model, ":batchEmbedContents", &json!({ "requests": requests }))
}

/// Adds the vectors of a response to `vectors`; returns the number of used tokens.
pub(crate) fn answer(model: &str, body: &[u8], vectors: &mut Vec<Vec<f64>>) -> Result<u64, Error> {
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| Error::bad_upstream())?;
    let Value::Array(embeddings) = take(&mut answer, "embeddings") else { return Err(Error::bad_upstream()) };
    for mut embedding in embeddings {
        let vector = serde_json::from_value(take(&mut embedding, "values"));
        let mut values: Vec<f64> = vector.map_err(|_| Error::bad_upstream())?;
        if bare_model(model) == UNEVEN.0 && values.len() < UNEVEN.1 {
            let length = values.iter().map(|value| value.powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                values = values.iter().map(|value| value / length).collect();
            }
        }
        vectors.push(values);
    }
    Ok(answer["usageMetadata"]["promptTokenCount"].as_u64().unwrap_or_default())
}
