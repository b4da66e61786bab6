//! One request for an answer, while it is being made.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::Value;
use tower_keypool::{Demand, ServedBy, VerdictKind};
use tracing::{Instrument, Span};

use crate::{
    answer::Answer,
    api::{Content, GenerateContentRequest, GenerateContentResponse, Part, SafetySetting, ThinkingConfig, Tool},
    client::{Client, RawAnswer},
    error::{Error, ErrorKind},
    length, path,
    reading::Whole,
    stream::AnswerStream,
};

/// One request for an answer. Say more of it, then await it, or [`stream`](Self::stream) it.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Generate {
    client: Client,
    request: GenerateContentRequest,
    model: Option<Arc<str>>,
    request_id: Option<String>,
    wait: Option<Duration>,
}

impl Generate {
    pub(crate) fn new(client: Client, request: GenerateContentRequest) -> Self {
        Self { client, request, model: None, request_id: None, wait: None }
    }

    /// Another model than the client's.
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// What the model goes by.
    pub fn system(mut self, instruction: impl Into<String>) -> Self {
        self.request.system_instruction = Some(Content::text(instruction));
        self
    }

    /// How free it is: 0 to 2.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.request.config().temperature = Some(temperature);
        self
    }

    /// At most this many tokens, thoughts included.
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.request.config().max_output_tokens = Some(tokens);
        self
    }

    /// Only the likeliest tokens with this much probability together: 0 to 1.
    pub fn top_p(mut self, share: f64) -> Self {
        self.request.config().top_p = Some(share);
        self
    }

    /// Only this many likeliest tokens.
    pub fn top_k(mut self, tokens: u32) -> Self {
        self.request.config().top_k = Some(tokens);
        self
    }

    /// It ends before one of these.
    pub fn stop(mut self, sequences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.request.config().stop_sequences = sequences.into_iter().map(Into::into).collect();
        self
    }

    /// From which probability on a category is blocked: `HARM_CATEGORY_…`, `BLOCK_…`.
    pub fn safety(mut self, category: impl Into<String>, threshold: impl Into<String>) -> Self {
        let setting =
            SafetySetting { category: category.into(), threshold: threshold.into(), ..SafetySetting::default() };
        self.request.safety_settings.push(setting);
        self
    }

    /// The answer is JSON.
    pub fn json_mode(mut self) -> Self {
        self.request.config().response_mime_type = Some("application/json".to_owned());
        self
    }

    /// The answer is JSON of this form (JSON Schema).
    pub fn json_schema(mut self, schema: Value) -> Self {
        self.request.config().response_json_schema = Some(schema);
        self.json_mode()
    }

    /// What the model may use.
    pub fn tool(mut self, tool: Tool) -> Self {
        self.request.tools.push(tool);
        self
    }

    /// A picture, a sound or a document beside the prompt: `image/png` and the bytes.
    pub fn data(self, mime_type: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        self.part(Part::data(mime_type, bytes))
    }

    /// An uploaded file beside the prompt.
    pub fn file(self, mime_type: impl Into<String>, uri: impl Into<String>) -> Self {
        self.part(Part::file(mime_type, uri))
    }

    /// Anything more in the last turn.
    pub fn part(mut self, part: Part) -> Self {
        match self.request.contents.last_mut() {
            Some(last) => last.parts.push(part),
            None => self.request.contents.push(Content::user([part])),
        }
        self
    }

    /// Tokens for thoughts (2.5): 0 for none, -1 as the model sees fit.
    pub fn thinking_budget(mut self, tokens: i32) -> Self {
        self.thinking().thinking_budget = Some(tokens);
        self
    }

    /// How much it thinks (3): `minimal`, `low`, `medium`, `high`.
    pub fn thinking_level(mut self, level: impl Into<String>) -> Self {
        self.thinking().thinking_level = Some(level.into());
        self
    }

    fn thinking(&mut self) -> &mut ThinkingConfig {
        self.request.config().thinking_config.get_or_insert_default()
    }

    /// A name for it, kept in the answer and in the error. What is logged of it by `tracing` stands in a span `request` with
    /// this `request_id`.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// How long it waits for a key.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The request as it stands, for what has no method here.
    pub fn request_mut(&mut self) -> &mut GenerateContentRequest {
        &mut self.request
    }

    /// Sends it, and gives the answer piece by piece.
    ///
    /// # Errors
    /// When no key may carry it, no answer came, or the provider refused it.
    pub async fn stream(self) -> Result<AnswerStream, Error> {
        let span = self.span();
        let begun = async { self.begin_stream().await.map_err(|error| self.told(error)) };
        let answer = begun.instrument(span.clone()).await?;
        Ok(AnswerStream::new(answer, self.request_id, span))
    }

    async fn begin_stream(&self) -> Result<RawAnswer, Error> {
        let path = path::of_model(self.asked(), ":streamGenerateContent?alt=sse")?;
        let answer = self.client.send(Method::POST, &path, self.body()?, self.demand()).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let whole = Whole::read(answer).await?;
        Err(whole.refused().with(None, whole.served_by))
    }

    /// How many tokens it has, by the model that would answer it.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub async fn count_tokens(self) -> Result<u64, Error> {
        let counted = async { self.count().await.map_err(|error| self.told(error)) };
        counted.instrument(self.span()).await
    }

    async fn count(&self) -> Result<u64, Error> {
        let said = serde_json::to_value(&self.request).map_err(unmade)?;
        if said.as_object().is_some_and(|said| said.len() == 1) {
            // Nothing but contents, which name no model.
            return self.count_by(&self.client, self.asked(), &said).await;
        }
        // The body names the model, and stepping down changes the path alone: here it is stepped by hand.
        let name = self.asked().strip_prefix("models/").unwrap_or(self.asked());
        let models = self.client.models_in_place().chain(name);
        let client = self.client.keeping_models();
        let mut first = None;
        for model in models {
            let mut request = said.clone();
            request["model"] = path::resource(&model).into();
            match self.count_by(&client, &model, &serde_json::json!({ "generateContentRequest": request })).await {
                Err(error) if is_out(&error) => drop(first.get_or_insert(error)),
                counted => return counted,
            }
        }
        Err(first.unwrap_or_else(|| Error::new(ErrorKind::Unmade(format!("{name:?} stands for no model")))))
    }

    async fn count_by(&self, client: &Client, model: &str, asked: &Value) -> Result<u64, Error> {
        let path = path::of_model(model, ":countTokens")?;
        let answer = client.send(Method::POST, &path, body(asked)?, self.demand()).await?;
        let counted: crate::api::CountTokensResponse = Whole::read(answer).await?.parse()?;
        Ok(counted.total_tokens)
    }

    /// None for a request without an id.
    fn span(&self) -> Span {
        match &self.request_id {
            Some(id) => tracing::info_span!("request", request_id = %id),
            None => Span::none(),
        }
    }

    fn asked(&self) -> &Arc<str> {
        self.model.as_ref().unwrap_or_else(|| self.client.model())
    }

    /// What goes out. JSON has no word for what is no number, and would say nothing.
    fn body(&self) -> Result<Bytes, Error> {
        let config = self.request.generation_config.as_ref();
        let mut numbers = config.into_iter().flat_map(|all| [("temperature", all.temperature), ("top_p", all.top_p)]);
        if let Some((name, _)) = numbers.find(|(_, number)| number.is_some_and(|number| !number.is_finite())) {
            return Err(Error::new(ErrorKind::Unmade(format!("{name} is no number"))));
        }
        let body = body(&self.request)?;
        let chain = || self.client.models_in_place().chain(self.asked());
        let never = length::never_fits(&body, || length::most_tokens(self.client.pool(), &chain()));
        never.map_or(Ok(body), |said| Err(Error::new(ErrorKind::Unmade(said))))
    }

    fn demand(&self) -> Option<Demand> {
        self.wait.map(|wait| Demand::any_model().wait(wait))
    }

    async fn send(self) -> Result<Answer, Error> {
        let (response, served_by) = self.answered().await.map_err(|error| self.told(error))?;
        let answer = Answer { response, served_by, request_id: self.request_id };
        answered(answer.served_by());
        Ok(answer)
    }

    async fn answered(&self) -> Result<(GenerateContentResponse, Option<ServedBy>), Error> {
        let path = path::of_model(self.asked(), ":generateContent")?;
        let answer = self.client.send(Method::POST, &path, self.body()?, self.demand()).await?;
        let whole = Whole::read(answer).await?;
        Ok((whole.parse()?, whole.served_by))
    }

    /// Names the request in an error that goes to whoever asked, and tells of it.
    fn told(&self, error: Error) -> Error {
        told(error.with(self.request_id.as_deref(), None))
    }
}

impl IntoFuture for Generate {
    type Output = Result<Answer, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = self.span();
        Box::pin(self.send().instrument(span))
    }
}

/// Whether another model may be asked in the place of the one that was.
fn is_out(error: &Error) -> bool {
    let without = |served: &ServedBy| served.verdict().kind() == VerdictKind::ModelUnavailable;
    error.is_exhausted() || error.served_by().is_some_and(without)
}

/// Tells of an answer that came to its good end.
pub(crate) fn answered(served: Option<&ServedBy>) {
    tracing::debug!(
        key = served.and_then(ServedBy::key).map(tracing::field::display),
        attempts = served.map_or(1, ServedBy::attempts),
        model = served.and_then(ServedBy::used_model),
        "answered"
    );
}

/// Tells of an error that goes to whoever asked.
pub(crate) fn told(error: Error) -> Error {
    tracing::debug!(
        key = error.key_id().map(tracing::field::display),
        attempts = error.attempts(),
        "not answered: {error}"
    );
    error
}

pub(crate) fn body(request: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(request).map(Bytes::from).map_err(unmade)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unmade(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Unmade(error.to_string()))
}
