//! `/v1/embeddings`, through Gemini's `batchEmbedContents`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Error, Mode, NativeRequest,
    fields::{Fields, Notes},
    gemini::embed,
};

/// Maximum number of texts in a request, the same as at OpenAI.
const MAX: usize = 2_048;

/// A request for embeddings.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// The model. It may be replaced; the response names the caller's model.
    pub model: String,
    texts: Vec<String>,
    dimensions: Option<u32>,
    base64: bool,
    asked_model: String,
    ignored: Vec<String>,
}

impl Embeddings {
    /// Parses a request body.
    ///
    /// # Errors
    /// 400 for a field that is invalid or cannot be served.
    pub fn parse(body: &[u8], mode: Mode) -> Result<Self, Error> {
        let mut notes = Notes::new(mode == Mode::Strict);
        let mut fields = Fields::read(body)?;
        let model = fields.text("model", "the name of a model is required")?;
        let texts = match fields.raw("input") {
            None => return Err(Error::invalid("input", "is missing")),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| match item {
                    Value::String(text) => Ok(text),
                    _ => Err(Error::invalid(format!("input[{index}]"), "expected a text; token ids are not supported")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(Error::invalid("input", "expected a text or a list of texts")),
        };
        if texts.is_empty() || texts.len() > MAX {
            return Err(Error::invalid("input", format_args!("expected 1 to {MAX} texts")));
        }
        if let Some(index) = texts.iter().position(String::is_empty) {
            return Err(Error::invalid(format!("input[{index}]"), "an empty text has no embedding"));
        }
        let dimensions = fields.limit("dimensions", &mut notes)?.and_then(|value| u32::try_from(value).ok());
        let base64 = match fields.take::<String>("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => return Err(Error::invalid("encoding_format", "expected float or base64")),
        };
        fields.finish("", &mut notes)?;
        let ignored = notes.into_ignored();
        Ok(Self { asked_model: model.clone(), model, texts, dimensions, base64, ignored })
    }

    /// Returns the names of fields that were accepted but have no effect.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Encodes Gemini's requests, in order. Each contains up to 100 texts; for the quota each text is one request.
    ///
    /// # Errors
    /// 400 for an invalid model name.
    pub fn encode(&self) -> Result<Vec<NativeRequest>, Error> {
        self.texts.chunks(embed::MAX).map(|texts| embed::request(&self.model, texts, self.dimensions)).collect()
    }

    /// Converts Gemini's responses to all requests, in order, into one response.
    ///
    /// # Errors
    /// 502 if a response is invalid, or the number of vectors differs from the number of texts.
    pub fn answer(&self, bodies: &[impl AsRef<[u8]>]) -> Result<Bytes, Error> {
        let (mut vectors, mut tokens) = (Vec::with_capacity(self.texts.len()), 0);
        for body in bodies {
            tokens += embed::answer(&self.model, body.as_ref(), &mut vectors)?;
        }
        if vectors.len() != self.texts.len() {
            return Err(Error::bad_upstream());
        }
        let bytes = |vector: &[f64]| vector.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect::<Vec<u8>>();
        let embedding = |(index, vector): (usize, &Vec<f64>)| {
            let embedding = if self.base64 { STANDARD.encode(bytes(vector)).into() } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        };
        let data: Vec<Value> = vectors.iter().enumerate().map(embedding).collect();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        let list = json!({ "object": "list", "data": data, "model": self.asked_model, "usage": usage });
        Ok(list.to_string().into())
    }
}
