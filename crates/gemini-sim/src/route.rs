//! From a method and a path to a call.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::query::Query;
use crate::refusal::Wrapping;
use crate::store::Collection;

/// How a streamed answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON document.
    Whole,
    /// `alt=sse`.
    Events,
    /// One JSON list, an item at a time.
    List,
}

/// What is asked of the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Generate(Form),
    CountTokens,
    Embed,
    BatchEmbed,
    Predict,
    ListModels,
    GetModel,
    StartUpload,
    Upload,
    ListFiles,
    GetFile(String),
    DeleteFile(String),
    CreateCache,
    ListCaches,
    GetCache(String),
    UpdateCache(String),
    DeleteCache(String),
    Chat,
    ChatEmbeddings,
    ChatModels,
    ChatModel,
    Tune,
    Batch,
    BatchEmbedLater,
    PredictLong,
    Interact,
    /// Of this interaction, or of nothing.
    MakeToken(Option<String>),
    ListThings(Collection),
    GetThing(Collection, String),
    CancelThing(Collection, String),
    DeleteThing(Collection, String),
}

/// A call, the model that its path names (if any), and the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) version: String,
    pub(crate) call: Call,
    pub(crate) model: Option<String>,
}

const VERSIONS: &[&str] = &["v1", "v1beta", "v1beta2", "v1beta3", "v1alpha"];

impl Route {
    /// None when no such path has that method.
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Option<Self> {
        let mut segments: Vec<String> = path
            .strip_prefix('/')?
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let upload = segments.first().is_some_and(|first| first == "upload");
        if upload {
            segments.remove(0);
        }
        let version = segments.first()?.clone();
        if !VERSIONS.contains(&version.as_str()) {
            return None;
        }
        let rest: Vec<&str> = segments[1..].iter().map(String::as_str).collect();
        let (call, model) = if upload {
            (upload_call(method, &rest, query)?, None)
        } else {
            call(method, &rest, query.wants_events())?
        };
        Some(Self { version, call, model })
    }

    /// The method's name as error messages write it.
    pub(crate) fn method(&self) -> &'static str {
        match self.call {
            Call::Generate(Form::Whole) | Call::Chat => "generateContent",
            Call::Generate(_) => "streamGenerateContent",
            Call::CountTokens => "countTokens",
            Call::Embed | Call::ChatEmbeddings => "embedContent",
            Call::BatchEmbed => "batchEmbedContents",
            Call::Predict => "predict",
            Call::ListModels | Call::ChatModels => "listModels",
            Call::GetModel | Call::ChatModel => "getModel",
            Call::StartUpload | Call::Upload => "createFile",
            Call::ListFiles => "listFiles",
            Call::GetFile(_) => "getFile",
            Call::DeleteFile(_) => "deleteFile",
            Call::CreateCache => "createCachedContent",
            Call::ListCaches => "listCachedContents",
            Call::GetCache(_) => "getCachedContent",
            Call::UpdateCache(_) => "updateCachedContent",
            Call::DeleteCache(_) => "deleteCachedContent",
            Call::Tune => "createTunedModel",
            Call::Batch => "batchGenerateContent",
            Call::BatchEmbedLater => "asyncBatchEmbedContent",
            Call::PredictLong => "predictLongRunning",
            Call::Interact => "createInteraction",
            Call::MakeToken(_) => "createAuthToken",
            Call::ListThings(_) => "listThings",
            Call::GetThing(..) => "getThing",
            Call::CancelThing(..) => "cancelThing",
            Call::DeleteThing(..) => "deleteThing",
        }
    }

    pub(crate) fn is_compatible(&self) -> bool {
        matches!(self.call, Call::Chat | Call::ChatEmbeddings | Call::ChatModels | Call::ChatModel)
    }

    /// How its errors come.
    pub(crate) fn wrapping(&self) -> Wrapping {
        match self.call {
            Call::Interact
            | Call::ListThings(Collection::Interaction)
            | Call::GetThing(Collection::Interaction, _)
            | Call::CancelThing(Collection::Interaction, _)
            | Call::DeleteThing(Collection::Interaction, _) => Wrapping::Worded,
            Call::Generate(Form::List) => Wrapping::Listed,
            _ if self.is_compatible() => Wrapping::Listed,
            _ => Wrapping::Bare,
        }
    }

    /// Query parameters of this call alone.
    pub(crate) fn parameters(&self) -> &'static [&'static str] {
        match self.call {
            Call::ListModels | Call::ListFiles | Call::ListCaches | Call::ListThings(_) => &["pageSize", "pageToken"],
            Call::Upload => &["upload_id"],
            Call::UpdateCache(_) => &["updateMask"],
            Call::GetThing(Collection::Interaction, _) => &["stream", "last_event_id", "include_input"],
            _ => &[],
        }
    }
}

fn upload_call(method: &Method, rest: &[&str], query: &Query) -> Option<Call> {
    let started = query.get("upload_id").is_some();
    match rest {
        ["files"] if started && (method == Method::POST || method == Method::PUT) => Some(Call::Upload),
        ["files"] if method == Method::POST => Some(Call::StartUpload),
        _ => None,
    }
}

fn call(method: &Method, rest: &[&str], events: bool) -> Option<(Call, Option<String>)> {
    let get = *method == Method::GET;
    let post = *method == Method::POST;
    let delete = *method == Method::DELETE;
    let patch = *method == Method::PATCH;
    let own = |id: &str| id.to_owned();
    let plain = |call| Some((call, None));
    match *rest {
        ["models"] if get => plain(Call::ListModels),
        ["models", name] if post => verb(name, events),
        ["models", name] if get && !name.contains(':') => Some((Call::GetModel, Some(own(name)))),
        ["tunedModels", name] if post => verb(name, events),
        ["files"] if get => plain(Call::ListFiles),
        ["files", id] if get => plain(Call::GetFile(own(id))),
        ["files", id] if delete => plain(Call::DeleteFile(own(id))),
        ["cachedContents"] if get => plain(Call::ListCaches),
        ["cachedContents"] if post => plain(Call::CreateCache),
        ["cachedContents", id] if get => plain(Call::GetCache(own(id))),
        ["cachedContents", id] if patch => plain(Call::UpdateCache(own(id))),
        ["cachedContents", id] if delete => plain(Call::DeleteCache(own(id))),
        ["tunedModels"] if post => plain(Call::Tune),
        ["interactions"] if post => plain(Call::Interact),
        ["auth_tokens"] if post => plain(Call::MakeToken(None)),
        ["interactions", id, "auth_tokens"] if post => plain(Call::MakeToken(Some(own(id)))),
        ["models", model, "operations", id] if get => {
            plain(Call::GetThing(Collection::Operation, format!("models/{model}/operations/{id}")))
        }
        ["tunedModels", id, "operations", _] if get => {
            plain(Call::GetThing(Collection::Tuned, format!("tunedModels/{id}")))
        }
        ["interactions", id, "cancel"] if post => {
            plain(Call::CancelThing(Collection::Interaction, format!("interactions/{id}")))
        }
        ["openai", "chat", "completions"] if post => plain(Call::Chat),
        ["openai", "embeddings"] if post => plain(Call::ChatEmbeddings),
        ["openai", "models"] if get => plain(Call::ChatModels),
        ["openai", "models", name] if get => Some((Call::ChatModel, Some(own(name)))),
        ["openai", "models", "models", name] if get => Some((Call::ChatModel, Some(own(name)))),
        [collection] if get => plain(Call::ListThings(family(collection)?)),
        [collection, id] => {
            let (id, verb) = id.split_once(':').unwrap_or((id, ""));
            let (family, name) = (family(collection)?, format!("{collection}/{id}"));
            match verb {
                "" if get => plain(Call::GetThing(family, name)),
                "" if delete => plain(Call::DeleteThing(family, name)),
                "cancel" if post => plain(Call::CancelThing(family, name)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn family(collection: &str) -> Option<Collection> {
    [Collection::Tuned, Collection::Batch, Collection::Interaction]
        .into_iter()
        .find(|family| family.word() == collection)
}

fn verb(name: &str, events: bool) -> Option<(Call, Option<String>)> {
    let (model, verb) = name.rsplit_once(':')?;
    let call = match verb {
        "generateContent" => Call::Generate(Form::Whole),
        "streamGenerateContent" if events => Call::Generate(Form::Events),
        "streamGenerateContent" => Call::Generate(Form::List),
        "countTokens" => Call::CountTokens,
        "embedContent" => Call::Embed,
        "batchEmbedContents" => Call::BatchEmbed,
        "predict" => Call::Predict,
        "batchGenerateContent" => Call::Batch,
        "asyncBatchEmbedContent" => Call::BatchEmbedLater,
        "predictLongRunning" => Call::PredictLong,
        _ => return None,
    };
    Some((call, Some(model.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, path: &str) -> Option<(Call, Option<String>)> {
        Route::parse(method, path, &Query::default()).map(|route| (route.call, route.model))
    }

    #[test]
    fn every_version_leads_to_the_same_call() {
        for version in ["v1", "v1beta", "v1alpha"] {
            let path = format!("/{version}/models/gemini-2.5-flash:generateContent");
            let route = Route::parse(&Method::POST, &path, &Query::default()).unwrap();
            assert_eq!(route.version, version);
            assert_eq!(route.call, Call::Generate(Form::Whole));
            assert_eq!(route.model.as_deref(), Some("gemini-2.5-flash"));
        }
    }

    #[test]
    fn an_encoded_colon_is_a_colon() {
        let found = parse(&Method::POST, "/v1/models/m%3AcountTokens");
        assert_eq!(found, Some((Call::CountTokens, Some("m".into()))));
    }

    #[test]
    fn what_leads_nowhere() {
        assert_eq!(parse(&Method::GET, "/models"), None);
        assert_eq!(parse(&Method::GET, "/v2/models"), None);
        assert_eq!(parse(&Method::GET, "/v1/models/m:generateContent"), None);
        assert_eq!(parse(&Method::POST, "/v1/models/m:dance"), None);
        assert_eq!(parse(&Method::POST, "/v1/models"), None);
        assert_eq!(parse(&Method::POST, "/v1//models/m:countTokens"), None);
    }
}
