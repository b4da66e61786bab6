//! What happens, for whoever looks: the last events, and those to come as a stream. Bounded, lossy with a count.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tower_keypool::{KeyPool, Lost};

use super::answer::{Answer, Fault, told};
use crate::standing::now_ms;

/// So many are remembered, and so many may a reader lag behind.
pub(super) const REMEMBERED: usize = 256;
/// So many read the stream at once.
const READERS: usize = 32;
/// A reader hears something this often, so that nobody in between takes the connection for dead.
const QUIET: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Feed {
    recent: Mutex<Recent>,
    sender: broadcast::Sender<Arc<Told>>,
    readers: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Recent {
    told: VecDeque<Arc<Told>>,
    number: u64,
}

/// One of them.
#[derive(Debug)]
struct Told {
    number: u64,
    value: Value,
}

impl Feed {
    pub(super) fn new() -> Self {
        let (sender, _) = broadcast::channel(REMEMBERED);
        Self {
            recent: Mutex::default(),
            sender,
            readers: Arc::new(Semaphore::new(READERS)),
            ended: watch::Sender::new(false),
        }
    }

    /// Something happened. It gets a number and a time.
    pub(super) fn tell(&self, mut value: Value) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.number += 1;
        value["number"] = recent.number.into();
        value["at"] = now_ms().into();
        let told = Arc::new(Told { number: recent.number, value });
        if recent.told.len() == REMEMBERED {
            recent.told.pop_front();
        }
        recent.told.push_back(Arc::clone(&told));
        // In order; nobody need listen.
        let _ = self.sender.send(told);
    }

    /// Tells what happens in a pool until it, or this, is gone.
    pub(super) fn follow(feed: &Arc<Self>, name: &str, pool: &KeyPool) {
        let (mut events, feed, name) = (pool.changes(), Arc::downgrade(feed), name.to_owned());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Some(feed) = feed.upgrade() else { return };
                let mut value = match event {
                    Ok(event) => serde_json::to_value(&event).unwrap_or_default(),
                    Err(Lost(lost)) => json!({ "event": "lost", "lost": lost }),
                };
                value["pool"] = name.as_str().into();
                feed.tell(value);
            }
        });
    }

    /// Every stream ends.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// The last so many, oldest first.
    pub(super) fn recent(&self, most: usize) -> Vec<Value> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = recent.told.len().saturating_sub(most);
        recent.told.iter().skip(left_out).map(|told| told.value.clone()).collect()
    }

    /// What happens from now on, until its reader has `lost` the right to it.
    pub(super) fn stream(&self, lost: impl Future<Output = ()> + Send + 'static) -> Result<Answer, Fault> {
        let Ok(place) = Arc::clone(&self.readers).try_acquire_owned() else {
            let why = "as many read the events as may at once";
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", why));
        };
        let lost: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(lost);
        let heard = (self.sender.subscribe(), self.ended.subscribe(), lost);
        let told_next = stream::unfold(heard, |(mut receiver, mut ended, mut lost)| async move {
            let next = tokio::select! {
                biased;
                () = &mut lost => return None,
                next = tokio::time::timeout(QUIET, receiver.recv()) => next,
                _ = ended.wait_for(|ended| *ended) => return None,
            };
            let text = match next {
                Err(_) => ": still here\n\n".to_owned(),
                Ok(Ok(told)) => event(&told),
                Ok(Err(broadcast::error::RecvError::Lagged(lost))) => {
                    format!("event: lost\ndata: {{\"lost\":{lost}}}\n\n")
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return None,
            };
            Some((Bytes::from(text), (receiver, ended, lost)))
        });
        // So that whoever waits for the head knows at once that it is there.
        let begin = stream::once(async { Bytes::from_static(b": keypool\n\n") });
        let chunks: Chunks = Box::pin(stream::StreamExt::chain(begin, told_next));
        let body = Following { chunks, _place: place }.boxed_unsync();
        Ok(told(StatusCode::OK, "text/event-stream", body))
    }
}

fn event(told: &Told) -> String {
    let kind = told.value["event"].as_str().unwrap_or("message");
    format!("id: {}\nevent: {kind}\ndata: {}\n\n", told.number, told.value)
}

type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The stream as a body, with its place among the readers.
struct Following {
    chunks: Chunks,
    _place: OwnedSemaphorePermit,
}

impl Body for Following {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.chunks.as_mut().poll_next(cx).map(|next| next.map(|chunk| Ok(Frame::data(chunk))))
    }
}
