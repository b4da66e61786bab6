//! How much of its limits a tenant's request uses.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use memchr::memmem;
use pin_project_lite::pin_project;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower_keypool::{BoxError, Lease, Usage, classify::UsageReader};

use super::Tenant;
use crate::{
    dialect::Dialect,
    error::ApiError,
    request_result::{RequestResult, Sent},
};

/// A request that is counted against its tenant's limits. It is one of the tenant's simultaneous requests until this is
/// dropped. Requests with the gateway's own token are not counted.
#[derive(Default)]
pub struct Quota {
    pub(super) lease: Option<Lease>,
    /// The estimated tokens of the prompt.
    pub(super) prompt_tokens: u64,
    /// Whether the request was sent with a key; a request that was not does not count.
    pub(super) sent: Option<Sent>,
}

impl Quota {
    pub fn is_counted(&self) -> bool {
        self.lease.is_some()
    }

    /// Corrects the estimate, once the used tokens are known.
    pub fn report_usage(&self, usage: Usage) {
        if let Some(lease) = &self.lease
            && usage.input_tokens + usage.output_tokens > 0
        {
            lease.report_usage(usage);
        }
    }

    /// Ends a request that was not served. It used no tokens. The request counts only if the caller caused the failure.
    pub fn end_unserved(&mut self, result: RequestResult) {
        let Some(lease) = self.lease.take() else { return };
        match result {
            RequestResult::Unavailable | RequestResult::Failed => lease.give_back(),
            RequestResult::Good | RequestResult::Caller => lease.report_usage(Usage::default()),
        }
    }

    /// Wraps the body of the response, so that its usage is reported. `events` is the dialect of a stream.
    pub fn metered<B>(mut self, inner: B, tenant: &Tenant, events: Option<Dialect>) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let prompt_tokens = self.prompt_tokens;
        let meter =
            self.lease.take().map(|lease| Meter { reader: UsageReader::new(), lease, prompt_tokens, events: 0 });
        if meter.is_none() && tenant.name.is_none() {
            return Body::new(inner);
        }
        let revoked = tenant.revoked.clone().cancelled_owned();
        Body::new(MeteredBody { inner, revoked, meter, events, begun: false, ended: false })
    }
}

/// A client may leave while its request waits for a key.
impl Drop for Quota {
    fn drop(&mut self) {
        if self.sent.as_ref().is_some_and(|sent| !sent.get())
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

pin_project! {
    /// A response body that ends when its tenant is revoked, and reports the usage to the tenant's quota.
    struct MeteredBody<B> {
        #[pin]
        inner: B,
        #[pin]
        revoked: WaitForCancellationFutureOwned,
        meter: Option<Meter>,
        events: Option<Dialect>,
        begun: bool,
        ended: bool,
    }

    // The end of a body of known length is not polled, and a client may disconnect before the end.
    impl<B> PinnedDrop for MeteredBody<B> {
        fn drop(this: Pin<&mut Self>) {
            finish(this.project().meter);
        }
    }
}

struct Meter {
    reader: UsageReader,
    lease: Lease,
    prompt_tokens: u64,
    /// Number of events of a stream so far.
    events: u64,
}

impl<B> http_body::Body for MeteredBody<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        // Never cut before the first frame: the client would not get the head either.
        if *this.begun && this.revoked.poll(cx).is_ready() {
            *this.ended = true;
            finish(this.meter);
            let error = ApiError::new(StatusCode::UNAUTHORIZED, "this token was revoked");
            return Poll::Ready(Some(match this.events {
                Some(dialect) => Ok(Frame::data(error.into_event(*dialect))),
                None => Err("the token was revoked".into()),
            }));
        }
        let frame = ready!(this.inner.poll_frame(cx));
        *this.begun = true;
        if let Some(meter) = this.meter.as_mut()
            && let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            meter.reader.push(data);
            if this.events.is_some() {
                meter.events += memmem::find_iter(data, b"data:").count() as u64;
            }
        }
        if !matches!(frame, Some(Ok(_))) {
            *this.ended = true;
            finish(this.meter);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.meter.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn finish(meter: &mut Option<Meter>) {
    let Some(Meter { mut reader, lease, prompt_tokens, events }) = meter.take() else { return };
    // OpenAI's API sends the usage of a stream only on request. Most events have one token each.
    if let Some(usage) = reader.finish().or_else(|| (events > 0).then(|| Usage::new(prompt_tokens, events))) {
        lease.report_usage(usage);
    }
}
