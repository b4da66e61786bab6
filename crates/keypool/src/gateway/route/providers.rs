//! Other providers beside the gateway's own, each with a pool: named by a path, or by the model that a request asks for.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Uri, uri::PathAndQuery};
use keypool_dialect::model_of_form;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use tower_keypool::KeyPool;

use crate::gateway::{aliases::Aliases, dialect::Dialect, model_names};

/// What stands in front of a provider's name in a path: `/to/NAME/v1/models`.
pub(super) const FRONT: &str = "/to/";

/// One of them.
#[derive(Clone, Debug)]
pub struct Beside<S> {
    /// What paths call it.
    pub name: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Models that requests go to it for: names, or their beginnings with a `*` behind.
    pub models: Vec<String>,
    /// Its own stack.
    pub stack: S,
    /// Whose keys that takes, where it is to lead requests to the account that made what they name.
    pub pool: Option<KeyPool>,
    /// Other names of its models.
    pub aliases: Aliases,
}

impl<S> Beside<S> {
    /// What stands in front of paths that name it.
    pub(in crate::gateway) fn front(&self) -> String {
        format!("{}{}", FRONT, self.name)
    }

    /// Whether requests for a model go to it.
    pub(in crate::gateway) fn has(&self, model: &str) -> bool {
        model_names::is_among(&self.models, model)
    }
}

/// All of them, as they are now.
#[derive(Debug)]
pub(in crate::gateway) struct Others<S> {
    all: RwLock<Arc<[Beside<S>]>>,
    /// Most gateways have none, and each request would ask.
    is_empty: AtomicBool,
}

impl<S> Default for Others<S> {
    fn default() -> Self {
        Self { all: RwLock::new(Arc::new([])), is_empty: AtomicBool::new(true) }
    }
}

impl<S> Others<S> {
    /// Requests that come from now on find these.
    pub(in crate::gateway) fn change(&self, others: Vec<Beside<S>>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        self.is_empty.store(others.is_empty(), Ordering::Relaxed);
        *all = others.into();
    }

    /// Whether there is none.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::Relaxed)
    }

    fn read(&self) -> Arc<[Beside<S>]> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Clone> Others<S> {
    /// Each, with a stack of its own.
    pub(in crate::gateway) fn all(&self) -> Vec<Beside<S>> {
        self.read().to_vec()
    }

    /// The first that speaks a dialect.
    pub(in crate::gateway) fn first(&self, dialect: Dialect) -> Option<Beside<S>> {
        self.read().iter().find(|other| other.dialect == dialect).cloned()
    }

    /// The one of a dialect that requests for a model go to.
    pub(in crate::gateway) fn with_model(&self, dialect: Dialect, model: &str) -> Option<Beside<S>> {
        self.read().iter().find(|other| other.dialect == dialect && other.has(model)).cloned()
    }

    /// The one that a path names, and the path without it; `None`: the path names none that is there.
    pub(in crate::gateway) fn named_in(&self, uri: &Uri) -> Option<(Beside<S>, PathAndQuery)> {
        // Most paths are done here.
        let rest = uri.path().strip_prefix(FRONT)?;
        let (name, path) = rest.split_once('/')?;
        let other = self.read().iter().find(|other| other.name == name)?.clone();
        let target = match uri.query() {
            Some(query) => format!("/{path}?{query}"),
            None => format!("/{path}"),
        };
        Some((other, target.parse().ok()?))
    }
}

/// The model that a body asks for: of JSON, or of a form that brings a file. `None`, too, where two readers would see two.
pub(in crate::gateway) fn model_of(body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Asked>(body) {
        Ok(asked) => asked.model,
        Err(_) if body.starts_with(b"--") => model_of_form(body).map(str::to_owned),
        Err(_) => None,
    }
}

struct Asked {
    model: Option<String>,
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(body: D) -> Result<Self, D::Error> {
        body.deserialize_map(Asking)
    }
}

struct Asking;

/// A field's name.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Asking {
    type Value = Asked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Asked, A::Error> {
        let (mut model, mut named) = (None, 0);
        while let Some(Name(name)) = fields.next_key::<Name<'_>>()? {
            // Some readers do not care about case.
            named += usize::from(name.eq_ignore_ascii_case("model"));
            if name == "model" {
                model = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Asked { model: model.filter(|_| named == 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str, models: &[&str]) -> Beside<()> {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        Beside {
            name: name.to_owned(),
            dialect: Dialect::OpenAi,
            models,
            stack: (),
            pool: None,
            aliases: Aliases::default(),
        }
    }

    #[test]
    fn by_the_beginning_of_a_models_name() {
        let other = other("o", &["gpt-*", "o3"]);
        for (model, has) in [("gpt-5", true), ("gpt-", true), ("o3", true), ("o3-mini", false), ("my-gpt-5", false)] {
            assert_eq!(other.has(model), has, "{model}");
        }
    }

    #[test]
    fn by_a_path_that_goes_on_without_its_name() {
        let others = Others::default();
        others.change(vec![other("one", &[]), other("two", &[])]);
        for (path, expected) in [
            ("/to/two/v1/models?a=b", Some(("two", "/v1/models?a=b"))),
            ("/to/one/", Some(("one", "/"))),
            ("/to/one", None),
            ("/to/three/v1/models", None),
            ("/tone/v1", None),
            ("/v1/to/one/x", None),
        ] {
            let uri: Uri = path.parse().unwrap();
            let found = others.named_in(&uri).map(|(other, rest)| (other.name, rest.to_string()));
            assert_eq!(found.as_ref().map(|(name, rest)| (&**name, &**rest)), expected, "{path}");
        }
    }

    #[test]
    fn a_model_is_found_wherever_it_stands() {
        assert_eq!(model_of(br#"{"x":[{"model":"no"}],"model":"a\u002db"}"#).as_deref(), Some("a-b"));
        assert_eq!(model_of(b"--form"), None);
        let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x--\r\n";
        assert_eq!(model_of(form.as_bytes()).as_deref(), Some("whisper-1"));
        for two in [r#"{"model":"a","model":"b"}"#, r#"{"Model":"a","model":"b"}"#, r#"{"model":"a","m\u006fdel":"b"}"#]
        {
            assert_eq!(model_of(two.as_bytes()), None, "two readers would see two models: {two}");
        }
    }
}
