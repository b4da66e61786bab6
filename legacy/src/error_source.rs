//! What stands behind an error.

use std::{error::Error as StdError, io};

/// The next error of the chain. What an error of the system holds it does not call its source, and is one all the same.
fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source())
}

/// The error itself, and all that stand behind it.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| behind(*error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_of_the_system_holds_is_among_them() {
        let inner = io::Error::other("inside");
        let outer = io::Error::new(io::ErrorKind::BrokenPipe, io::Error::other(inner));
        let told: Vec<String> = chain(&outer).map(ToString::to_string).collect();
        assert_eq!(told, ["inside"; 4]);
        assert_eq!(chain(&io::Error::from(io::ErrorKind::TimedOut)).count(), 1);
    }
}
