//! A connection's way in, which keeps at hand what each of its requests needs of the gateway.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, header};
use tokio::sync::watch;

use crate::gateway::{
    Gateway, Setup,
    admit::{cross_origin::CrossOrigin, guard::Local},
    connection::places::Place,
    farewell::Parting,
};

/// One connection's way into the gateway.
#[derive(Debug)]
pub struct Entrance<S> {
    pub(super) gateway: Arc<Gateway<S>>,
    /// The address that the connection came in at.
    pub(super) local: Local,
    /// The one that it came from.
    pub(super) peer: IpAddr,
    /// What it is for.
    pub(super) door: Door,
    /// The connection's among all that may be open. A socket keeps it until its own end.
    pub(super) place: Option<Arc<Place>>,
    /// What the request before left for the next one; `None` while a request has it.
    left: Mutex<Option<Box<Turn<S>>>>,
}

/// What an address of the gateway's is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Clients and administrators.
    #[default]
    Both,
    /// Clients alone.
    Clients,
    /// Administrators alone.
    Administrators,
}

/// What a request takes along: the setup that it begins with, and a stack of its own. Passed on from one request of a
/// connection to the next, since a clone of the stack costs a good part of what the gateway does.
#[derive(Debug)]
pub(super) struct Turn<S> {
    pub(super) setup: Arc<Setup<S>>,
    pub(super) stack: S,
    changes: watch::Receiver<Arc<Setup<S>>>,
}

impl<S: Clone> Entrance<S> {
    /// The way in of a connection that came in at the address `local`.
    pub fn new(gateway: Arc<Gateway<S>>, local: Local, (peer, door): (IpAddr, Door)) -> Self {
        Self { gateway, local, peer, door, place: None, left: Mutex::new(None) }
    }

    /// Whether a web page asks that is let in.
    pub(in crate::gateway) fn cross_origin<B>(&self, request: &Request<B>) -> Option<CrossOrigin> {
        if !request.headers().contains_key(header::ORIGIN) {
            return None;
        }
        CrossOrigin::of(request, &self.gateway.setup.borrow().guard)
    }

    /// When nobody waits for an answer any more.
    pub(in crate::gateway) fn parting(&self) -> Parting {
        Parting::from(&self.gateway.farewell)
    }

    /// Holds the connection's place.
    #[must_use]
    pub(in crate::gateway) fn holding(self, place: Place) -> Self {
        Self { place: Some(Arc::new(place)), ..self }
    }

    /// What a request that comes now takes along.
    #[expect(clippy::unnecessary_box_returns, reason = "it is handed on where it stands")]
    pub(super) fn turn(&self) -> Box<Turn<S>> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Several requests at once (HTTP/2), or another setup since: one of its own.
        left.filter(|turn| turn.is_current()).unwrap_or_else(|| Box::new(Turn::new(self.gateway.setup.subscribe())))
    }

    /// Leaves it for the next request, once the stack was called.
    pub(super) fn leave(&self, turn: Box<Turn<S>>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
    }
}

impl<S: Clone> Turn<S> {
    fn new(mut changes: watch::Receiver<Arc<Setup<S>>>) -> Self {
        let setup = Arc::clone(&changes.borrow_and_update());
        Self { stack: setup.stack.clone(), setup, changes }
    }

    fn is_current(&self) -> bool {
        self.changes.has_changed().is_ok_and(|changed| !changed)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tower_keypool::{Base, Clock};

    use super::*;
    use crate::gateway::{
        admit::{guard::Guard, token::Token},
        route::way::Dialects,
    };

    /// A stack that counts how often it was cloned.
    #[derive(Debug)]
    struct Stack(&'static str, Arc<AtomicUsize>);

    impl Clone for Stack {
        fn clone(&self) -> Self {
            self.1.fetch_add(1, Ordering::Relaxed);
            Self(self.0, Arc::clone(&self.1))
        }
    }

    #[test]
    fn requests_take_turns_with_one_stack_until_the_setup_changes() {
        let clones = Arc::new(AtomicUsize::new(0));
        let setup = |name| {
            let stack = Stack(name, Arc::clone(&clones));
            Setup::new(stack, Guard::new([]), Token::new("the-token"), Dialects::default())
        };
        let base = Base::parse("http://upstream.invalid").unwrap();
        let gateway = Arc::new(Gateway::new(setup("old"), base, Clock::system()));
        let local = Local::from("127.0.0.1:5000".parse::<SocketAddr>().unwrap());
        let entrance = Entrance::new(Arc::clone(&gateway), local, ([127, 0, 0, 1].into(), Door::Both));
        let cloned = || clones.load(Ordering::Relaxed);
        for _ in 0..3 {
            entrance.leave(entrance.turn());
        }
        assert_eq!(cloned(), 1);
        // Two at once, of which one began before the change: it keeps what it has, and leaves it to nobody.
        let (before, beside) = (entrance.turn(), entrance.turn());
        assert_eq!(cloned(), 2);
        gateway.change(setup("new"));
        entrance.leave(beside);
        entrance.leave(before);
        let after = entrance.turn();
        assert_eq!((after.stack.0, after.setup.stack.0, cloned()), ("new", "new", 3));
    }
}
