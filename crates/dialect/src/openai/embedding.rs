//! Embeddings, asked and answered.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::texts;
use crate::{Embedded, Embedding, Fault, Ignored, Text, fields::Fields};

/// Inputs that one request may have, as there.
const MOST: usize = 2_048;

/// Reads a request for embeddings, and what of it was not needed.
///
/// # Errors
/// What is wrong with it.
pub fn embedding(body: &[u8], strict: bool) -> Result<(Embedding<'_>, Ignored), Fault> {
    let mut asked = Embedding { model: Text::default(), texts: Vec::new(), dimensions: None, packed: false };
    let mut ignored = Ignored::default();
    for field in Fields::read(body)?.given() {
        match &*field.name {
            "model" => asked.model = field.read()?,
            "input" => asked.texts = texts::read(&field)?,
            "dimensions" => asked.dimensions = Some(field.positive()?),
            "encoding_format" => {
                asked.packed = match &*field.read::<Text<'_>>()? {
                    "float" => false,
                    "base64" => true,
                    _ => {
                        let why = "encoding_format: expected float or base64";
                        return Err(Fault::invalid(why).at("encoding_format"));
                    }
                };
            }
            "user" => ignored.add("user"),
            _ => ignored.unless(strict, field.refused())?,
        }
    }
    if asked.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    if asked.texts.is_empty() || asked.texts.len() > MOST {
        return Err(Fault::invalid(format!("input: expected 1 to {MOST} texts")).at("input"));
    }
    match asked.texts.iter().position(Text::is_empty) {
        None => Ok((asked, ignored)),
        Some(index) => {
            let place = format!("input[{index}]");
            Err(Fault::invalid(format!("{place}: an empty text has no vector")).at(place))
        }
    }
}

/// Writes the vectors.
pub fn vectors(asked: &Embedding<'_>, embedded: &Embedded) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'s> {
        object: &'static str,
        data: Vec<Item<'s>>,
        model: &'s str,
        usage: Usage,
    }
    #[derive(Serialize)]
    struct Item<'s> {
        object: &'static str,
        index: usize,
        embedding: Values<'s>,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Values<'s> {
        Floats(&'s [f32]),
        Packed(String),
    }
    #[derive(Serialize)]
    struct Usage {
        prompt_tokens: u64,
        total_tokens: u64,
    }
    let values = |vector: &'_ Vec<f32>| {
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        STANDARD.encode(bytes)
    };
    let data = embedded.vectors.iter().enumerate().map(|(index, vector)| Item {
        object: "embedding",
        index,
        embedding: if asked.packed { Values::Packed(values(vector)) } else { Values::Floats(vector) },
    });
    let list = List {
        object: "list",
        data: data.collect(),
        model: &asked.model,
        usage: Usage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens },
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_texts() {
        let texts = |input: &str| {
            let body = format!(r#"{{"model":"m","input":{input}}}"#);
            embedding(body.as_bytes(), true)
                .map(|(asked, _)| asked.texts.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|fault| fault.param)
        };
        assert_eq!(texts(r#""a\n""#).unwrap(), ["a\n"]);
        assert_eq!(texts(r#"["a","b"]"#).unwrap(), ["a", "b"]);
        // As LangChain's `OpenAIEmbeddings` sends them.
        assert_eq!(texts("[[9906,1917],[9906]]").unwrap(), ["Hello world", "Hello"]);
        assert_eq!(texts("[9906,1917]").unwrap(), ["Hello world"]);
        for (input, place) in [
            ("[]", "input"),
            ("[[]]", "input[0]"),
            ("[-1]", "input[0]"),
            ("[[9906],[999999999]]", "input[1]"),
            ("[9906,\"a\"]", "input[1]"),
            (r#"["a",9906]"#, "input[1]"),
            ("[9906,1.5]", "input[1]"),
            (r#"["a",null]"#, "input[1]"),
            (r#"["a",""]"#, "input[1]"),
            ("1", "input"),
        ] {
            assert_eq!(texts(input).unwrap_err().as_deref(), Some(place), "{input}");
        }
    }
}
