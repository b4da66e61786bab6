//! What stands while `serve` runs, and goes by another configuration with each reload.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{Mutex, mpsc};
use tower_keypool::{KeyPool, KeyPoolService, config::SecretText};

use super::{certificate, opened::Opened, setups::Setups};
use crate::{
    admin::{Admin, Ask, Fixed, Scene},
    cli::{Failure, beside::Pools},
    client::Client,
    config::{Inputs, Loaded},
    database::{Records, Site, processes::Process, zones},
    gateway::{Gateway, tenant::From as TenantsFrom, tls::Tls},
    reload::Apply,
    standing::now_ms,
    status::{Status, StoreHealth, Traffic},
};

/// All of it.
pub(super) struct Standing {
    pub(super) gateway: Arc<Gateway<KeyPoolService<Client>>>,
    pub(super) tls: Tls,
    pub(super) admin: Arc<Admin>,
    pub(super) setups: Setups,
    pub(super) pool: KeyPool,
    pub(super) beside: Mutex<Pools>,
    pub(super) records: Records,
}

impl Standing {
    /// As the configuration has it at the start; and this process, with what it says of its keys. The admin API asks for
    /// reloads by `reload`.
    pub(super) async fn new(
        opened: &Opened,
        site: Site,
        inputs: &Inputs,
        (reload, process, health): (mpsc::Sender<Ask>, Process, StoreHealth),
    ) -> Result<(Self, Process), Failure> {
        let Opened { loaded, keys, store, pool } = opened;
        // The pool's: another begins at another moment, and what both say of a request would not fit together.
        let clock = pool.clock().clone();
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let status = Status::new(pool, &traffic, health);
        let setups = Setups::new(pool, &traffic, loaded);
        let mut beside = Pools::new(site, Arc::clone(&traffic), clock.clone(), process.clone());
        keys.in_both().are(loaded.sources(), &inputs.more);
        let process = process.with(keys.shut(), keys.in_both());

        let gateway = Gateway::new(setups.of(loaded), pool.provider().base().clone(), clock.clone());
        let others = beside.stand(loaded).await;
        if let Some(error) = beside.lacking() {
            return Err(Failure::run(error));
        }
        gateway.stand_beside(others);
        gateway.keep_beside(beside.belongings());
        status.stand_beside(&beside.pools());
        hide_keys(pool, &beside.pools(), loaded);
        let records = Records::from(store.clone());
        let gateway = gateway.telling(status, traffic).keeping(records.clone(), pool.clone());
        tell_zones(&records, loaded).await;
        let scene = Scene::new(loaded.clone(), pool.clone(), beside.sides());
        let fixed = Fixed {
            database: store.clone(),
            looks: keys.looks(),
            records: records.clone(),
            reload,
            process: process.clone(),
            used: gateway.used().clone(),
        };
        let admin = Arc::new(Admin::new(scene, fixed, gateway.trails(), clock));
        let gateway = Arc::new(gateway.administered(Arc::clone(&admin)));
        gateway.tenants().set(TenantsFrom::Configuration, loaded.tenants.clone());
        let (tls, beside) = (Tls::new(loaded.certified.clone()), Mutex::new(beside));
        Ok((Self { gateway, tls, admin, setups, pool: pool.clone(), beside, records }, process))
    }

    /// As a reload has it.
    pub(super) fn applying(self: &Arc<Self>) -> Apply {
        let this = Arc::clone(self);
        Arc::new(move |loaded: &Loaded| {
            let (this, loaded) = (Arc::clone(&this), loaded.clone());
            Box::pin(async move { this.go_by(&loaded).await })
        })
    }

    async fn go_by(&self, loaded: &Loaded) {
        let gateway = &self.gateway;
        gateway.tenants().set(TenantsFrom::Configuration, loaded.tenants.clone());
        gateway.change(self.setups.of(loaded));
        self.tls.change(loaded.certified.clone());
        certificate::remind(loaded.certified.as_ref(), self.pool.clock());
        let mut beside = self.beside.lock().await;
        gateway.stand_beside(beside.stand(loaded).await);
        gateway.keep_beside(beside.belongings());
        gateway.tell_of(&beside.pools());
        hide_keys(&self.pool, &beside.pools(), loaded);
        self.admin.change(loaded, beside.sides());
        tell_zones(&self.records, loaded).await;
    }

    /// What the pools hold goes back.
    pub(super) async fn hand_back(&self) {
        let beside = self.beside.lock().await;
        tokio::join!(self.pool.shutdown(), beside.shutdown());
    }
}

/// No word of a model's name has so many letters.
const NO_WORD: usize = 12;

/// A caller of one pool may name a key of any, or the gateway's own token: none of them tells it.
pub(super) fn hide_keys(own: &KeyPool, beside: &BTreeMap<String, KeyPool>, loaded: &Loaded) {
    let token = loaded.own_token.then_some(&*loaded.token);
    let admins = loaded.config.admin.token.as_ref().map(SecretText::expose);
    // A shorter one may be a word of a model's name.
    let tokens: Vec<&str> = token.into_iter().chain(admins).filter(|token| token.len() >= NO_WORD).collect();
    for pool in beside.values().chain([own]) {
        pool.stand_beside(beside.values().chain([own]));
        pool.hide(tokens.iter().copied());
    }
}

/// Commands show days as this process counts them. A store that is away is told of elsewhere.
pub(super) async fn tell_zones(records: &Records, loaded: &Loaded) {
    let _ = zones::tell(records, &loaded.keys.keys, now_ms()).await;
}
