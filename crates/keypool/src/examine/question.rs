//! The calls: a list of models, which proves the key, and where the provider counts tokens for nothing one such count,
//! since a list is given to keys that may do nothing else.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::Body;
use http_body_util::BodyExt;
use keypool_client::Client;
use serde_json::{Value, json};
use tower_keypool::{BoxError, Clock, KeyPool, Retry, ServedBy, Verdict, VerdictKind, config::KeySpec};

use super::{
    Finding, Group, Manner, Standing,
    tier::{Asked, Pays},
};
use crate::client::Calls;

/// A list of models is no longer than this.
const LONGEST: usize = 8 << 20;
/// Where providers name the owner in their answers' heads.
const OWNERS: [&str; 2] = ["openai-organization", "anthropic-organization-id"];

/// What keys of one provider are asked, and over which connections.
#[derive(Debug)]
pub(super) struct Question {
    name: String,
    client: Client,
    manner: Manner,
    list: &'static str,
    counts: bool,
}

impl Question {
    pub(super) fn new(group: &Group, calls: &Calls, manner: Manner, patience: Duration) -> Self {
        let at_root = group.provider.base().path().is_empty();
        let (list, counts) = match group.provider.name() {
            "gemini" => ("/v1beta/models?pageSize=1000", true),
            "anthropic" => ("/v1/models?limit=1000", false),
            _ if at_root => ("/v1/models", false),
            _ => ("/models", false),
        };
        // Connections are made over a pool without a key, and lent to one for each call.
        let pool = KeyPool::builder_for(Arc::clone(&group.provider)).build().expect("no key is wrong");
        let client = Client::builder(&pool).timeout(patience).transport(calls.clone()).build();
        Self { name: group.name.clone(), client, manner, list, counts }
    }
}

/// An answer, as far as it tells of the key.
struct Answer {
    verdict: Verdict,
    headers: HeaderMap,
    body: Value,
    took: Duration,
}

/// A key while it is asked.
pub(super) struct Asking<'a> {
    question: &'a Question,
    key: &'a KeySpec,
    clock: Clock,
    calls: u32,
}

impl<'a> Asking<'a> {
    pub(super) fn new(question: &'a Question, key: &'a KeySpec) -> Self {
        Self { question, key, clock: Clock::system(), calls: 0 }
    }

    /// Asks, and says what was found.
    pub(super) async fn finding(mut self) -> Finding {
        let listed = self.ask(Method::GET, self.question.list, &Bytes::new(), is_list).await;
        let models = names(&listed.body);
        let head = listed.headers.clone();
        let mut last = listed;
        let tried = self.question.counts.then(|| self.model(&last.body)).flatten();
        if let (VerdictKind::Success, Some(model)) = (last.verdict.kind(), &tried) {
            let path = format!("/v1beta/{model}:countTokens");
            let body = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] }).to_string();
            last = self.ask(Method::POST, &path, &Bytes::from(body), is_about_a_model).await;
        }
        self.found(models, tried.as_deref(), &head, &last)
    }

    /// One call, made again where that may help.
    async fn ask(&mut self, method: Method, path: &str, body: &Bytes, is_theirs: fn(&Value) -> bool) -> Answer {
        let mut retries = 0;
        loop {
            let answer = self.call(method.clone(), path, body.clone(), is_theirs).await;
            self.calls += 1;
            let again = answer.verdict.is_provider_fault()
                || answer.verdict.kind() == VerdictKind::Broken
                // A key that was made just now is not known everywhere: once more.
                || (answer.verdict.confirm_after_of().is_some() && retries == 0);
            if !again || retries >= self.question.manner.max_retries {
                return answer;
            }
            retries += 1;
            tokio::time::sleep(self.question.manner.retry_delay).await;
        }
    }

    /// `is_theirs`: whether an answer that finds no fault with the key is one that only its provider gives.
    async fn call(&self, method: Method, path: &str, body: Bytes, is_theirs: fn(&Value) -> bool) -> Answer {
        // A fresh pool: what the last answer did to the key must not stand in the way.
        let mut key = KeySpec::new(self.key.secret(), self.key.origin());
        key.exit.clone_from(&self.key.exit);
        let provider = Arc::clone(self.question.client.pool().provider());
        let made = KeyPool::builder_for(provider).key(key.key()).wait(Duration::ZERO).build();
        let Ok(pool) = made else {
            let verdict = Verdict::new(VerdictKind::InvalidKey).advice("it cannot be sent: it is no key");
            return Answer { verdict, headers: HeaderMap::new(), body: Value::Null, took: Duration::ZERO };
        };
        let client = self.question.client.over(&pool, Retry::new().max_retries(0));
        let begun = self.clock.tick();
        let answered = client.raw(method, path, body).await;
        let mut answer = match answered {
            Ok(answer) => {
                let (mut head, body) = answer.into_parts();
                let served = head.extensions.remove::<ServedBy>();
                let mut verdict = served.map_or(Verdict::UNJUDGED, |served| served.verdict().clone());
                let body = if let Some(body) = whole(body).await {
                    serde_json::from_slice(&body).unwrap_or_default()
                } else {
                    verdict = broken("the answer broke off; try again");
                    Value::Null
                };
                if Standing::of(&verdict) == Standing::Usable && !is_theirs(&body) {
                    let what = "no such answer is the provider's: is that the provider's address?";
                    verdict = broken(what).code("not the provider's").status(head.status);
                }
                Answer { verdict, headers: head.headers, body, took: Duration::ZERO }
            }
            Err(error) => {
                let verdict = error.served_by().map(|served| served.verdict().clone());
                let verdict = verdict.unwrap_or_else(|| broken(error.to_string()));
                Answer { verdict, headers: HeaderMap::new(), body: Value::Null, took: Duration::ZERO }
            }
        };
        answer.took = self.clock.tick().since(begun);
        answer
    }

    /// The model that is tried: the one that was named, the usual one, or the first that can be.
    fn model(&self, listed: &Value) -> Option<String> {
        if let Some(model) = &self.question.manner.model {
            let name = model.strip_prefix("models/").unwrap_or(model);
            // A tuned model has a collection of its own.
            return Some(if name.starts_with("tunedModels/") { name.to_owned() } else { format!("models/{name}") });
        }
        let usual = format!("models/{}", keypool_client::DEFAULT_MODEL);
        let can = |model: &&Value| {
            let methods = model["supportedGenerationMethods"].as_array();
            methods.is_some_and(|methods| methods.iter().any(|method| method == "countTokens"))
        };
        let named = |model: &Value| model["name"].as_str().filter(|name| is_plain(name)).map(str::to_owned);
        let able: Vec<String> = listed["models"].as_array()?.iter().filter(can).filter_map(named).collect();
        able.iter().find(|name| **name == usual).or(able.first()).cloned()
    }

    /// `tried`: the model that was; `head`: that of the first answer.
    fn found(self, models: Vec<String>, tried: Option<&str>, head: &HeaderMap, last: &Answer) -> Finding {
        let verdict = &last.verdict;
        let standing = Standing::of(verdict);
        let news = verdict.news_of();
        let told = OWNERS.iter().find_map(|name| last.headers.get(*name)?.to_str().ok()).map(str::to_owned);
        let asked = Asked {
            provider: &**self.question.client.pool().provider(),
            configured: self.key.tier.as_ref(),
            model: tried.map(|name| name.strip_prefix("models/").unwrap_or(name)),
        };
        let Pays { tier, by: tier_by } = Pays::of(&asked, &[head, &last.headers], verdict);
        Finding {
            id: self.key.key().key_id().to_string(),
            hash: self.key.hash(),
            provider: self.question.name.clone(),
            origins: self.key.origins.iter().map(ToString::to_string).collect(),
            verdict: standing,
            usable: standing.is_usable(),
            for_good: standing.is_for_good(),
            code: verdict.code_of().to_owned(),
            status: verdict.status_of().map(|status| status.as_u16()),
            models,
            tier,
            tier_by,
            owner: news.and_then(|news| news.consumer.clone()).or(told).or_else(|| self.key.owner.clone()),
            latency: Some(last.took),
            calls: self.calls,
            advice: advice(standing, verdict),
        }
    }
}

/// What proves a key: whoever gives it knows the provider's models.
fn is_list(body: &Value) -> bool {
    body["models"].is_array() || body["data"].is_array()
}

/// So many tokens, or why not in the provider's own words: it looked at the key first.
fn is_about_a_model(body: &Value) -> bool {
    body["totalTokens"].is_u64() || body["error"]["status"].is_string()
}

/// A body, if it comes to its end and is no longer than it may be.
async fn whole<B: Body<Data = Bytes, Error = BoxError>>(body: B) -> Option<Vec<u8>> {
    let (mut body, mut read) = (std::pin::pin!(body), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        read.extend_from_slice(&data);
        if read.len() > LONGEST {
            return None;
        }
    }
    Some(read)
}

/// No answer that tells.
fn broken(advice: impl Into<std::borrow::Cow<'static, str>>) -> Verdict {
    Verdict::new(VerdictKind::Broken).code("no answer").advice(advice)
}

fn advice(standing: Standing, verdict: &Verdict) -> String {
    match (standing, verdict.advice_of()) {
        (Standing::Usable, _) => String::new(),
        (Standing::Unclear, "") => "try again later".to_owned(),
        (Standing::Suspect, "") => "refused without a reason: look at the key and its project".to_owned(),
        (_, advice) => advice.to_owned(),
    }
}

/// Of Gemini (`models`), or of the others (`data`).
fn names(listed: &Value) -> Vec<String> {
    let models = listed["models"].as_array().or_else(|| listed["data"].as_array());
    let name = |model: &Value| model["name"].as_str().or_else(|| model["id"].as_str()).map(str::to_owned);
    let names = models.into_iter().flatten().filter_map(name);
    names.map(|name| name.strip_prefix("models/").map(str::to_owned).unwrap_or(name)).collect()
}

/// It goes into a path.
fn is_plain(name: &str) -> bool {
    name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
}
