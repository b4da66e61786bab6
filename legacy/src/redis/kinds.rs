//! Whether what lies under our names on a server is ours.

use super::{failure::RedisError, link::Link};

/// What each name is, behind the namespace.
const KINDS: [(&str, &str); 25] = [
    ("board", "hash"),
    ("bounds", "hash"),
    ("created", "hash"),
    ("days", "zset"),
    ("done", "zset"),
    ("drawn", "set"),
    ("facts", "hash"),
    ("facts:ends", "zset"),
    ("facts:heard", "zset"),
    ("health", "hash"),
    ("holders", "hash"),
    ("imports", "list"),
    ("keys", "hash"),
    ("left", "hash"),
    ("quota_models", "hash"),
    ("rests", "hash"),
    ("revision", "string"),
    ("rosters", "set"),
    ("run", "hash"),
    ("said", "hash"),
    ("said:at", "zset"),
    ("secrets", "hash"),
    ("units", "set"),
    ("used", "hash"),
    ("windows", "hash"),
];

/// What is a number among them.
const NUMBER: &str = "revision";

impl Link {
    /// Refuses a server on which any of our names is something else: another program has it, and scripts would fail with
    /// words that tell nobody what to do.
    pub(super) async fn look_at_kinds(&self) -> Result<(), RedisError> {
        let base = self.base();
        let mut asked = redis::pipe();
        for (name, _) in KINDS {
            asked.cmd("TYPE").arg(format!("{base}:{name}"));
        }
        let found: Vec<String> = match self.at_once(&asked, self.patience()).await {
            // Who may not ask finds out later.
            Err(error) if error.is_refused() => return Ok(()),
            found => found?,
        };
        for ((name, kind), found) in KINDS.iter().zip(&found) {
            if found != kind && found != "none" {
                return Err(self.foreign(name, &format!("it is a {found}, not a {kind}")));
            }
        }
        if KINDS.iter().zip(&found).any(|((name, _), found)| *name == NUMBER && found == "string") {
            match self.ask::<Option<String>>(&["GET", &format!("{base}:{NUMBER}")]).await {
                Ok(Some(text)) if text.parse::<u64>().is_err() => return Err(self.foreign(NUMBER, "it is no number")),
                Err(error) if !error.is_refused() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn foreign(&self, name: &str, why: &str) -> RedisError {
        let base = self.base();
        RedisError::foreign(format!(
            "{base}:{name} in {} is of another program: {why}; choose another store.namespace (KEYPOOL__STORE__NAMESPACE), or \
             delete it (redis-cli DEL '{base}:{name}')",
            self.options().address
        ))
    }
}
