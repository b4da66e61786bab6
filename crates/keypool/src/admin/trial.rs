//! One real call with a key, whatever the pool thinks of it: what the provider says.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_keypool::{KeyPool, KeyPoolLayer, Retry, ServedBy, Verdict, config::KeySpec};

use super::{
    Admin, Asked,
    answer::{Fault, fine},
    body::body_or_none,
    change::Done,
    keys::unknown,
    theirs::Theirs,
};
use crate::{client::Client, config::ProviderName, outgoing::Outgoing};

/// A provider that has said nothing by then says nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// Of an answer no more is read.
const LONGEST: usize = 1 << 20;

/// What a key is tried with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Trial {
    /// A model that is asked for one token, which counts against the key's quota. Unless set the models are listed, which
    /// costs nothing and tells whether the key is valid.
    model: Option<String>,
}

impl Admin {
    /// The key that a pool has under this name.
    pub(super) fn spec(&self, theirs: &Theirs, typed: &str) -> Option<KeySpec> {
        let called = |spec: &&KeySpec| spec.key().key_id().to_string() == typed;
        self.passing.named(&theirs.name, typed).or_else(|| theirs.keys.iter().find(called).cloned())
    }

    pub(super) async fn test(&self, theirs: &Theirs, typed: &str, asked: &Asked) -> Result<Done, Fault> {
        let Trial { model } = body_or_none(asked)?;
        let scene = self.scene();
        theirs.running(typed).await?;
        let spec = self.spec(theirs, typed).ok_or_else(unknown)?;
        self.no_token(&spec).await?;
        let provider = Arc::clone(&theirs.provider);
        let client = Client::through(provider.base(), &scene.loaded.roots, &scene.loaded.exits.ways);
        // A pool of its own: a key that rests is asked all the same, and no count or rest comes of it.
        let alone = KeyPool::builder_for(provider).key(spec.key()).build();
        let alone = alone.map_err(|error| Fault::wrong(error.to_string()))?;
        // One that is switched off is asked, too.
        alone.enable(&spec.key().key_id()).map_err(|error| Fault::wrong(error.to_string()))?;
        let at_root = alone.provider().base().path().is_empty();
        let request = request(theirs.kind, at_root, model.as_deref())?;
        // The provider's own answer is what is asked for, whatever it is.
        let stack = KeyPoolLayer::new(&alone).retry(Retry::new().max_retries(0)).layer(client);
        let began = self.clock.tick();
        let answered = tokio::time::timeout(PATIENCE, stack.oneshot(request)).await;
        let ms = self.clock.tick().since(began).as_millis() as u64;
        let (status, served, error) = match answered {
            Err(_) => (None, None, Some("the provider does not answer".to_owned())),
            Ok(Err(error)) => (None, error.served_by().cloned(), Some(error.to_string())),
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                // A connection that is read to its end can be used again; nobody looks at what it says.
                let _ = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
                (Some(head.status.as_u16()), head.extensions.get::<ServedBy>().cloned(), None)
            }
        };
        let verdict = served.as_ref().map(ServedBy::verdict);
        let advice = verdict.map(Verdict::advice_of).unwrap_or_default();
        let works = verdict.is_some_and(Verdict::is_success);
        let sentence = match (&error, works) {
            (Some(error), _) => error.clone(),
            (None, true) => "the provider took the key".to_owned(),
            (None, false) => {
                verdict.map_or_else(String::new, |verdict| format!("{} {}", verdict.kind(), verdict.code_of()))
            }
        };
        let told = json!({
            "id": typed,
            "works": works,
            "status": status,
            "verdict": verdict.map(Verdict::kind),
            "scope": verdict.filter(|_| !works).map(Verdict::scope_of),
            "code": verdict.map(Verdict::code_of),
            "ms": ms,
            "sentence": sentence.trim(),
            "advice": advice,
        });
        Ok(Done { answer: fine(&told), key: Some(typed.to_owned()) })
    }
}

/// `at_root`: the provider's base has no path, which names the version.
fn request(provider: ProviderName, at_root: bool, model: Option<&str>) -> Result<Request<Outgoing>, Fault> {
    use ProviderName as P;
    let fine = |model: &&str| model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
    let model = model.map(|model| model.strip_prefix("models/").unwrap_or(model));
    if model.is_some_and(|model| model.is_empty() || !fine(&model) || model.contains("..")) {
        return Err(Fault::wrong("model: that is no name of a model (leave it out to have the models listed)"));
    }
    let version = if at_root { "/v1" } else { "" };
    let (path, body) = match (provider, model) {
        (P::Gemini, None) => ("/v1beta/models?pageSize=1".to_owned(), None),
        (P::OpenAi, None) => (format!("{version}/models"), None),
        (P::Anthropic, None) => ("/v1/models".to_owned(), None),
        (P::Gemini, Some(model)) => {
            let body = json!({
                "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }],
                "generationConfig": { "maxOutputTokens": 1 },
            });
            (format!("/v1beta/models/{model}:generateContent"), Some(body))
        }
        (P::OpenAi, Some(model)) => {
            let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 1 });
            (format!("{version}/chat/completions"), Some(body))
        }
        (P::Anthropic, Some(model)) => {
            let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 1 });
            ("/v1/messages".to_owned(), Some(body))
        }
    };
    let text = body.as_ref().map(ToString::to_string).unwrap_or_default();
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request = request.header(header::CONTENT_LENGTH, text.len());
    }
    if provider == P::Anthropic {
        request = request.header("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    let pieces = if text.is_empty() { Vec::new() } else { vec![text.into()] };
    request.body(Outgoing::written(pieces)).map_err(|_| super::broken())
}
