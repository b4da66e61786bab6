//! Requests whose path says what they make and whose body says for which model: a cache, an interaction, a tuned model.

use http::{Method, request::Parts};
use keypool_client::names::is_version;
use percent_encoding::percent_decode_str;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

/// What is made for the model in its body.
const MADE: [&str; 4] = ["cachedContents", "interactions", "tunedModels", "batches"];
/// What a model is asked for at the endpoint for `OpenAI`'s clients.
const ASKED: [&str; 4] = ["audio", "completions", "embeddings", "images"];

/// Whether a request's body says which model it is for.
pub(super) fn is_named_in_body(head: &Parts) -> bool {
    if head.method != Method::POST {
        return false;
    }
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if !segments.next().is_some_and(is_version) {
        return false;
    }
    match (segments.next(), segments.next(), segments.next()) {
        (Some(made), None, _) => MADE.contains(&made),
        (Some("openai"), Some("chat"), Some("completions")) => true,
        (Some("openai"), Some(asked), _) => ASKED.contains(&asked),
        _ => false,
    }
}

/// The model that a body asks for, of which the beginning may be all that is here; `None`, too, where two readers would see
/// two.
pub(super) fn model_in(body: &[u8]) -> Option<String> {
    let mut models = Vec::new();
    // What was found in front of where it ends, or is no JSON, was found.
    let _ = Members(&mut models).deserialize(&mut serde_json::Deserializer::from_slice(body));
    match &*models {
        [Some(model)] => {
            Some(model.strip_prefix("models/").unwrap_or(model).to_owned()).filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

/// The members of a body that name a model: what they say, if that is a text.
struct Members<'m>(&'m mut Vec<Option<String>>);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, body: D) -> Result<(), D::Error> {
        body.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if matches!(&*name, "model" | "baseModel" | "base_model") {
                let model = members.next_value::<Value>()?;
                self.0.push(model.as_str().map(str::to_owned));
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn paths_say_that_the_body_names_a_model() {
        for (path, does) in [
            ("/v1beta/cachedContents", true),
            ("/v1beta/cachedContents/", true),
            ("/v1beta/cached%43ontents", true),
            ("/v1alpha/interactions", true),
            ("/v1beta/tunedModels", true),
            ("/v1beta/openai/embeddings", true),
            ("/v1beta/openai/chat/completions", true),
            ("/v1beta/openai/images/generations", true),
            ("/v1beta/openai/batches", false),
            ("/v1beta/openai/chat", false),
            ("/v1beta/cachedContents/c", false),
            ("/v1beta/files", false),
            ("/v1beta/auth_tokens", false),
            ("/v1beta/models/m:generateContent", false),
            ("/upload/v1beta/files", false),
        ] {
            let head = Request::post(path).body(()).unwrap().into_parts().0;
            assert_eq!(is_named_in_body(&head), does, "{path}");
        }
        assert!(!is_named_in_body(&Request::get("/v1beta/cachedContents").body(()).unwrap().into_parts().0));
    }

    #[test]
    fn a_model_is_found_in_the_beginning_of_a_body() {
        for (body, model) in [
            (r#"{"model":"models/m","contents":[]}"#, Some("m")),
            (r#"{"contents":[{"model":"no"}],"m\u006fdel":"m"}"#, Some("m")),
            (r#"{"baseModel":"models/m"}"#, Some("m")),
            (r#"{"model":"m","contents":[{"parts":[{"text":"cut o"#, Some("m")),
            (r#"{"contents":[{"parts":[{"text":"cut o"#, None),
            (r#"{"model":"m","model":"n"}"#, None),
            (r#"{"model":7}"#, None),
            (r#"{"model":""}"#, None),
            ("no JSON", None),
        ] {
            assert_eq!(model_in(body.as_bytes()).as_deref(), model, "{body}");
        }
    }
}
