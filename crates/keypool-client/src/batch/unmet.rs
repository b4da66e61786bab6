//! What was met where nobody could be reached, and at which address.

use std::{error::Error as StdError, io};

use tower_keypool::Base;

/// `connection refused at 127.0.0.1:9`.
pub(super) fn told(error: &(dyn StdError + 'static), base: &Base) -> String {
    let (host, port) = (base.authority().host(), base.authority().port_u16());
    let port = port.unwrap_or(if base.scheme().as_str() == "http" { 80 } else { 443 });
    format!("{} at {host}:{port}", cause(error))
}

/// The innermost that says what happened, in the system's words where they are its own.
fn cause(error: &(dyn StdError + 'static)) -> String {
    let (mut next, mut said) = (Some(error), "no connection".to_owned());
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return of_system(io);
        }
        next = current.source();
        said = if next.is_none() { current.to_string() } else { said };
    }
    said
}

/// By its kind; what has none that says something has a text.
fn of_system(error: &io::Error) -> String {
    let kind = error.kind().to_string();
    if error.kind() != io::ErrorKind::Other && kind != UNNAMED {
        return kind;
    }
    let said = error.to_string();
    match said.strip_prefix(LOOKUP) {
        Some(why) => format!("the name was not found ({})", why.trim_start_matches([':', ' '])),
        None => said,
    }
}

/// How the standard library calls a kind that nobody can name, that of names which are not found among them.
const UNNAMED: &str = "uncategorized error";
/// How it begins of those.
const LOOKUP: &str = "failed to lookup address information";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_where() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "os error 111");
        let base = Base::parse("http://127.0.0.1:9/v1").unwrap();
        assert_eq!(told(&refused, &base), "connection refused at 127.0.0.1:9");
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        let said = told(&unknown, &Base::parse("https://nowhere.example").unwrap());
        assert_eq!(said, "the name was not found (Name or service not known) at nowhere.example:443");
        let unnamed = io::Error::from_raw_os_error(54);
        assert!(!told(&unnamed, &base).contains(UNNAMED), "{unnamed}");
    }
}
