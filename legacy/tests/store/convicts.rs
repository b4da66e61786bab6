//! Stores with the mistakes that people make: the suite that is there for stores of others finds each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tower_keypool::store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord, conformance};

#[derive(Clone, Copy, Debug)]
enum Mistake {
    None,
    /// Two writes read the same and each writes its own.
    LosesUpdates,
    ForgetsRests,
    /// A rest that is over by the store's own clock is left out.
    GoesByItsClock,
    /// The names of owner and lane are joined, and what stands between them may be in either.
    JoinsNames(char),
    /// As databases do whose texts are compared without case.
    IgnoresCase,
    /// Use is kept by day and key alone.
    MergesLanes,
    /// Part of a batch is enough.
    ForgetsWhatIsGone,
    /// What a key is kept with is what the last writer said.
    OverwritesSecrets,
}

#[derive(Clone)]
struct Wrong {
    image: Arc<Mutex<Image>>,
    mistake: Mistake,
}

impl Wrong {
    fn image(&self) -> Image {
        self.image.lock().unwrap().clone()
    }

    fn apply(&self, image: &mut Image, batch: &Batch) {
        let mut batch = batch.clone();
        match self.mistake {
            Mistake::ForgetsRests => batch.rests.clear(),
            Mistake::ForgetsWhatIsGone => batch.units_gone.clear(),
            Mistake::OverwritesSecrets => {
                for key in &batch.keys {
                    image.keys.remove(&key.hash);
                }
            }
            Mistake::MergesLanes => {
                for mut used in std::mem::take(&mut batch.usage) {
                    let held = image.usage.values().find(|held| held.day == used.day && held.key == used.key);
                    used.lane = held.map_or(&used.lane, |held| &held.lane).clone();
                    image.apply(&Batch { usage: vec![used], ..Batch::default() });
                }
            }
            Mistake::JoinsNames(between) => {
                for unit in &batch.units {
                    let joined = |owner: &str, lane: &str| format!("{owner}{between}{lane}");
                    image.units.retain(|_, held| joined(&held.owner, &held.lane) != joined(&unit.owner, &unit.lane));
                    image.apply(&Batch { units: vec![unit.clone()], ..Batch::default() });
                }
                batch.units.clear();
            }
            Mistake::IgnoresCase => {
                for unit in &batch.units {
                    image.units.retain(|_, held| {
                        !(held.owner.eq_ignore_ascii_case(&unit.owner) && held.lane.eq_ignore_ascii_case(&unit.lane))
                    });
                    image.apply(&Batch { units: vec![unit.clone()], ..Batch::default() });
                }
                batch.units.clear();
            }
            Mistake::None | Mistake::LosesUpdates | Mistake::GoesByItsClock => {}
        }
        image.apply(&batch);
    }
}

impl Store for Wrong {
    async fn load(&self) -> Result<Image, StoreError> {
        let mut image = self.image();
        if let Mistake::GoesByItsClock = self.mistake {
            let now = 1_700_000_000_000;
            image.rests.retain(|_, rest| rest.ends.is_none_or(|ends| ends > now));
        }
        Ok(image)
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        if let Mistake::LosesUpdates = self.mistake {
            let mut image = self.image();
            tokio::task::yield_now().await;
            self.apply(&mut image, &batch);
            *self.image.lock().unwrap() = image;
            return Ok(());
        }
        self.apply(&mut self.image.lock().unwrap(), &batch);
        Ok(())
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        let within = |record: &UsageRecord| *record.day >= *from && *record.day <= *to;
        Ok(self.image().usage.into_values().filter(within).collect())
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        Ok(self.image().imports)
    }
}

async fn is_convicted(mistake: Mistake) -> bool {
    let stores = Mutex::new(BTreeMap::<String, Arc<Mutex<Image>>>::new());
    let checked = tokio::spawn(async move {
        conformance::check(|name| {
            let image = Arc::clone(stores.lock().unwrap().entry(name.to_owned()).or_default());
            async move { Wrong { image, mistake } }
        })
        .await;
    });
    checked.await.is_err()
}

#[tokio::test]
async fn every_mistake_is_found() {
    assert!(!is_convicted(Mistake::None).await, "one without any");
    let joins = [':', '/', '|', ' ', '-', '.', ',', '#'].map(Mistake::JoinsNames);
    let others = [
        Mistake::LosesUpdates,
        Mistake::ForgetsRests,
        Mistake::GoesByItsClock,
        Mistake::IgnoresCase,
        Mistake::MergesLanes,
        Mistake::ForgetsWhatIsGone,
        Mistake::OverwritesSecrets,
    ];
    let mut acquitted = Vec::new();
    for mistake in joins.into_iter().chain(others) {
        if !is_convicted(mistake).await {
            acquitted.push(mistake);
        }
    }
    assert!(acquitted.is_empty(), "acquitted: {acquitted:?}");
}
