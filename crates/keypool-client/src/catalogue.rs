//! What else a provider is asked: tokens, embeddings, models.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{ContentEmbedding, EmbedContentRequest, Model},
    client::Client,
    error::Error,
    generate::body,
    path,
    reading::Whole,
};

/// Pages of models are no more than this.
const MOST_PAGES: usize = 100;

#[derive(Deserialize)]
struct Embedded {
    embedding: ContentEmbedding,
}

#[derive(Deserialize)]
struct AllEmbedded {
    embeddings: Vec<ContentEmbedding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    models: Vec<Model>,
    next_page_token: Option<String>,
}

impl Client {
    /// How many tokens a prompt has.
    ///
    /// # Errors
    /// As any request.
    pub async fn count_tokens(&self, prompt: impl Into<crate::api::Part>) -> Result<u64, Error> {
        self.generate(prompt).count_tokens().await
    }

    /// A text as numbers, by this model.
    ///
    /// # Errors
    /// As any request.
    pub async fn embed(&self, model: &str, text: impl Into<String>) -> Result<ContentEmbedding, Error> {
        let request =
            EmbedContentRequest { content: crate::api::Content::text(text), ..EmbedContentRequest::default() };
        self.embed_content(model, request).await
    }

    /// The same with all that can be said of it.
    ///
    /// # Errors
    /// As any request.
    pub async fn embed_content(&self, model: &str, request: EmbedContentRequest) -> Result<ContentEmbedding, Error> {
        let path = path::of_model(model, ":embedContent")?;
        let answer = self.send(Method::POST, &path, body(&request)?, None).await?;
        Whole::read(answer).await?.parse().map(|Embedded { embedding }| embedding)
    }

    /// Many texts in one call; each counts as a request.
    ///
    /// # Errors
    /// As any request.
    pub async fn embed_all(
        &self,
        model: &str,
        texts: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<ContentEmbedding>, Error> {
        let path = path::of_model(model, ":batchEmbedContents")?;
        let name = path::resource(model);
        let requests: Vec<_> = texts
            .into_iter()
            .map(|text| EmbedContentRequest {
                model: Some(name.clone()),
                content: crate::api::Content::text(text),
                ..EmbedContentRequest::default()
            })
            .collect();
        let answer = self.send(Method::POST, &path, body(&json!({ "requests": requests }))?, None).await?;
        Whole::read(answer).await?.parse().map(|AllEmbedded { embeddings }| embeddings)
    }

    /// All models that the provider lists.
    ///
    /// # Errors
    /// As any request.
    pub async fn models(&self) -> Result<Vec<Model>, Error> {
        let (mut models, mut page) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let path = format!("/v1beta/models?pageSize=1000{page}");
            let answer = self.send(Method::GET, &path, Bytes::new(), None).await?;
            let listed: Listed = Whole::read(answer).await?.parse()?;
            models.extend(listed.models);
            let Some(token) = listed.next_page_token.filter(|token| !token.is_empty()) else { break };
            page = format!("&pageToken={}", utf8_percent_encode(&token, NON_ALPHANUMERIC));
        }
        Ok(models)
    }
}
