//! A recorded answer: a file of `tests/samples`.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tower_keypool::{Answer, Anthropic, Gemini, OpenAi, Provider, Verdict};

/// A recorded answer.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What the collector of the samples says it means.
    pub(crate) classify: Value,
}

/// The moment at which samples are judged: their rate headers name times just after it.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560) // 2026-11-20T05:46:00Z
}

impl Sample {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
        let mut all: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| Self::read(&path))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn read(path: &Path) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let headers = json["headers"].as_object().into_iter().flatten().map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value.as_str().unwrap()).unwrap())
        });
        let body = match &json["body"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            json => json.to_string(),
        };
        Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            status: StatusCode::from_u16(json["status"].as_u64().unwrap().try_into().unwrap()).unwrap(),
            headers: headers.collect(),
            body: body.into_bytes(),
            classify: json["classify"].clone(),
        }
    }

    pub(crate) fn provider(&self) -> Box<dyn Provider> {
        match self.name.split('_').next().unwrap() {
            "gemini" | "geminiinteractions" | "geminiopenai" | "geminiupload" => Box::new(Gemini::new()),
            "openai" | "azure" | "openrouter" => Box::new(OpenAi::new()),
            "anthropic" => Box::new(Anthropic::new()),
            other => panic!("no provider for {other}"),
        }
    }

    /// Judged as the Cooldown layer would: a good stream by its body as an event.
    pub(crate) fn judged(&self) -> Verdict {
        let answer = Answer::new(self.status, &self.headers, &self.body, now());
        let stream = self.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event"));
        self.provider().judge(&if stream && self.status.is_success() { answer.event() } else { answer })
    }
}
