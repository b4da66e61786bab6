//! An answer on its way to the client, in which names are found as it passes: they are the caller's before it has the
//! last byte of them.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, header};
use http_body::{Body, Frame, SizeHint};
use tower_keypool::{BoxError, KeyId, ServedBy};

use super::{shortened::Shortened, sought::Listening};
use crate::gateway::admit::tenant::Tenant;

/// So much of an answer, or of one event of a stream, is read, without what is too long for a name. What is longer goes on
/// unread.
const READ: usize = 4 << 20;

/// So many names of one stream are known to have been noted.
const NOTED: usize = 64;

type Noting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that is listened to. Its bytes go on as they come.
pub(in crate::gateway) struct Overheard<B> {
    inner: Pin<Box<B>>,
    ears: Option<Arc<Ears>>,
    /// What came of a whole answer, or of an event.
    text: Shortened,
    events: bool,
    noted: Noted,
    /// What is noted before the frame goes on.
    noting: Option<Noting>,
    held: Option<Frame<Bytes>>,
    ended: bool,
}

/// What was noted of this answer: many streams tell their name in each event.
#[derive(Default)]
struct Noted(Vec<String>);

impl Noted {
    /// Takes out what was noted before.
    fn leave_new(&mut self, names: &mut Vec<String>) {
        names.retain(|name| {
            let new = !self.0.contains(name);
            if new && self.0.len() < NOTED {
                self.0.push(name.clone());
            }
            new
        });
    }
}

struct Ears {
    listening: Listening,
    tenant: Arc<Tenant>,
    key: KeyId,
}

impl<B> Overheard<B> {
    /// Listens to a good answer for a tenant.
    pub(in crate::gateway) fn of(response: Response<B>, listening: Listening, tenant: Arc<Tenant>) -> Response<Self> {
        let key = Listening::key_of(response.extensions().get::<ServedBy>());
        let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
        let kind = kind.unwrap_or_default();
        let events = kind.starts_with(b"text/event-stream");
        let readable = events || kind.starts_with(b"application/json");
        let ears = key.filter(|_| readable).map(|key| Arc::new(Ears { listening, tenant, key }));
        response.map(|body| Self {
            inner: Box::pin(body),
            ears,
            text: Shortened::default(),
            events,
            noted: Noted::default(),
            noting: None,
            held: None,
            ended: false,
        })
    }

    /// Takes in what came; `true`: that was all.
    fn hear(&mut self, data: &[u8]) {
        self.text.push(data);
        if self.text.len() > READ {
            // It is too long to be read; a later event may be shorter.
            self.text.clear();
            self.ears = self.ears.take().filter(|_| self.events);
            return;
        }
        if self.events
            && let Some(whole) = self.text.take_events()
        {
            let lines = whole.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
            let names = lines.flat_map(|line| self.ears.iter().flat_map(|ears| ears.listening.names_in(line)));
            let names = names.collect();
            self.note(names);
        }
    }

    /// The whole answer is here.
    fn end(&mut self) {
        self.ended = true;
        if !self.events {
            let text = self.text.take();
            let names = self.ears.as_ref().map(|ears| ears.listening.names_in(&text)).unwrap_or_default();
            self.note(names);
        }
    }

    fn note(&mut self, mut names: Vec<String>) {
        self.noted.leave_new(&mut names);
        if let Some(ears) = self.ears.clone().filter(|_| !names.is_empty()) {
            self.noting = Some(Box::pin(async move { ears.listening.hear(names, &ears.tenant, &ears.key).await }));
        }
    }
}

impl<B> Body for Overheard<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(noting) = &mut this.noting {
                ready!(noting.as_mut().poll(cx));
                this.noting = None;
            }
            if let Some(frame) = this.held.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if this.ears.is_some()
                        && let Some(data) = frame.data_ref()
                    {
                        this.hear(data);
                    }
                    if this.inner.is_end_stream() {
                        this.end();
                    }
                    this.held = Some(frame);
                }
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => this.end(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.noting.is_none() && self.held.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before the first frame alone.
        if self.ended || self.held.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl<B> std::fmt::Debug for Overheard<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overheard").field("events", &self.events).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_each_event_tells_is_noted_once() {
        let mut noted = Noted::default();
        let mut new = |names: &[&str]| {
            let mut names = names.iter().map(|name| (*name).to_owned()).collect();
            noted.leave_new(&mut names);
            names
        };
        assert_eq!(new(&["resp_1", "resp_1"]), ["resp_1"]);
        assert_eq!(new(&["resp_1", "msg_1"]), ["msg_1"]);
        assert!(new(&["resp_1"]).is_empty());
    }
}
