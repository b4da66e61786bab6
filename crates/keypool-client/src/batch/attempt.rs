//! One task sent once: what came of it, and whose fault it is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use serde_json::value::RawValue;
use tower_keypool::{Attempt, KeyId, Lease, ServedBy, Usage, Verdict, VerdictKind};

use super::{
    Json, answered::Answered, astray::is_astray, dialect::Dialect, events::FaultKind, shared::Shared, unmet, work::Work,
};
use crate::{
    error::{Error, ErrorKind},
    reading::{Unlike, Whole},
};

/// What came of one attempt, or of several over other keys.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) outcome: Result<Good, Bad>,
    pub(crate) served_by: Option<ServedBy>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) took: Duration,
}

/// An answer that can be used.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) text: Option<String>,
    pub(crate) json: Option<Json>,
    pub(crate) parts: Vec<Json>,
}

/// One that cannot.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) whose: FaultKind,
    /// Sent again, it fails again.
    pub(crate) invalid: bool,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) code: Option<String>,
    /// What was said all the same.
    pub(crate) text: Option<String>,
    /// Nothing can be sent any more.
    pub(crate) fatal: bool,
    /// How long the provider asks to wait.
    pub(crate) asked: Option<Duration>,
    /// The model is not to be had: by anybody, or by those who were asked. Whether the provider named the cause.
    pub(crate) without_model: Option<bool>,
    /// What it refers to is another owner's, and no key but this one's was asked.
    pub(crate) of_another: bool,
    /// Whoever said it is no provider.
    pub(crate) astray: bool,
    /// What came where an answer was to come.
    pub(crate) met: Option<Box<Unlike>>,
    /// It is not for the tier of those who were asked: a quota of none, which is asked for again another day.
    pub(crate) without_quota: bool,
}

/// The code of an exit that lets nothing out.
const EXIT: &str = "exit";
/// Why a good answer with nothing in it ended whose account is limited: the pool rests its key for that.
const LIMITED: &str = "PUP_LIMITED_DISABLED";
/// The kind of a task's fault whose model nobody has.
pub(super) const NO_MODEL: &str = "model_unavailable";
/// The code of a request whose lease ended before it could go out.
const VOID: &str = "void";

impl Bad {
    /// Whether no other request would arrive either: an exit that fails rests, and others go by another one.
    pub(crate) fn holds_all(&self) -> bool {
        self.code.as_deref() != Some(EXIT)
    }

    pub(super) fn new(whose: FaultKind, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (code, text, asked, without_model) = (None, None, None, None);
        Self {
            whose,
            invalid: false,
            kind,
            message,
            code,
            text,
            fatal: false,
            asked,
            without_model,
            astray: false,
            met: None,
            without_quota: false,
            of_another: false,
        }
    }

    /// Whether nothing came of it but that its key's lease had ended before it could go out.
    pub(super) fn is_void(&self) -> bool {
        self.code.as_deref() == Some(VOID)
    }

    /// Whether the account behind the key is limited, as a good answer said.
    pub(super) fn is_limited_account(&self) -> bool {
        self.whose == FaultKind::Key && self.code.as_deref() == Some(LIMITED)
    }

    fn of_task(kind: &'static str, message: impl Into<String>, text: Option<String>) -> Self {
        Self { text, ..Self::new(FaultKind::Task, kind, message) }
    }
}

/// Sends a task with this lease. `key`: no other key may carry it.
pub(crate) async fn send(shared: &Shared, work: &Work, model: &Arc<str>, lease: Lease, key: Option<&KeyId>) -> Tried {
    let clock = shared.client.pool().clock();
    let begun = clock.tick();
    shared.begins(begun);
    let demand = super::worker::demand(work, model, key).wait(Duration::ZERO).leased(lease);
    let demand = match (&work.names, shared.dialect) {
        (Some(_), _) => demand.of_resource(),
        // What a refusal says of its key depends on that.
        (None, Dialect::Gemini) => demand.names_nothing(),
        (None, _) => demand,
    };
    let call = async {
        let (path, body) = if *model == work.model {
            (Arc::clone(&work.path), work.body.clone())
        } else {
            (shared.dialect.path(model)?.into(), in_place(&work.body, model))
        };
        let answer = shared.client.send_by(Method::POST, &path, body, Some(demand)).await?;
        Whole::read(answer).await
    };
    let answered = tokio::time::timeout(shared.options.timeout, std::pin::pin!(call)).await;
    let mut tried = match answered {
        Ok(Ok(whole)) => judge(shared, whole, key.is_some()),
        Ok(Err(error)) => {
            let served_by = error.served_by().cloned();
            Tried {
                outcome: Err(of_error(shared, &error, key.is_some())),
                served_by,
                usage: None,
                finish_reason: None,
                took: Duration::ZERO,
            }
        }
        Err(_) => {
            let bad = Bad::new(FaultKind::Task, "timeout", "no whole answer came in time");
            Tried { outcome: Err(bad), served_by: None, usage: None, finish_reason: None, took: Duration::ZERO }
        }
    };
    tried.took = clock.tick().since(begun);
    tried
}

/// The same body for another model, where it names one.
fn in_place(body: &Bytes, model: &str) -> Bytes {
    let written = || {
        let mut request: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
        let model = serde_json::value::to_raw_value(model).ok()?;
        *request.get_mut("model")? = &model;
        serde_json::to_vec(&request).ok()
    };
    written().map_or_else(|| body.clone(), Bytes::from)
}

/// What an answer is worth.
fn judge(shared: &Shared, whole: Whole, slotted: bool) -> Tried {
    let verdict = whole.served_by.as_ref().map(ServedBy::verdict);
    let key_fault = verdict.is_some_and(Verdict::is_key_fault);
    let mut tried = Tried {
        outcome: Ok(Good { text: None, json: None, parts: Vec::new() }),
        served_by: None,
        usage: None,
        finish_reason: None,
        took: Duration::ZERO,
    };
    tried.outcome = if !whole.status.is_success() {
        let bad = of_error(shared, &whole.refused().with(None, whole.served_by.clone()), slotted);
        Err(Bad { met: whole.unlike().map(Box::new), ..bad })
    } else if key_fault {
        let advice = verdict.map(|verdict| verdict.advice_of().to_owned()).unwrap_or_default();
        Err(Bad::new(FaultKind::Key, "key", advice))
    } else {
        let met = whole.unlike();
        let read = match &met {
            Some(what) => Err(what.with_advice()),
            None => Answered::read(shared.dialect, &whole.body).map_err(|error| error.to_string()),
        };
        match read {
            Ok(answered) if answered.is_empty() && answered.finish_reason.is_none() && is_error(&whole.body) => {
                Err(Bad {
                    whose: FaultKind::Model,
                    ..of_error(shared, &Error::refused(whole.status, &whole.body), slotted)
                })
            }
            Ok(answered) => {
                (tried.usage, tried.finish_reason) = (answered.usage, answered.finish_reason.clone());
                check(shared, answered)
            }
            Err(error) => {
                let text = String::from_utf8_lossy(&whole.body[..whole.body.len().min(2_000)]).into_owned();
                let bad = Bad::of_task("unreadable", format!("the answer cannot be read: {error}"), Some(text));
                Err(Bad { astray: met.is_some(), met: met.map(Box::new), ..bad })
            }
        }
    };
    tried.served_by = whole.served_by;
    tried
}

/// Whether a good status has nothing but an error behind it.
fn is_error(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|whole| whole.get("error").is_some())
}

fn check(shared: &Shared, answered: Answered) -> Result<Good, Bad> {
    let empty = answered.is_empty();
    let Answered { text, parts, finish_reason, blocked, .. } = answered;
    let said = |text: String| (!text.is_empty()).then_some(text);
    if let Some(reason) = blocked {
        let bad = Bad::of_task("blocked", format!("the provider blocked it: {reason}"), said(text));
        // What a model says itself is no word for it.
        let code = if reason.contains(char::is_whitespace) { "refusal".to_owned() } else { reason };
        return Err(Bad { code: Some(code), ..bad });
    }
    if empty && finish_reason.as_deref() == Some(LIMITED) {
        let said = "the account behind this key is limited for a breach of policy";
        return Err(Bad { code: finish_reason, ..Bad::new(FaultKind::Key, "key", said) });
    }
    if empty {
        let why = finish_reason.as_deref().unwrap_or("no reason given");
        return Err(Bad {
            code: finish_reason.clone(),
            ..Bad::of_task("empty", format!("an empty answer ({why})"), None)
        });
    }
    match &shared.options.json {
        Some(check) => match check.read(&text) {
            Ok(json) => Ok(Good { text: None, json: Some(json), parts }),
            Err((kind, message)) => Err(Bad::of_task(kind, message, Some(text))),
        },
        None => Ok(Good { text: Some(text), json: None, parts }),
    }
}

/// Whether some key's tier has none of the model, as it stands.
fn tells_of_a_tier(served: &ServedBy) -> bool {
    served.verdict().speaks_of_a_tier() || served.earlier().iter().any(Attempt::speaks_of_a_tier)
}

/// Whose fault an error is.
fn of_error(shared: &Shared, error: &Error, slotted: bool) -> Bad {
    let verdict = error.served_by().map(ServedBy::verdict);
    match error.kind() {
        ErrorKind::Refused { status, code, message, body } => {
            let kind = verdict.map_or(VerdictKind::Unjudged, Verdict::kind);
            let is_key_fault = verdict.is_some_and(Verdict::is_key_fault);
            // The pool asked the other keys, or was told that they would say the same; a slot has its own key alone.
            let unavailable = kind == VerdictKind::ModelUnavailable;
            let without_quota = unavailable && is_key_fault && error.served_by().is_some_and(tells_of_a_tier);
            let without_model = unavailable && !without_quota;
            let key_fault =
                if without_model { is_key_fault && slotted } else { is_key_fault || kind == VerdictKind::Blocked };
            let invalid = matches!(
                kind,
                VerdictKind::CallerFault
                    | VerdictKind::Misconfigured
                    | VerdictKind::ModelUnavailable
                    | VerdictKind::WrongOwner
            );
            let of_another = slotted && kind == VerdictKind::WrongOwner;
            let (whose, name) = match () {
                () if key_fault => (FaultKind::Key, "key"),
                () if without_model => (FaultKind::Task, NO_MODEL),
                () if invalid => (FaultKind::Task, "invalid"),
                () if verdict.is_some_and(Verdict::is_provider_fault) || status.is_server_error() => {
                    (FaultKind::Model, "model_error")
                }
                () => (FaultKind::Task, "refused"),
            };
            let code = code.clone().or_else(|| (!status.is_success()).then(|| status.as_u16().to_string()));
            Bad {
                // Another key may have the model, once it is there.
                invalid: invalid && !is_key_fault && !of_another,
                of_another,
                code,
                astray: is_astray(*status, body),
                asked: verdict.and_then(Verdict::retry_after),
                without_model: verdict.filter(|_| without_model).map(Verdict::is_named),
                without_quota,
                ..Bad::new(whose, name, message.clone())
            }
        }
        ErrorKind::Pool(pool) => {
            let code = pool.verdict().map(|verdict| verdict.code_of().to_owned());
            let said = pool.to_string();
            let bad = match code.as_deref() {
                _ if pool.is_exhausted() => Bad::new(FaultKind::Key, "key", said),
                _ if pool.is_never_fits() || pool.is_refused() => {
                    Bad { invalid: true, ..Bad::of_task("invalid", said, None) }
                }
                _ if pool.is_shut_down() => Bad { fatal: true, ..Bad::new(FaultKind::Network, "shut_down", said) },
                // Whoever has the key's owner now may not know of it: another lease is asked for.
                Some(VOID) => Bad::new(FaultKind::Network, "network", said),
                // Nothing arrived; an exit that fails rests, and no task pays for it.
                Some("connect") => {
                    Bad::new(FaultKind::Network, "network", unmet::told(pool, shared.client.pool().provider().base()))
                }
                Some(EXIT) => Bad::new(FaultKind::Network, "network", said),
                // Whoever took it may have done it, and may have billed it.
                Some("closed" | "unprocessed") => Bad::new(FaultKind::Model, "closed", said),
                Some("timeout") => Bad::new(FaultKind::Model, "timeout", said),
                _ => Bad::new(FaultKind::Model, "broken", said),
            };
            Bad { code, ..bad }
        }
        ErrorKind::Broken(said) => Bad::new(FaultKind::Model, "broken", said.clone()),
        ErrorKind::Unmade(said) => Bad { invalid: true, ..Bad::of_task("invalid", said.clone(), None) },
        other => Bad::of_task("unreadable", other.to_string(), None),
    }
}
