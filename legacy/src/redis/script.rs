//! A script, called by its hash.

use redis::Cmd;

/// A script, called by its hash; its text is sent where the server does not know it, which costs one more way once after
/// the server was started.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
}

impl Script {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The call by hash, with one name and these arguments.
    pub(super) fn by_hash(&self, name: &str, arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, name, arguments)
    }

    pub(super) fn by_text(&self, name: &str, arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.text, name, arguments)
    }
}

fn call(command: &str, script: &str, name: &str, arguments: &[&[u8]]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(1).arg(name);
    for argument in arguments {
        call.arg(*argument);
    }
    call
}
