//! What an error of the transport means: no answer came, so the key is never at fault.

use std::{error::Error as StdError, io};

use super::{Elsewhere, Scope, Until, Verdict, VerdictKind};
use crate::{body_error::BodyError, error_source::chain, key::ExitError};

/// The code of an error before anything was sent.
pub(super) const CONNECT: &str = "connect";
/// The code of a request whose lease had ended before it could go out.
pub(super) const VOID: &str = "void";
/// The code of a connection that ended before any byte of the answer.
pub(super) const CLOSED: &str = "closed";
/// The code of a stream of HTTP/2 that the provider turned away before it looked at it.
pub(super) const UNPROCESSED: &str = "unprocessed";
/// The code of a caller's body that failed.
pub(super) const BODY: &str = "body";
/// The code of an exit that lets nothing out.
pub(crate) const EXIT: &str = "exit";
/// The same before its first byte.
pub(super) const UNSENT_BODY: &str = "unsent body";

/// The code of an address whose scheme the client below does not speak.
pub(super) const SCHEME: &str = "scheme";
/// How hyper-util's connector begins what it says of an address that it cannot connect to, such as one of https without TLS.
const NO_URL: &str = "invalid URL, ";

const NOBODY_ANSWERS: &str =
    "Nothing answers at the provider's address: check the network, the upstream URL and its name.";
/// Letters of a cause that are told.
const LONGEST_CAUSE: usize = 160;

/// Judges an error of the transport by walking its sources.
///
/// Codes: `connect` (nothing was sent), `void` (nothing was sent, since the key's lease had ended), `exit` (nothing was sent, since the [exit](crate::ExitError) failed), `closed` (the connection ended before any answer, as one does that lay idle for
/// too long), `unprocessed` (the provider turned the stream away before it looked at it, as HTTP/2 lets it say), `timeout`, `broken` (it ended later) and `transport`; `body` and `unsent body` (none of it was sent) are
/// the caller's own fault, and `scheme` (the client below speaks no TLS) is no key's and not retried.
pub fn judge_error(error: &(dyn StdError + 'static)) -> Verdict {
    if let Some(exit) = exit_among(error) {
        return of_exit(exit);
    }
    let mut code = "transport";
    let (mut sending, mut failed_body) = (false, false);
    for current in chain(error) {
        if let Some(body) = current.downcast_ref::<BodyError>() {
            return of_body(body);
        }
        if let Some(io) = current.downcast_ref::<io::Error>() {
            code = of_io(io).unwrap_or(code);
            if code == CONNECT {
                break;
            }
        }
        let text = current.to_string();
        // The only public mark that hyper-util's pooled client and tower's Timeout leave on their errors.
        if text.starts_with(NO_URL) {
            let advice = "The client cannot speak the scheme of the provider's address: build it with TLS for https.";
            return Verdict::new(VerdictKind::Misconfigured).code(SCHEME).advice(advice);
        }
        if text == "client error (Connect)"
            && current.source().is_some_and(|source| source.to_string().starts_with(NO_URL))
        {
            continue;
        }
        if text == "client error (Connect)" || text.starts_with("tcp connect error") || text.starts_with("dns error") {
            code = CONNECT;
            break;
        }
        failed_body |= is_of_a_failed_body(&text);
        if is_of_an_unprocessed_stream(&text) {
            code = UNPROCESSED;
            break;
        }
        if text == "request timed out" || text == "operation timed out" || text == "deadline has elapsed" {
            code = "timeout";
        }
        // hyper-util's client wraps so what fails before an answer's head; hyper itself has a text for it.
        sending |= text == "client error (SendRequest)";
        if text == "connection closed before message completed" || (sending && code == "broken") {
            code = CLOSED;
        }
    }
    if failed_body {
        let advice =
            "The body of the request failed or ended early: send it whole, and as long as its content-length says.";
        return Verdict::new(VerdictKind::CallerFault).code(BODY).advice(advice);
    }
    if code == CONNECT { unconnected(error) } else { of_code(code) }
}

/// No connection: what stands behind all else says why.
#[cold]
fn unconnected(error: &(dyn StdError + 'static)) -> Verdict {
    let Some(cause) = cause(error) else { return of_code(CONNECT) };
    let advice = if cause.contains("certificate") {
        "The provider's certificate is not trusted here: name its authority, or see the upstream URL and this machine's clock."
    } else {
        NOBODY_ANSWERS
    };
    of_code(CONNECT).advice(format!("{advice} ({cause})"))
}

impl Verdict {
    /// Of a connection that could not be made, and of an exit that lets nothing out: the innermost error, in a line of its own. It
    /// ends the [advice](Self::advice_of).
    ///
    /// ```
    /// let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
    /// let verdict = tower_keypool::judge_error(&refused);
    /// assert_eq!(verdict.cause_of(), Some("Connection refused (os error 111)"));
    /// ```
    #[inline]
    pub fn cause_of(&self) -> Option<&str> {
        if matches!(self.code_of(), CONNECT | EXIT) { self.cause_told() } else { None }
    }

    #[cold]
    fn cause_told(&self) -> Option<&str> {
        self.advice_of().split_once(BEFORE_CAUSE)?.1.strip_suffix(')')
    }
}

/// Between an advice and the cause that is told behind it, in brackets: no advice has it in itself.
const BEFORE_CAUSE: &str = ". (";

/// The innermost error in a line of its own, where it says more than its kind.
fn cause(error: &(dyn StdError + 'static)) -> Option<String> {
    let text = chain(error).last()?.to_string();
    let line: String = text.chars().take_while(|letter| !letter.is_control()).take(LONGEST_CAUSE).collect();
    Some(line).filter(|line| !line.is_empty() && !line.starts_with("client error ("))
}

/// What hyper says of a body that failed, or that ended before its content-length; over HTTP/2 nothing but that the stream
/// was reset by this side, which an error that comes with no answer means alone.
fn is_of_a_failed_body(text: &str) -> bool {
    text == "error from user's Body stream"
        || text == "user body write aborted"
        || text.starts_with("stream error sent by user")
}

/// How h2 tells a `REFUSED_STREAM`, and of the end of a connection those streams that were not looked at any more (RFC 9113,
/// 6.8 and 8.7): the others are told that it broke.
fn is_of_an_unprocessed_stream(text: &str) -> bool {
    text.starts_with("stream error received: refused stream") || text.starts_with("connection error received: ")
}

/// The body came from the caller and did not end well.
fn of_body(error: &BodyError) -> Verdict {
    if error.is_void() {
        // Nobody is to blame, and another key may carry it.
        return of_code(VOID);
    }
    let advice = if error.is_two_models() {
        "The body of the request names its model twice: name it once."
    } else if error.is_wrong_length() {
        "The body of the request is not as long as its content-length says: say how long it is, or nothing."
    } else {
        "The body of the request ended early: send it again, whole."
    };
    Verdict::new(VerdictKind::CallerFault).code(if error.is_unsent() { UNSENT_BODY } else { BODY }).advice(advice)
}

/// The exit that failed: it stands behind a client's own word, which says no more than that there is no connection.
fn exit_among<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a ExitError> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The way out failed: it rests, and another key may have another one.
fn of_exit(error: &ExitError) -> Verdict {
    let cause = cause(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
    let advice = format!("The exit {} lets nothing out: see its proxy or address.{cause}", error.exit());
    Verdict::new(VerdictKind::Transient)
        .scope(Scope::Exit)
        .until(Until::Backoff)
        .elsewhere(Elsewhere::AfterPause)
        .code(EXIT)
        .advice(advice)
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind as E;
    Some(match error.kind() {
        E::ConnectionRefused | E::HostUnreachable | E::NetworkUnreachable | E::NetworkDown | E::AddrNotAvailable => {
            CONNECT
        }
        E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof | E::NotConnected => "broken",
        E::TimedOut => "timeout",
        _ => return None,
    })
}

fn of_code(code: &'static str) -> Verdict {
    let advice = match code {
        CONNECT => NOBODY_ANSWERS,
        VOID => "The key's lease ended before the request could go out: another process may have the key.",
        "timeout" => "No answer came in time: the model may need longer, or the provider is slow just now.",
        CLOSED => "The provider closed the connection before it answered: it may have been idle for too long.",
        UNPROCESSED => "The provider took no more requests over this connection: the next one takes another.",
        "broken" => "The connection broke off: the provider or the way to it is unsteady.",
        _ => "The request failed on its way: see the error's source.",
    };
    Verdict::new(VerdictKind::Transient)
        .scope(Scope::Exit)
        .until(Until::Now)
        .elsewhere(Elsewhere::AfterPause)
        .unclear()
        .code(code)
        .advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_connection_is_told() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
        let untrusted = io::Error::other("invalid peer certificate: UnknownIssuer");
        let exit = ExitError::new("tunnel".into(), "the proxy says 407");
        for (error, code, begins, ends) in [
            (&refused as &(dyn StdError + 'static), CONNECT, "Nothing answers", "(Connection refused (os error 111))"),
            (
                &Connecting(untrusted),
                CONNECT,
                "The provider's certificate",
                "(invalid peer certificate: UnknownIssuer)",
            ),
            (&exit, EXIT, "The exit tunnel lets nothing out", "(the proxy says 407)"),
            (&Connecting(io::Error::other("client error (Connect)")), CONNECT, NOBODY_ANSWERS, NOBODY_ANSWERS),
        ] {
            let verdict = judge_error(error);
            let told = (verdict.code_of(), verdict.advice_of());
            assert!(told.0 == code && told.1.starts_with(begins) && told.1.ends_with(ends), "{told:?}");
            assert_eq!(verdict.cause_of(), ends.strip_prefix('(').map(|ends| &ends[..ends.len() - 1]));
        }
        let long = io::Error::new(io::ErrorKind::ConnectionRefused, format!("{}\nforged", "x".repeat(900)));
        assert!(judge_error(&long).advice_of().len() < 300 && !judge_error(&long).advice_of().contains("forged"));
    }

    /// As hyper-util says it.
    #[derive(Debug)]
    struct Connecting(io::Error);

    impl std::fmt::Display for Connecting {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("client error (Connect)")
        }
    }

    impl StdError for Connecting {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }
}
