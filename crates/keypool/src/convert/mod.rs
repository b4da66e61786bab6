//! Translation of requests of OpenAI and Anthropic clients for Gemini, with the dialect crate.

mod exchange;
mod media;
mod stream;

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use keypool_dialect::{
    Conversation, Error, ErrorKind, Frontend, Mode, NativeRequest, Request, ResponseTranslator,
    anthropic::count_tokens,
    openai::{embeddings::Embeddings, images::Images},
};
use moka::sync::Cache;
use tower_keypool::{Attempts, Usage, pool::Attempt};

pub use self::media::Media;
use self::{
    exchange::{Caller, ConvertError, Exchange},
    stream::Translation,
};
use crate::{
    app::AppState,
    dialect::Dialect,
    error::ApiError,
    proxy::{
        body::{Collected, check_readable},
        handler::Incoming,
        route::{Endpoint, Route},
    },
};

/// Translates a request for Gemini, sends it, and translates the response.
///
/// # Errors
/// 400 if the provider is not Gemini. Other errors become responses in the form that clients of the dialect know.
pub async fn serve(incoming: Incoming) -> Result<Response, ApiError> {
    check_dialects(&incoming)?;
    let answer = translate(&incoming).await;
    Ok(answer.unwrap_or_else(|failure| failure.into_response(&incoming.app, frontend(&incoming.route))))
}

/// Returns the frontend of a route, which reads its conversations and formats its errors.
fn frontend(route: &Route) -> Frontend {
    match route.endpoint {
        Endpoint::Responses => Frontend::Responses,
        Endpoint::Speech => Frontend::Speech,
        Endpoint::Transcription => Frontend::Transcription,
        Endpoint::Translation => Frontend::Translation,
        _ if route.dialect == Dialect::Anthropic => Frontend::Messages,
        _ => Frontend::Chat,
    }
}

async fn translate(incoming: &Incoming) -> Result<Response, ConvertError> {
    let Incoming { app, route, head, body, .. } = incoming;
    if route.endpoint == Endpoint::Other {
        return Err(untranslatable(&route.path).into());
    }
    if head.method != Method::POST {
        return Err(Error::new(ErrorKind::UnknownPath, format!("{} takes a POST", route.path)).into());
    }
    let Some(data) = body.data() else {
        let most = app.settings().replay_limit() >> 20;
        let why = format!("a translated request may have at most {most} MiB (gateway.replay_mib)");
        return Err(Error::new(ErrorKind::TooLarge, why).into());
    };
    check_readable(&head.headers)?;
    let mode = mode(app, &head.headers)?;
    let caller = Caller::new(incoming);
    match route.endpoint {
        Endpoint::Embeddings => {
            let request = Embeddings::parse(data, mode)?;
            let answers = caller.all(request.encode()?).await?;
            let answer = request.answer(&answers.bodies)?;
            Ok(answers.head.respond(app, "application/json", request.ignored(), answer.into()))
        }
        Endpoint::Images => {
            let is_edit = route.path.trim_end_matches('/').ends_with("/edits");
            let request = if is_edit { Images::parse_edit(data, mode) } else { Images::parse(data, mode) }?;
            let answers = caller.all(request.encode()?).await?;
            let answer = request.answer(&answers.bodies, now())?;
            Ok(answers.head.respond(app, "application/json", request.ignored(), answer.into()))
        }
        _ => {
            let mut request = frontend(route).parse(data, mode)?;
            app.media.fetch(&mut request.conversation).await?;
            app.signatures.restore(&mut request.conversation);
            if route.endpoint == Endpoint::CountTokens {
                let answers = caller.all(vec![encoded(app, &request, NativeRequest::count_tokens)?]).await?;
                let answer = count_tokens::answer(&answers.bodies[0])?;
                return Ok(answers.head.respond(app, "application/json", request.ignored(), answer.into()));
            }
            converse(app, &caller, Arc::new(request)).await
        }
    }
}

/// Sends a conversation, and returns its response or stream.
async fn converse(app: &AppState, caller: &Caller<'_>, request: Arc<Request>) -> Result<Response, ConvertError> {
    let exchange =
        caller.exchange(encoded(app, &request, NativeRequest::generate)?).await?.encoded_for_each_model(&request);
    let mut quota = caller.admit(std::slice::from_ref(&exchange)).await?;
    let mut answer = request.answer(&format!("{:016x}", fastrand::u64(..)), now());
    let model = &request.conversation.model;
    if request.conversation.stream {
        return Translation::new(exchange, answer, model, quota).respond(caller, request.ignored()).await;
    }
    let sent = whole_answer(&exchange, &mut answer, model).await;
    app.signatures.keep(&mut answer);
    let usage = answer.usage();
    quota.report_usage(Usage::new(usage.input, usage.output));
    let (body, attempts) = sent.inspect_err(|failure| {
        if usage.input == 0 {
            quota.end_unserved(failure.result());
        }
    })?;
    Ok(exchange.served(attempts).respond(app, answer.media_type(), request.ignored(), body.into()))
}

/// Sends a request, up to twice, and returns the translated response.
async fn whole_answer(
    exchange: &Exchange,
    answer: &mut ResponseTranslator,
    model: &str,
) -> Result<(Bytes, Attempts), ConvertError> {
    let (body, mut attempts) = exchange.send(None).await?;
    let mut read = Ok(());
    if let Ok(body) = exchange::whole(body).await {
        answer.restart(served_model(&attempts, model));
        read = answer.whole(&body);
    }
    if may_be_better(&read, answer)
        && let Ok((body, again)) = exchange.send(Some(&attempts)).await
        && let Ok(body) = exchange::whole(body).await
    {
        attempts = again;
        answer.restart(served_model(&attempts, model));
        read = answer.whole(&body);
    }
    match read.and_then(|()| answer.finish()) {
        Ok(body) => Ok((body, attempts)),
        Err(error) => Err(ConvertError::from(error).after(attempts)),
    }
}

/// Encodes a request for the model that its alias stands for. The path keeps the alias, which has a list of fallbacks.
fn encoded(
    app: &AppState,
    request: &Request,
    encode: fn(&Conversation) -> Result<NativeRequest, Error>,
) -> Result<NativeRequest, Error> {
    let named = &request.conversation.model;
    let model = app.pools.resolved(named);
    if model == named {
        return encode(&request.conversation);
    }
    let mut resolved = request.conversation.clone();
    model.clone_into(&mut resolved.model);
    let mut native = encode(&resolved)?;
    native.path = native.path.replacen(&format!("/{model}:"), &format!("/{named}:"), 1);
    Ok(native)
}

/// Returns the model of the last attempt, which is another than the requested one after a fallback.
fn served_model<'a>(attempts: &'a Attempts, requested: &'a str) -> &'a str {
    attempts.last().and_then(Attempt::model).unwrap_or(requested)
}

/// Reports whether a second attempt makes sense: the answer is unusable, and nothing of it was sent to the client.
fn may_be_better<T>(read: &Result<T, Error>, answer: &ResponseTranslator) -> bool {
    let is_useless = match read {
        Ok(_) => answer.outcome().is_retryable(),
        Err(error) => matches!(error.kind(), ErrorKind::BadUpstream | ErrorKind::Unavailable),
    };
    is_useless && !answer.has_begun()
}

/// Refuses requests for providers other than Gemini: only requests for Gemini are translated.
fn check_dialects(incoming: &Incoming) -> Result<(), ApiError> {
    let provider = &incoming.provider;
    let path = match provider.dialect {
        Dialect::Gemini => return Ok(()),
        Dialect::OpenAi => "/v1/chat/completions",
        Dialect::Anthropic => "/v1/messages",
    };
    let model = incoming.model.as_deref().map_or_else(|| "this".to_owned(), |model| format!("the model {model}"));
    Err(ApiError::bad_request(format!(
        "{model} is served by {}, whose API is not that of {}: send it to {path}, as its own clients do",
        provider.name, incoming.route.path
    )))
}

/// Returns the error for an endpoint of OpenAI or Anthropic that has no counterpart in Gemini, with an alternative.
fn untranslatable(path: &str) -> Error {
    let behind = path.trim_start_matches('/');
    let behind = behind.strip_prefix("v1/").unwrap_or(behind).trim_end_matches('/');
    let instead = match behind.split('/').next().unwrap_or_default() {
        "completions" => "send a chat to /v1/chat/completions",
        "files" | "uploads" => {
            "send data in the messages (data URLs), or upload with a Gemini client to /upload/v1beta/files and name the \
             file as files/…"
        }
        "batches" => "use `keypool batch`, or Gemini's own batches at /v1beta/models/MODEL:batchGenerateContent",
        "messages" => "send each message to /v1/messages",
        "moderations" => "Gemini's own safety settings decide what is blocked",
        "responses" if behind.ends_with("/input_tokens") => "count tokens at /v1beta/models/MODEL:countTokens",
        "responses" | "conversations" => "responses are not kept here: send the whole conversation to /v1/responses",
        "images" => "use /v1/images/generations or /v1/images/edits",
        "realtime" => "use Gemini's Live API at /ws/",
        _ => {
            "use /v1/chat/completions, /v1/responses, /v1/messages, /v1/embeddings, /v1/images/generations, \
             /v1/audio/speech, /v1/audio/transcriptions or Gemini's own API at /v1beta"
        }
    };
    Error::new(ErrorKind::UnknownPath, format!("{path} is not translated for Gemini models: {instead}"))
}

/// Returns how strictly a request is read: as configured, unless its header `x-keypool-strict` overrides it.
fn mode(app: &AppState, headers: &HeaderMap) -> Result<Mode, Error> {
    let strict = match headers.get("x-keypool-strict").map(HeaderValue::as_bytes) {
        None => app.settings().strict,
        Some(b"true" | b"1") => true,
        Some(b"false" | b"0") => false,
        Some(_) => return Err(Error::new(ErrorKind::InvalidRequest, "x-keypool-strict: expected true or false")),
    };
    Ok(if strict { Mode::Strict } else { Mode::Lax })
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The thought signatures of tool calls, by the ids of the calls. Clients send the calls back without their signatures.
pub struct Signatures(Cache<String, Arc<str>>);

impl Default for Signatures {
    fn default() -> Self {
        const MAX_BYTES: u64 = 64 << 20;
        let bytes =
            |id: &String, signature: &Arc<str>| (id.len() + signature.len() + 100).try_into().unwrap_or(u32::MAX);
        let kept = Cache::builder().max_capacity(MAX_BYTES).weigher(bytes);
        Self(kept.time_to_idle(Duration::from_secs(24 * 3_600)).build())
    }
}

impl Signatures {
    fn keep(&self, answer: &mut ResponseTranslator) {
        for (id, signature) in answer.take_signatures() {
            self.0.insert(id, signature.into());
        }
    }

    fn restore(&self, conversation: &mut Conversation) {
        conversation.restore_signatures(|id| self.0.get(id).map(|signature| (*signature).to_owned()));
    }
}

/// Removes the blocks that only this gateway understands from a body for Anthropic or OpenAI.
pub fn without_gateway_parts(route: &Route, body: &mut Collected) {
    let frontend = match route.endpoint {
        Endpoint::Messages | Endpoint::CountTokens => Frontend::Messages,
        Endpoint::Chat => Frontend::Chat,
        Endpoint::Responses => Frontend::Responses,
        _ => return,
    };
    debug_assert_ne!(route.dialect, Dialect::Gemini);
    if let Some(cleaned) = body.data().and_then(|data| keypool_dialect::without_gateway_parts(frontend, data)) {
        *body = Collected::whole(cleaned);
    }
}
