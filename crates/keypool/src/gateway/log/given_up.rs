//! Requests that the gateway gives up: nobody is left who would tell of their answer, but for the line that is dropped with
//! them, which takes it for granted that the client left.

use std::cell::Cell;

use http::Response;

thread_local! {
    /// The head of what is answered in the place of the request that is dropped just now.
    static HEAD: Cell<Option<Response<()>>> = const { Cell::new(None) };
}

/// Drops all that works on a request for which this is answered: its line tells of that, and signs it.
pub(in crate::gateway) fn give_up<B>(response: Response<B>, work: impl Sized) -> Response<B> {
    let (head, body) = response.into_parts();
    HEAD.set(Some(Response::from_parts(head, ())));
    drop(work);
    let head = HEAD.take().expect("whoever takes it gives it back");
    head.map(|()| body)
}

/// What is answered in the place of a request that is being dropped, where the gateway gave it up.
pub(super) fn answered(look: impl FnOnce(Option<&mut Response<()>>)) {
    let mut head = HEAD.take();
    look(head.as_mut());
    HEAD.set(head);
}
