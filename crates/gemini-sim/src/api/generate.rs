//! `generateContent`, its streams, and `countTokens`.

use serde_json::{Value, json};

use super::exchange::Exchange;
use crate::AnswerText;
use crate::answer::{Content, Generated, Reply, native};
use crate::check::{check_function_calls, check_model, check_prompt, file_ids};
use crate::refusal::ApiError;
use crate::tokens::tokens_of_prompt;

pub(super) fn generate(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let prompt = std::mem::take(&mut exchange.request);
    let model = &exchange.call.model;
    exchange.model()?;
    check_prompt("GenerateContentRequest", &prompt)?;
    check_function_calls(&prompt)?;
    check_model(&prompt, model)?;
    let generated = exchange.generated(&prompt)?;
    Ok(native(&generated, exchange.call.format(), exchange.simulator.settings.chunks))
}

pub(super) fn count_tokens(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    exchange.model()?;
    let request = &exchange.request;
    let inner = request.get("generate_content_request");
    if inner.is_some() && request.get("contents").is_some() {
        return Err(ApiError::malformed(
            "* CountTokensRequest.contents: contents and generate_content_request are mutually exclusive\n",
        ));
    }
    let prompt = inner.unwrap_or(request);
    check_prompt("CountTokensRequest", prompt)?;
    let tokens = tokens_of_prompt(prompt);
    Ok(Reply::json(&json!({
        "totalTokens": tokens,
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": tokens }],
    })))
}

impl Exchange<'_> {
    /// Charges a checked prompt, and generates its answer.
    pub(super) fn generated(&mut self, prompt: &Value) -> Result<Generated, ApiError> {
        let (call, model) = (self.call, self.model()?);
        self.check_files(prompt)?;
        let cached_tokens = self.cached_tokens(prompt)?;
        let prompt_tokens = tokens_of_prompt(prompt) + cached_tokens;
        self.charge(&model, 1, prompt_tokens)?;
        let answer = match self.faults.answer_text() {
            Some(text) => AnswerText::Fixed(text.replace("{key}", call.credentials.secret())),
            None => self.simulator.settings.answer.clone(),
        };
        let (content, truncated) = Content::of(prompt, &answer);
        Ok(Generated {
            content,
            finish: self.faults.finish().cloned(),
            truncated,
            candidates: prompt["generation_config"]["candidate_count"].as_u64().unwrap_or(1),
            prompt_tokens,
            cached_tokens,
            model: call.model.clone(),
            id: self.state.new_id(),
        })
    }

    /// Checks that all uploaded files of a prompt belong to the project.
    pub(super) fn check_files(&mut self, prompt: &Value) -> Result<(), ApiError> {
        for id in file_ids(prompt) {
            self.state.resources.get(self.project, &format!("files/{id}"), self.call.wall)?;
        }
        Ok(())
    }

    /// Returns the tokens of the prompt's cache, or zero without a cache. The cache must belong to the project and be
    /// made for the model.
    fn cached_tokens(&mut self, prompt: &Value) -> Result<u64, ApiError> {
        let Some(name) = prompt["cached_content"].as_str() else { return Ok(0) };
        let id = name.strip_prefix("cachedContents/").unwrap_or(name);
        let cache = self.state.resources.get(self.project, &format!("cachedContents/{id}"), self.call.wall)?;
        let (model, cached) =
            (format!("models/{}", self.call.model), cache.shown["model"].as_str().unwrap_or_default());
        if model != cached {
            return Err(ApiError::malformed(format!(
                "Model used by GenerateContent request ({model}) and CachedContent ({cached}) has to be the same."
            )));
        }
        let is_given = |name: &str| prompt.get(name).is_some_and(|value| *value != json!([]));
        if ["system_instruction", "tool_config", "tools"].into_iter().any(is_given) {
            return Err(ApiError::malformed(
                "CachedContent can not be used with GenerateContent request setting system_instruction, tools or \
                 tool_config.",
            ));
        }
        Ok(cache.shown["usageMetadata"]["totalTokenCount"].as_u64().unwrap_or(0))
    }
}
