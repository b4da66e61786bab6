//! Classification of errors of the HTTP client. There was no response, so no key is at fault.

use std::{error::Error as StdError, io};

use super::{ErrorClass, Failure, Scope, error_body::LONGEST_MESSAGE};
use crate::{Error, ErrorKind};

impl Failure {
    /// Classifies an error of an HTTP client as [`ErrorClass::Transient`], or as [`ErrorClass::Caller`] if the request
    /// body could not be read. The types of the errors in its source chain decide, never their messages. The message of
    /// the root cause becomes that of the failure.
    ///
    /// If no connection was made, the scope is the [exit](Scope::Exit), and
    /// [`may_have_been_sent`](Self::may_have_been_sent) is false. Otherwise the scope is only this request. With the
    /// feature `reqwest`, an error of reqwest 0.13 shows whether a connection was made. Of an error of hyper-util this
    /// crate sees only the sources: wrap it in an [`io::Error`] of the kind
    /// [`HostUnreachable`](io::ErrorKind::HostUnreachable) if its `is_connect()` is true.
    ///
    /// ```
    /// use std::io;
    /// use tower_keypool::{ErrorClass, Failure};
    ///
    /// let failure = Failure::from_transport(&io::Error::from(io::ErrorKind::ConnectionRefused));
    /// assert_eq!(failure.class(), ErrorClass::Transient);
    /// assert!(!failure.may_have_been_sent());
    /// ```
    pub fn from_transport(error: &(dyn StdError + 'static)) -> Self {
        let mut failure = Self::new(ErrorClass::Transient).with_scope(Scope::Request);
        let (mut code, mut connected) = (None, true);
        for cause in causes(error) {
            if cause.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Request) {
                return Self::new(ErrorClass::Caller);
            }
            let found = code_of(cause);
            connected &= found != Some(CONNECT);
            code = found.or(code);
        }
        if !connected {
            failure.scope = Scope::Exit;
            failure.may_have_been_sent = false;
            code = code.filter(|code| *code == TIMEOUT).or(Some(CONNECT));
        }
        failure.code = code.map(Into::into);
        failure.message = causes(error).last().map(|root| root.to_string().chars().take(LONGEST_MESSAGE).collect());
        failure
    }
}

/// No connection was made.
const CONNECT: &str = "connect";
const TIMEOUT: &str = "timeout";
/// The connection ended early.
const CLOSED: &str = "closed";

fn code_of(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return match () {
            () if error.is_connect() => Some(CONNECT),
            () if error.is_timeout() => Some(TIMEOUT),
            () => None,
        };
    }
    if error.is::<tokio::time::error::Elapsed>() || error.is::<tower::timeout::error::Elapsed>() {
        return Some(TIMEOUT);
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        Kind::ConnectionRefused
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable => Some(CONNECT),
        Kind::TimedOut => Some(TIMEOUT),
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof
        | Kind::NotConnected => Some(CLOSED),
        _ => None,
    }
}

/// Iterates over an error and its sources, including the errors that an [`io::Error`] wraps; at most 16.
pub fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    const DEEPEST: usize = 16;
    let next = |error: &&'a (dyn StdError + 'static)| -> Option<&'a (dyn StdError + 'static)> {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), next).take(DEEPEST)
}

#[cfg(test)]
mod tests {
    use std::{fmt, time::Duration};

    use super::*;

    /// An error that wraps another one, as HTTP clients do.
    #[derive(Debug)]
    struct Wrapped(Box<dyn StdError + Send + Sync>);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("client error")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    fn wrapped(kind: io::ErrorKind) -> Wrapped {
        Wrapped(Box::new(io::Error::other(Wrapped(Box::new(io::Error::from(kind))))))
    }

    #[test]
    fn causes_are_found_through_every_wrapper() {
        for (kind, code, scope, sent) in [
            (io::ErrorKind::ConnectionRefused, Some("connect"), Scope::Exit, false),
            (io::ErrorKind::NetworkUnreachable, Some("connect"), Scope::Exit, false),
            (io::ErrorKind::TimedOut, Some("timeout"), Scope::Request, true),
            (io::ErrorKind::ConnectionReset, Some("closed"), Scope::Request, true),
            (io::ErrorKind::UnexpectedEof, Some("closed"), Scope::Request, true),
            (io::ErrorKind::InvalidData, None, Scope::Request, true),
        ] {
            let failure = Failure::from_transport(&wrapped(kind));
            let actual = (failure.class(), failure.code(), failure.scope(), failure.may_have_been_sent());
            assert_eq!(actual, (ErrorClass::Transient, code, scope, sent), "{kind:?}");
        }
    }

    #[test]
    fn failure_to_connect_is_known_whatever_caused_it() {
        for (kind, code) in [(io::ErrorKind::TimedOut, "timeout"), (io::ErrorKind::ConnectionReset, "connect")] {
            let failure = Failure::from_transport(&io::Error::new(io::ErrorKind::HostUnreachable, wrapped(kind)));
            let actual = (failure.code(), failure.scope(), failure.may_have_been_sent());
            assert_eq!(actual, (Some(code), Scope::Exit, false), "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_is_recognized_by_its_type() {
        let elapsed = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(Failure::from_transport(&Wrapped(Box::new(elapsed))).code(), Some("timeout"));
        let words = io::Error::other("connection refused: deadline has elapsed");
        assert_eq!(Failure::from_transport(&words).code(), None, "messages do not matter");
    }

    #[test]
    fn unreadable_request_body_is_the_callers_fault() {
        let error = Error::new(ErrorKind::Request, "the body ended early");
        assert_eq!(Failure::from_transport(&Wrapped(Box::new(error))).class(), ErrorClass::Caller);
    }
}
