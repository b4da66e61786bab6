//! Which dialect a path is of, and what becomes of the request.

use bytes::Bytes;
use http::{HeaderMap, Response, Uri, header, request::Parts, uri::PathAndQuery};
use http_body_util::Full;

use super::task::{Task, task};
use crate::gateway::dialect::Dialect;

/// How callers' dialects are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects {
    /// The provider's own.
    pub provider: Dialect,
    /// That of `OpenAI` is translated; else it goes to the provider's own compatible endpoint.
    pub translates_openai: bool,
    /// What would change an answer and cannot be had is refused; else it is ignored.
    pub strict: bool,
    /// Images that stand elsewhere are fetched for a request that names them.
    pub fetches: bool,
}

impl Default for Dialects {
    fn default() -> Self {
        Self { provider: Dialect::Gemini, translates_openai: true, strict: true, fetches: false }
    }
}

impl Dialects {
    /// How callers of other dialects meet the provider.
    pub(in crate::gateway) fn own(self) -> Own {
        match self.provider {
            Dialect::Gemini if self.translates_openai => Own::Translated,
            Dialect::Gemini => Own::Compatible,
            provider => Own::Speaks(provider),
        }
    }
}

/// The gateway's own provider, as a caller of another dialect meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Own {
    /// It speaks Gemini's: requests are translated.
    Translated,
    /// The same, and requests go to its endpoint for `OpenAI`'s clients.
    Compatible,
    /// It speaks another dialect.
    Speaks(Dialect),
}

impl Own {
    /// What its stack speaks.
    pub(in crate::gateway) fn dialect(self) -> Dialect {
        match self {
            Self::Translated | Self::Compatible => Dialect::Gemini,
            Self::Speaks(dialect) => dialect,
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Way {
    /// It goes on as it is.
    Through,
    /// It goes on under another path.
    Moved(PathAndQuery),
    /// It is translated.
    Translated(Dialect, Task),
    /// The dialect has the path, and it cannot be had here.
    Nowhere(Dialect),
    /// The path is of a dialect that no provider here speaks, and that is translated for none of them.
    Foreign(Dialect),
    /// The dialect has the path as the provider has it, too: the credential made it the other dialect's.
    Mistaken(Dialect),
    /// A tenant asks for what would be nobody's there.
    Nobodys(Dialect),
    /// The path names a provider that is not there.
    Unnamed(Dialect),
}

impl Way {
    /// What is said where it leads nowhere.
    pub(in crate::gateway) fn dead_end(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        match self {
            Self::Through | Self::Moved(_) | Self::Translated(..) => None,
            Self::Nowhere(dialect) => Some(dialect.nowhere(path)),
            Self::Foreign(dialect) => Some(dialect.foreign()),
            Self::Mistaken(dialect) => Some(dialect.mistaken()),
            Self::Nobodys(dialect) => Some(dialect.nobodys()),
            Self::Unnamed(dialect) => Some(dialect.unnamed()),
        }
    }
}

/// First segments, behind the version, that only the API of `OpenAI` has.
pub(super) const OPENAI: [&str; 20] = [
    "chat",
    "completions",
    "embeddings",
    "responses",
    "images",
    "audio",
    "moderations",
    "assistants",
    "threads",
    "vector_stores",
    "uploads",
    "fine_tuning",
    "conversations",
    "containers",
    "evals",
    "realtime",
    "videos",
    "organization",
    "chatkit",
    "content_provenance_checks",
];
/// In front of the paths of Google's endpoint for `OpenAI`'s clients.
pub(in crate::gateway) const COMPATIBLE: &str = "/v1beta/openai";

/// Those that several APIs have.
pub(super) const SHARED: [&str; 3] = ["models", "files", "batches"];

/// Whether several APIs have the path behind the version.
fn is_shared(rest: &str) -> bool {
    SHARED.contains(&rest.trim_start_matches('/').split('/').next().unwrap_or_default())
}

impl Dialect {
    /// Reads it from the path, and from the headers that only one API's clients send.
    pub fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        if path.starts_with("/v1beta/models") {
            return Self::Gemini;
        }
        match forced(path) {
            Some((Self::Gemini, rest)) if behind(rest, COMPATIBLE).is_some() => Self::OpenAi,
            Some((dialect, _)) => dialect,
            None if behind(path, COMPATIBLE).is_some() => Self::OpenAi,
            None => {
                let head = (&head.headers, &head.uri);
                match behind(path, "/v1") {
                    Some(rest) => unforced(rest, head),
                    None => unversioned(path).unwrap_or_else(|| by_credential(head, false)),
                }
            }
        }
    }
}

/// What stands behind a prefix that is whole segments.
pub(in crate::gateway) fn behind<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The dialect that a prefix names, and the path behind it.
pub(in crate::gateway) fn forced(path: &str) -> Option<(Dialect, &str)> {
    [("/openai", Dialect::OpenAi), ("/anthropic", Dialect::Anthropic), ("/gemini", Dialect::Gemini)]
        .into_iter()
        .find_map(|(prefix, dialect)| Some((dialect, behind(path, prefix)?)))
}

/// The dialect of a path behind `/v1` that names none.
pub(in crate::gateway) fn unforced(rest: &str, head: (&HeaderMap, &Uri)) -> Dialect {
    let mut segments = rest.trim_start_matches('/').split('/');
    let (first, second) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    if OPENAI.contains(&first) {
        return Dialect::OpenAi;
    }
    match first {
        "messages" => Dialect::Anthropic,
        // A verb behind a model is native.
        first if SHARED.contains(&first) && !has_verb(second) => by_credential(head, true),
        // Two have them, neither of them Gemini.
        "skills" => by_credential(head, true),
        _ => by_credential(head, false),
    }
}

/// Whether a verb stands behind what a segment names. Those that `OpenAI` tuned for somebody have colons in their names.
pub(super) fn has_verb(segment: &str) -> bool {
    let mut parts = segment.split(':').flat_map(|part| part.split("%3"));
    parts.next() != Some("ft") && parts.next().is_some()
}

/// The dialect of a path that has no version, and that only one API would have behind one.
fn unversioned(path: &str) -> Option<Dialect> {
    match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "messages" => Some(Dialect::Anthropic),
        first => OPENAI.contains(&first).then_some(Dialect::OpenAi),
    }
}

/// The dialect whose clients send such a credential. `shared`: a bearer speaks for `OpenAI`'s.
pub(in crate::gateway) fn by_credential((headers, uri): (&HeaderMap, &Uri), shared: bool) -> Dialect {
    let has = |name: &str| headers.contains_key(name);
    let query = uri.query().unwrap_or_default();
    let native = has("x-goog-api-key") || query.split('&').any(|pair| pair.starts_with("key="));
    if native {
        Dialect::Gemini
    } else if has("anthropic-version") {
        // Nobody else's client says so. Whether its token is a bearer goes by the client's version.
        Dialect::Anthropic
    } else if shared && headers.contains_key(header::AUTHORIZATION) {
        Dialect::OpenAi
    } else {
        Dialect::Gemini
    }
}

impl Way {
    /// The other path that it goes on under.
    pub(in crate::gateway) fn target(&self) -> Option<&PathAndQuery> {
        match self {
            Self::Moved(target) => Some(target),
            _ => None,
        }
    }

    /// Of a request as it came.
    pub(in crate::gateway) fn of(dialects: Dialects, (headers, uri): (&HeaderMap, &Uri)) -> Self {
        let path = uri.path();
        // Nearly every path of the provider's own.
        if path.starts_with("/v1beta/models") {
            return Self::Through;
        }
        let named = forced(path);
        let native = named.filter(|(dialect, _)| *dialect == Dialect::Gemini).map_or(path, |(_, rest)| rest);
        if dialects.provider == Dialect::Gemini
            && let Some(task) = behind(native, COMPATIBLE).and_then(models_alone)
        {
            return Self::Translated(Dialect::OpenAi, task);
        }
        if let Some((dialect, rest)) = named
            && dialect == dialects.provider
        {
            return moved(uri, rest);
        }
        if dialects.provider != Dialect::Gemini {
            return named.map_or(Self::Through, |(dialect, _)| Self::Foreign(dialect));
        }
        let (dialect, rest) = match named {
            // The base URL of these clients ends with the version, or does not.
            Some((dialect, rest)) => (dialect, behind(rest, "/v1").unwrap_or(rest)),
            None => match behind(path, "/v1") {
                Some(rest) => (unforced(rest, (headers, uri)), rest),
                None => return Self::beside((headers, uri)),
            },
        };
        match dialect {
            Dialect::Gemini => Self::Through,
            Dialect::OpenAi if !dialects.translates_openai => match models_alone(rest) {
                Some(task) => Self::Translated(dialect, task),
                None => compatible(uri, rest),
            },
            dialect => match task(dialect, rest) {
                Some(task) => Self::Translated(dialect, task),
                None if named.is_none() && is_shared(rest) => Self::Mistaken(dialect),
                None => Self::Nowhere(dialect),
            },
        }
    }

    /// Of a path that no API but one client knows: Claude Code tells its maker of itself at `/api/event_logging/batch`.
    fn beside(head: (&HeaderMap, &Uri)) -> Self {
        let of_anthropics = by_credential(head, true) == Dialect::Anthropic;
        let is_beside = !head.1.path().starts_with("/v") && of_anthropics;
        if is_beside { Self::Nowhere(Dialect::Anthropic) } else { Self::Through }
    }
}

/// Which models there are is told by the gateway at Google's endpoint for `OpenAI`'s clients, too: what that lists is one key's,
/// and a tenant's list of models is nothing to it.
fn models_alone(rest: &str) -> Option<Task> {
    task(Dialect::OpenAi, rest).filter(|task| matches!(task, Task::Models | Task::Model(_)))
}

/// The target of a path in which a prefix names the dialect, without that.
pub(in crate::gateway) fn unprefixed(uri: &Uri) -> Option<PathAndQuery> {
    moved(uri, forced(uri.path())?.1).target().cloned()
}

/// The same at Google's endpoint for `OpenAI`'s clients.
fn compatible(uri: &Uri, rest: &str) -> Way {
    let path = format!("{COMPATIBLE}{rest}");
    let target = match uri.query().and_then(known_there) {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    target.parse().map_or(Way::Through, Way::Moved)
}

/// What of a query goes on to Google's endpoint for `OpenAI`'s clients, which refuses what it does not know there: Azure's
/// clients say which version of their API they mean.
pub(in crate::gateway) fn known_there(query: &str) -> Option<String> {
    let others: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("api-version=")).collect();
    (!others.is_empty()).then(|| others.join("&"))
}

fn moved(uri: &Uri, path: &str) -> Way {
    let path = if path.is_empty() { "/" } else { path };
    with_path(uri, path).map_or(Way::Through, Way::Moved)
}

/// A path with the query of this address.
pub(super) fn with_path(uri: &Uri, path: &str) -> Option<PathAndQuery> {
    match uri.query() {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

/// Gives an address another path. Who it names as its host stays: that is looked at by whoever lets it in.
pub(super) fn redirect(uri: &mut Uri, target: PathAndQuery) {
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target.clone());
    *uri = Uri::from_parts(parts).unwrap_or_else(|_| target.into());
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(path: &str, header: &str) -> Parts {
        let request = Request::post(path);
        let request = match header {
            "" => request,
            header => request.header(header, "Bearer x"),
        };
        request.body(()).unwrap().into_parts().0
    }

    fn way(dialects: Dialects, path: &str, header: &str) -> String {
        let head = head(path, header);
        match Way::of(dialects, (&head.headers, &head.uri)) {
            Way::Through => "through".to_owned(),
            Way::Moved(to) => to.to_string(),
            Way::Translated(dialect, task) => format!("{dialect:?} {task:?}"),
            Way::Nowhere(dialect) => format!("{dialect:?} nowhere"),
            Way::Foreign(dialect) => format!("{dialect:?} foreign"),
            Way::Nobodys(dialect) => format!("{dialect:?} nobody's"),
            Way::Mistaken(dialect) => format!("{dialect:?} by mistake"),
            Way::Unnamed(dialect) => format!("{dialect:?} unnamed"),
        }
    }

    #[test]
    fn paths_of_gemini_pools() {
        for (path, header, expected) in [
            ("/v1beta/models/m:generateContent", "authorization", "through"),
            ("/v1/models/m:generateContent", "authorization", "through"),
            ("/v1/models/m%3AgenerateContent", "authorization", "through"),
            ("/v1beta/openai/chat/completions", "authorization", "through"),
            ("/v1beta/openai/models", "authorization", "OpenAi Models"),
            ("/gemini/v1beta/openai/models/m", "", "OpenAi Model(\"m\")"),
            ("/upload/v1beta/files", "", "through"),
            ("/v1/chat/completions", "authorization", "OpenAi Chat"),
            ("/v1/chat/completions", "x-goog-api-key", "OpenAi Chat"),
            ("/v1/embeddings", "", "OpenAi Embeddings"),
            ("/v1/responses", "", "OpenAi Respond"),
            ("/v1/responses/input_tokens", "", "OpenAi CountResponse"),
            ("/v1/responses/resp_1", "", "OpenAi nowhere"),
            ("/v1/images/generations", "", "OpenAi Draw"),
            ("/v1/images/edits", "", "OpenAi Redraw"),
            ("/v1/completions", "", "OpenAi Complete"),
            ("/v1/images/variations", "", "OpenAi nowhere"),
            ("/v1/audio/speech", "", "OpenAi Sound(Speech)"),
            ("/openai/v1/audio/transcriptions", "", "OpenAi Sound(Transcription)"),
            ("/v1/audio/translations", "", "OpenAi Sound(Translation)"),
            ("/v1/messages", "x-api-key", "Anthropic Chat"),
            ("/v1/messages/count_tokens", "", "Anthropic Count"),
            ("/v1/models", "authorization", "OpenAi Models"),
            ("/v1/models", "x-goog-api-key", "through"),
            ("/v1/models?key=x", "authorization", "through"),
            ("/v1/models", "", "through"),
            ("/v1/models", "anthropic-version", "Anthropic Models"),
            ("/v1/models/m", "authorization", "OpenAi Model(\"m\")"),
            ("/v1/models/models%2Fm", "authorization", "OpenAi Model(\"models/m\")"),
            ("/v1/models/ft:gpt-4o:acme::a1", "authorization", "OpenAi Model(\"ft:gpt-4o:acme::a1\")"),
            ("/v1/models/ft%3agpt-4o%3aacme", "authorization", "OpenAi Model(\"ft:gpt-4o:acme\")"),
            ("/v1/models/ft:gpt-4o:acme::a1", "x-goog-api-key", "through"),
            ("/v1/files", "authorization", "OpenAi by mistake"),
            ("/v1/batches/b", "authorization", "OpenAi by mistake"),
            ("/v1/files", "anthropic-version", "Anthropic by mistake"),
            ("/v1/skills", "anthropic-version", "Anthropic nowhere"),
            ("/v1/skills/s/versions", "authorization", "OpenAi nowhere"),
            ("/v1/skills", "x-goog-api-key", "through"),
            ("/v1/agents", "anthropic-version", "Anthropic nowhere"),
            ("/v1/agents", "authorization", "through"),
            ("/v1/files", "x-goog-api-key", "through"),
            ("/v1beta/files", "authorization", "through"),
            ("/openai/v1/files", "authorization", "OpenAi nowhere"),
            ("/openai/v1/models", "x-goog-api-key", "OpenAi Models"),
            ("/openai/models/m", "", "OpenAi Model(\"m\")"),
            ("/openai/v1/chat/completions", "", "OpenAi Chat"),
            ("/anthropic/v1/messages", "", "Anthropic Chat"),
            ("/anthropic/v1/models", "authorization", "Anthropic Models"),
            ("/gemini/v1beta/models?pageSize=2", "", "/v1beta/models?pageSize=2"),
            ("/gemini", "", "/"),
            ("/geminis/v1", "", "through"),
            ("/v10/chat/completions", "", "through"),
            ("/v1/uploads", "authorization", "OpenAi nowhere"),
            ("/api/event_logging/batch", "anthropic-version", "Anthropic nowhere"),
            ("/v1beta/files", "anthropic-version", "through"),
            ("/v1/fine_tuning/jobs", "authorization", "OpenAi nowhere"),
        ] {
            let expected = expected.replace("\\\"", "\"");
            assert_eq!(way(Dialects::default(), path, header), expected, "{path} {header}");
        }
    }

    #[test]
    fn the_providers_own_endpoint_by_a_switch() {
        let dialects = Dialects { translates_openai: false, ..Dialects::default() };
        for (path, expected) in [
            ("/v1/chat/completions", "/v1beta/openai/chat/completions"),
            ("/openai/v1/images/generations?a=b", "/v1beta/openai/images/generations?a=b"),
            // Azure's clients.
            ("/openai/v1/chat/completions?api-version=1", "/v1beta/openai/chat/completions"),
            ("/openai/v1/files?limit=2&api-version=1&after=f", "/v1beta/openai/files?limit=2&after=f"),
            ("/v1/models", "OpenAi Models"),
            ("/v1/messages", "Anthropic Chat"),
        ] {
            assert_eq!(way(dialects, path, "authorization"), expected);
        }
    }

    #[test]
    fn pools_of_other_providers_are_not_translated() {
        let dialects = Dialects { provider: Dialect::OpenAi, ..Dialects::default() };
        for (path, expected) in [
            ("/v1/chat/completions", "through"),
            ("/openai/v1/chat/completions", "/v1/chat/completions"),
            ("/anthropic/v1/messages", "Anthropic foreign"),
            ("/gemini/v1beta/models", "Gemini foreign"),
            ("/v1/messages", "through"),
        ] {
            assert_eq!(way(dialects, path, "authorization"), expected);
        }
    }

    #[test]
    fn refusals_are_in_the_callers_shape() {
        for (path, header, expected) in [
            ("/v1/chat/completions", "", Dialect::OpenAi),
            ("/v1beta/openai/models", "", Dialect::OpenAi),
            ("/openai/v1/x", "", Dialect::OpenAi),
            ("/v1/messages", "", Dialect::Anthropic),
            ("/anthropic", "", Dialect::Anthropic),
            ("/gemini/v1/models", "authorization", Dialect::Gemini),
            ("/gemini/v1beta/openai/chat/completions", "authorization", Dialect::OpenAi),
            ("/v1/models", "authorization", Dialect::OpenAi),
            ("/v1beta/files", "authorization", Dialect::Gemini),
            ("/chat/completions", "authorization", Dialect::OpenAi),
            ("/messages", "", Dialect::Anthropic),
        ] {
            assert_eq!(Dialect::of(&head(path, header)), expected, "{path}");
        }
    }
}
