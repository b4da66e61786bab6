//! Keys are asked for, one by one, how they stand with their provider: by calls that cost no quota.

mod finding;
mod question;
mod tier;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};
use tower_keypool::{Provider, config::KeySpec};

pub use finding::{Finding, Standing};
use question::{Asking, Question};

use crate::client::Calls;

/// So many keys of one provider are asked at a time.
const AT_ONCE: usize = 4;
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How keys are asked.
#[derive(Clone, Debug)]
pub struct Manner {
    /// How often a call is made again that failed for no fault of the key's.
    pub max_retries: u32,
    /// How long to pause before that.
    pub retry_delay: Duration,
    /// The model by which it is tried whether a key may do more than look; one of its own list where none is named.
    pub model: Option<String>,
}

/// Keys of one provider.
#[derive(Clone)]
pub struct Group {
    /// What the configuration calls it; the provider's name for the gateway's own.
    pub name: String,
    /// Whose keys they are.
    pub provider: Arc<dyn Provider>,
    /// Them.
    pub keys: Vec<KeySpec>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// Asks all of them: some of a provider at a time, keys of one owner one after the other. In the order in which they came.
pub async fn examine(groups: Vec<Group>, calls: &Calls, manner: &Manner) -> Vec<Finding> {
    let mut under_way = JoinSet::new();
    let mut place = 0;
    for group in groups {
        let question = Arc::new(Question::new(&group, calls, manner.clone(), PATIENCE));
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        for keys in by_owner(group.keys, &mut place) {
            let (question, turns) = (Arc::clone(&question), Arc::clone(&turns));
            under_way.spawn(async move {
                let mut found = Vec::with_capacity(keys.len());
                for (place, key) in keys {
                    let turn = turns.acquire().await;
                    found.push((place, Asking::new(&question, &key).finding().await));
                    drop(turn);
                }
                found
            });
        }
    }
    let mut found: Vec<(usize, Finding)> = under_way.join_all().await.into_iter().flatten().collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// Keys whose owner is known to be the same stay together.
fn by_owner(keys: Vec<KeySpec>, place: &mut usize) -> impl Iterator<Item = Vec<(usize, KeySpec)>> + use<> {
    let mut owners: BTreeMap<Result<String, usize>, Vec<(usize, KeySpec)>> = BTreeMap::new();
    for key in keys {
        owners.entry(key.owner.clone().ok_or(*place)).or_default().push((*place, key));
        *place += 1;
    }
    owners.into_values()
}

#[cfg(test)]
mod tests {
    use tower_keypool::config::Origin;

    use super::*;

    #[test]
    fn keys_of_one_owner_stay_together_in_their_order() {
        let key = |owner: Option<&str>| {
            let mut key = KeySpec::new("AIza-not-a-real-key-000", Origin::Default);
            key.owner = owner.map(str::to_owned);
            key
        };
        let mut place = 7;
        let groups = by_owner(vec![key(Some("a")), key(None), key(Some("a")), key(None)], &mut place);
        let mut places: Vec<Vec<usize>> =
            groups.map(|group| group.into_iter().map(|(place, _)| place).collect()).collect();
        places.sort();
        assert_eq!((places, place), (vec![vec![7, 9], vec![8], vec![10]], 11));
    }
}
