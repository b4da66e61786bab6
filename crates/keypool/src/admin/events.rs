//! The last events of all pools, in readable form, as a list and as a stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Json,
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tower_keypool::{ErrorClass, pool::Event, provider::whole_seconds, store::BreakerTarget};

use super::{
    body::Params,
    sessions::{Administrator, token_hash},
};
use crate::app::AppState;

/// Number of events kept.
const RECENT: usize = 200;
/// Milliseconds within which repeats of an event are counted as one event.
const REPEAT_MS: i64 = 60_000;
/// How often a stream without events checks that its session is still valid.
const CHECK: Duration = Duration::from_secs(15);

/// An event of a pool, or a change by an administrator.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct EventRecord {
    /// Increasing id. A repeat has the id of the first occurrence.
    id: u64,
    /// Time of the last occurrence, in milliseconds since the Unix epoch.
    at_ms: i64,
    /// Number of occurrences.
    count: u64,
    /// The provider, or `admin` for the admin API.
    pool: String,
    /// The kind of the event, such as `cooling`, `disabled` or `limit_learned`.
    event: String,
    /// A description for people.
    sentence: String,
    #[serde(skip)]
    subject: String,
}

/// The last events.
pub struct EventLog {
    events: Mutex<(u64, VecDeque<EventRecord>)>,
    stream: broadcast::Sender<EventRecord>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { events: Mutex::default(), stream: broadcast::channel(RECENT).0 }
    }
}

impl EventLog {
    /// Records an event of a subject. A repeat within a minute updates the earlier record.
    pub fn record(&self, pool: &str, event: &str, subject: &str, sentence: String) {
        let at_ms = jiff::Timestamp::now().as_millisecond();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_id, list) = &mut *events;
        let is_repeat = |known: &&mut EventRecord| {
            known.event == event && known.pool == pool && known.subject == subject && at_ms - known.at_ms < REPEAT_MS
        };
        let record = if let Some(known) = list.iter_mut().rev().find(is_repeat) {
            known.at_ms = at_ms;
            known.count += 1;
            known.sentence = sentence;
            known.clone()
        } else {
            *last_id += 1;
            let (pool, event, subject) = (pool.to_owned(), event.to_owned(), subject.to_owned());
            let record = EventRecord { id: *last_id, at_ms, count: 1, pool, event, sentence, subject };
            if list.len() == RECENT {
                list.pop_front();
            }
            list.push_back(record.clone());
            record
        };
        // Sending fails if there is no listener.
        let _ = self.stream.send(record);
    }

    /// Returns at most `limit` events, newest first.
    fn list(&self, limit: usize) -> Vec<EventRecord> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = events.1.iter().cloned().collect();
        list.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
        list.truncate(limit);
        list
    }
}

/// Records the events of all pools until the gateway shuts down.
pub fn follow(app: &AppState) {
    for provider in app.pools.iter() {
        let (app, name) = (AppState::clone(app), provider.name.clone());
        let mut events = provider.pool.events();
        tokio::spawn(async move {
            while let Some(Some((event, lost))) = app.shutdown.run_until_cancelled(events.next()).await {
                let (kind, subject, sentence) = described(&event);
                app.admin.events.record(&name, kind, &subject, sentence);
                if lost > 0 {
                    app.admin.events.record(
                        &name,
                        "lost",
                        "",
                        format!("{lost} events were lost, because they came too fast"),
                    );
                }
            }
        });
    }
}

/// Returns an event's kind, its subject, and a sentence that describes it.
fn described(event: &Event) -> (&'static str, String, String) {
    let because = |class: Option<ErrorClass>, message: &Option<Box<str>>| {
        let parts = class.map(|class| class.as_str().replace('_', " ")).into_iter();
        let parts: Vec<String> = parts.chain(message.as_deref().map(str::to_owned)).collect();
        if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
    };
    match event {
        Event::KeyAdded { key, .. } => ("key_added", String::new(), format!("key {key} was added")),
        Event::KeyRemoved { key, .. } => ("key_removed", String::new(), format!("key {key} was removed")),
        Event::Cooling { target, key, class, left, message, .. } => {
            let left = whole_seconds(*left);
            let by = if *target == BreakerTarget::Key(key.clone()) { String::new() } else { format!(" (by {key})") };
            let sentence = format!("{target} is not used for {left} s{by}{}", because(Some(*class), message));
            ("cooling", target.to_string(), sentence)
        }
        Event::Closed { target, .. } => ("closed", target.to_string(), format!("{target} is used again")),
        Event::Disabled { target, class, message, .. } => {
            ("disabled", target.to_string(), format!("{target} is disabled{}", because(*class, message)))
        }
        Event::DisablingPaused { key, .. } => {
            let sentence = format!("the provider refuses nearly every key, most recently {key}: disabling is paused");
            ("disabling_paused", String::new(), sentence)
        }
        Event::LimitLearned { project, model, limit, .. } => {
            let sentence = format!("the provider allows project {project} {limit} of {model}");
            ("limit_learned", format!("{project} {model} {:?} {:?}", limit.unit, limit.span), sentence)
        }
        Event::ProjectLearned { key, project, name, .. } => {
            let sentence =
                format!("the provider reports that key {key} belongs to {name}, but its project here is {project}");
            ("project_learned", key.to_string(), sentence)
        }
        _ => ("other", String::new(), "an unknown event".to_owned()),
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Maximum number of events; default 200.
    limit: Option<usize>,
}

/// Lists the last events, newest first
///
/// Repeats of an event within a minute are one event with a count.
#[utoipa::path(get, path = "/-/admin/events", tag = "look", params(EventsQuery), responses((status = 200, body = Vec<EventRecord>)))]
pub async fn events(State(app): State<AppState>, Params(query): Params<EventsQuery>) -> Json<Vec<EventRecord>> {
    Json(app.admin.events.list(query.limit.unwrap_or(RECENT)))
}

/// Streams new events as server-sent events
///
/// A repeat is sent again with the same id and a higher count. The stream ends with the session.
#[utoipa::path(get, path = "/-/admin/events/stream", tag = "look",
    responses((status = 200, content_type = "text/event-stream", body = EventRecord)))]
pub async fn event_stream(State(app): State<AppState>, Extension(administrator): Extension<Administrator>) -> Response {
    let listener = app.admin.events.stream.subscribe();
    let stream = stream::unfold((app, listener), move |(app, mut listener)| async move {
        loop {
            let next = tokio::select! {
                next = listener.recv() => Some(next),
                () = app.shutdown.cancelled() => return None,
                () = tokio::time::sleep(CHECK) => None,
            };
            let token = token_hash(&app)?;
            if let Administrator::Session(session) = administrator
                && !app.admin.sessions.is_valid(&session, &token)
            {
                return None;
            }
            match next {
                Some(Ok(record)) => {
                    let event = sse::Event::default().id(record.id.to_string()).json_data(&record).ok()?;
                    return Some((Ok::<_, Infallible>(event), (app, listener)));
                }
                Some(Err(broadcast::error::RecvError::Closed)) => return None,
                Some(Err(broadcast::error::RecvError::Lagged(_))) | None => {}
            }
        }
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::default()).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_one_event_with_a_count() {
        let log = EventLog::default();
        for n in 0..300 {
            log.record("gemini", "cooling", "key a", format!("key a is not used for {n} s"));
        }
        log.record("gemini", "cooling", "key b", "key b is not used for 1 s".to_owned());
        let list = log.list(RECENT);
        assert_eq!(list.len(), 2);
        let of_a = list.iter().find(|event| event.subject == "key a").expect("it is there");
        assert_eq!((of_a.count, &*of_a.sentence), (300, "key a is not used for 299 s"));
    }

    #[test]
    fn oldest_events_are_dropped() {
        let log = EventLog::default();
        for n in 0..=RECENT {
            log.record("gemini", "closed", &n.to_string(), format!("key {n} is used again"));
        }
        let list = log.list(usize::MAX);
        assert_eq!(list.len(), RECENT);
        assert!(list.iter().all(|event| event.subject != "0"));
    }
}
