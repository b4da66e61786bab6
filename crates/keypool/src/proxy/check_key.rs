//! The test of a key: a request for the provider's list of models, which uses no quota.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tower::{Layer, ServiceExt};
use tower_keypool::{Attempts, ErrorClass, Key, KeyPool, KeyPoolLayer};

use super::upstream::Upstream;
use crate::config::{PoolSettings, ProviderKind};

/// Timeout of the test. The dashboard waits 15 s for its result.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a list of models.
const MAX_LIST: usize = 8 << 20;
const CHECK_ADDRESS: &str =
    "check the provider's address: --upstream or [gateway] upstream, or upstream in [[providers]]";

/// The result of a key's test.
#[derive(Default)]
pub struct CheckedKey {
    /// Whether the provider returned a list of models.
    pub works: bool,
    pub class: Option<ErrorClass>,
    pub status: Option<u16>,
    /// The provider's error message, or why there was no response.
    pub message: Option<String>,
    /// The recommended action.
    pub advice: Option<&'static str>,
    /// Number of models that the key may use.
    pub models: Option<usize>,
    /// Duration of the test.
    pub took: Duration,
}

/// Tests a key with its own pool, so that it is tested even while it cools down or is disabled, and no pool changes.
pub async fn check_key(settings: &PoolSettings, key: Key, upstream: &Upstream) -> CheckedKey {
    let began = Instant::now();
    let checked = tokio::time::timeout(TIMEOUT, ask(settings, key, upstream)).await;
    let checked = checked.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
    let unknown = |message| CheckedKey { message: Some(message), ..CheckedKey::default() };
    CheckedKey { took: began.elapsed(), ..checked.unwrap_or_else(unknown) }
}

/// Lists the models with a key. Returns why, if there was no response.
async fn ask(settings: &PoolSettings, key: Key, upstream: &Upstream) -> Result<CheckedKey, String> {
    let pool = settings.builder().and_then(|builder| builder.key(key).wait(Duration::ZERO).build());
    let pool = pool.map_err(|error| error.to_string())?;
    let path = match settings.kind {
        ProviderKind::Gemini => "/v1beta/models?pageSize=1000",
        ProviderKind::OpenAi | ProviderKind::ApiKeyHeader => "/v1/models",
        ProviderKind::Anthropic => "/v1/models?limit=1000",
    };
    let mut request = Request::get(path).header(header::ACCEPT, "application/json");
    if settings.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", "2023-06-01");
    }
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    let (attempts, answer): (Attempts, _) =
        match KeyPoolLayer::new(&pool).layer(upstream.clone()).oneshot(request).await {
            Ok(answer) => (answer.extensions().get().cloned().unwrap_or_default(), Some(answer)),
            // The provider refused the request, and there is no other key.
            Err(error) if error.attempts().last().is_some_and(|attempt| attempt.status().is_some()) => {
                (error.attempts().clone(), None)
            }
            Err(error) => return Err(no_answer(&pool, &error)),
        };
    let mut checked =
        CheckedKey { status: answer.as_ref().map(|answer| answer.status().as_u16()), ..CheckedKey::default() };
    if let Some(failure) = attempts.last().and_then(|attempt| attempt.outcome().failure()) {
        let class = failure.class();
        let is_of_request = matches!(class, ErrorClass::Caller | ErrorClass::ModelNotFound);
        let unnamed = || format!("no reason from {}", pool.provider().base());
        return Ok(CheckedKey {
            class: Some(class),
            status: failure.status().map(|status| status.as_u16()).or(checked.status),
            message: Some(failure.message().map_or_else(unnamed, str::to_owned)),
            advice: Some(if is_of_request { CHECK_ADDRESS } else { class.policy().advice }),
            ..checked
        });
    }
    let Some(answer) = answer.filter(|answer| answer.status().is_success()) else { return Ok(checked) };
    let body = Limited::new(answer.into_body(), MAX_LIST).collect().await.map_err(|error| error.to_string())?;
    let Ok(value) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        checked.message = Some(format!("the list of models from {} is not JSON", pool.provider().base()));
        checked.advice = Some(CHECK_ADDRESS);
        return Ok(checked);
    };
    let models = value["models"].as_array().or_else(|| value["data"].as_array()).or_else(|| value.as_array());
    Ok(CheckedKey { works: true, models: models.map(Vec::len), ..checked })
}

/// Returns a message for a request without a response: the address and the root cause, such as `Connection refused`.
pub fn no_answer(pool: &KeyPool, error: &tower_keypool::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |&cause| cause.source());
    let cause = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    format!("no answer from {}: {cause}", pool.provider().base())
}
