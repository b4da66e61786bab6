//! The keys, as the database and this process's pool have them.

use std::collections::HashMap;

use serde_json::{Value, json};
use tower_keypool::{KeyPool, KeyView};

use super::{Admin, Asked, answer::Fault};
use crate::standing::{Configured, Stand, Standings, State};

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
        if let Some(name) = asked.query("pool").filter(|name| *name != super::MAIN) {
            let pool = self.pool_of(Some(name))?;
            let views = views(pool).await?;
            let shown: Vec<Value> = views
                .iter()
                .skip(offset)
                .take(limit)
                .map(|view| json!({ "id": view.id, "provider": name, "live": view }))
                .collect();
            return Ok(json!({ "total": views.len(), "offset": offset, "keys": shown }));
        }
        let wanted = Wanted::of(asked.query("state"))?;
        let standings = self.standings().await?;
        let live = self.live().await?;
        let fitting: Vec<&Stand> = standings.keys.iter().filter(|key| wanted.holds(key.state)).collect();
        let shown: Vec<Value> = fitting.iter().skip(offset).take(limit).map(|key| told(key, &live)).collect();
        Ok(json!({ "total": fitting.len(), "offset": offset, "keys": shown }))
    }

    pub(super) async fn key(&self, id: &str) -> Result<Value, Fault> {
        let standings = self.standings().await?;
        let present = standings.present().find(|key| key.id == id);
        let found = present.or_else(|| standings.keys.iter().find(|key| key.id == id));
        let key = found.ok_or_else(unknown)?;
        Ok(told(key, &self.live().await?))
    }

    pub(super) async fn standings(&self) -> Result<Standings, Fault> {
        Standings::of(self.database.as_ref(), &self.configured()).await.map_err(|error| Fault::store(&error))
    }

    /// What the configuration says as it is now.
    pub(super) fn configured(&self) -> Configured {
        let scene = self.scene();
        Configured::by(&*scene.loaded.provider, scene.loaded.configured())
    }

    /// The keys of this process's pool by name.
    async fn live(&self) -> Result<HashMap<String, KeyView>, Fault> {
        let views = views(self.pool_of(None)?).await?;
        Ok(views.into_iter().map(|view| (view.id.to_string(), view)).collect())
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

fn told(key: &Stand, live: &HashMap<String, KeyView>) -> Value {
    let mut value = serde_json::to_value(key).unwrap_or_default();
    value["provider"] = super::MAIN.into();
    value["live"] = live.get(&key.id).and_then(|view| serde_json::to_value(view).ok()).unwrap_or_default();
    value
}
