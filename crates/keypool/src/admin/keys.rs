//! The keys, as the database and this process's pool have them.

use std::collections::HashMap;

use serde_json::{Value, json};
use tower_keypool::{KeyPool, KeyView};

use super::{Admin, Asked, answer::Fault};
use crate::standing::{Stand, State};

/// So many on a page, unless said otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// The state that is asked for.
#[derive(Clone, Copy)]
enum Wanted {
    Present,
    All,
    Only(State),
}

impl Wanted {
    fn of(text: Option<&str>) -> Result<Self, Fault> {
        use State as S;
        let states = [S::Usable, S::Partly, S::Resting, S::OutForToday, S::Faulty, S::Disabled, S::Removed];
        match text {
            None => Ok(Self::Present),
            Some("all") => Ok(Self::All),
            Some(text) => states.into_iter().find(|state| word(*state) == text).map(Self::Only).ok_or(Fault::wrong(
                "state: expected usable, partly, resting, out_for_today, faulty, disabled, removed or all",
            )),
        }
    }

    fn holds(self, state: State) -> bool {
        match self {
            Self::Present => state != State::Removed,
            Self::All => true,
            Self::Only(only) => state == only,
        }
    }
}

fn word(state: State) -> String {
    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Admin {
    pub(super) async fn keys(&self, asked: &Asked) -> Result<Value, Fault> {
        let (offset, limit) = (asked.number("offset", 0)?, asked.number("limit", USUAL)?.min(MOST));
        let wanted = Wanted::of(asked.query("state"))?;
        let theirs = self.theirs(asked)?;
        let (standings, live) = (theirs.standings().await?, theirs.live().await?);
        let fitting: Vec<&Stand> = standings.keys.iter().filter(|key| wanted.holds(key.state)).collect();
        let shown: Vec<Value> = fitting.iter().skip(offset).take(limit).map(|key| theirs.told(key, &live)).collect();
        Ok(json!({ "total": fitting.len(), "offset": offset, "keys": shown }))
    }

    pub(super) async fn key(&self, id: &str, asked: &Asked) -> Result<Value, Fault> {
        let theirs = self.theirs(asked)?;
        let standings = theirs.standings().await?;
        let present = standings.present().find(|key| key.id == id);
        let found = present.or_else(|| standings.keys.iter().find(|key| key.id == id));
        let key = found.ok_or_else(unknown)?;
        Ok(theirs.told(key, &theirs.live().await?))
    }
}

/// No key is called so. What was asked for may be a secret: it is not repeated.
pub(super) fn unknown() -> Fault {
    Fault::not_found("no key is called so (GET /-/admin/keys lists them by name)")
}

pub(super) async fn views(pool: KeyPool) -> Result<Vec<KeyView>, Fault> {
    let looked = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(usize::MAX).keys).await;
    looked.map_err(|_| super::broken())
}

/// How a key of this pool stands.
pub(super) fn told(key: &Stand, pool: &str, live: &HashMap<String, KeyView>) -> Value {
    let mut value = serde_json::to_value(key).unwrap_or_default();
    value["provider"] = pool.into();
    value["live"] = live.get(&key.id).and_then(|view| serde_json::to_value(view).ok()).unwrap_or_default();
    value
}
