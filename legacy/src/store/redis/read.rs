//! What a server holds, as records. One that a later version wrote and this one cannot read is left out.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Pipeline};
use serde::{
    Deserialize,
    de::{
        DeserializeOwned, IntoDeserializer,
        value::{Error as ValueError, StrDeserializer},
    },
};

use crate::{
    redis::Link,
    store::{Image, ImportRecord, KeyRecord, RestRecord, StoreError, UnitRecord, UsageRecord},
    verdict::VerdictKind,
};

pub(super) type Map = BTreeMap<String, String>;

/// Reading all takes longer than a question.
pub(super) const PATIENCE: u32 = 30;

pub(super) async fn image(link: &Link) -> Result<Image, StoreError> {
    let base = link.base();
    let mut pipe = redis::pipe();
    for name in ["keys", "created", "secrets", "health", "windows", "rests", "quota_models", "run"] {
        pipe.cmd("HGETALL").arg(format!("{base}:{name}"));
    }
    let [keys, created, secrets, health, windows, rests, quota_models, run] = ask::<[Map; 8]>(link, pipe).await?;
    let with_age = |(hash, mut record): (String, KeyRecord)| {
        record.created = created.get(&hash).and_then(|text| text.parse().ok()).unwrap_or(record.created);
        (hash, record)
    };
    let texts = |name: &str| run.get(name).map_or("", String::as_str);
    Ok(Image {
        keys: self::keys(&keys, &secrets, &health).map(with_age).collect(),
        units: records::<UnitRecord>(&windows).collect(),
        rests: records::<RestRecord>(&rests).collect(),
        usage: BTreeMap::new(),
        imports: Vec::new(),
        quota_models,
        running: texts("running") == "1",
        epoch: texts("epoch").parse().unwrap_or(0),
        crashes: record(texts("crashes")).unwrap_or_default(),
    })
}

/// Keys by the hash of their secret, with it where it is stored, and with how they fared.
pub(super) fn keys(keys: &Map, secrets: &Map, health: &Map) -> impl Iterator<Item = (String, KeyRecord)> {
    records::<KeyRecord>(keys).map(|(hash, mut record)| {
        record.secret = secrets.get(&hash).and_then(|text| self::record(text)).unwrap_or_default();
        let fared = |what: &str| health.get(&format!("{hash}\n{what}")).and_then(|text| text.parse().ok());
        record.last_success = fared("s").or(record.last_success);
        record.last_failure = fared("f").or(record.last_failure);
        record.consecutive_failures =
            fared("c").and_then(|count| u32::try_from(count).ok()).unwrap_or(record.consecutive_failures);
        (hash, record)
    })
}

pub(super) async fn usage(link: &Link, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
    let base = link.base();
    let mut pipe = redis::pipe();
    pipe.cmd("ZRANGEBYLEX").arg(format!("{base}:days")).arg(format!("[{from}")).arg(format!("[{to}"));
    let [days] = ask::<[Vec<String>; 1]>(link, pipe).await?;
    let mut pipe = redis::pipe();
    for day in &days {
        pipe.cmd("HGETALL").arg(format!("{base}:usage:{day}"));
    }
    let sums: Vec<Map> = if days.is_empty() { Vec::new() } else { ask(link, pipe).await? };
    let mut records = BTreeMap::<(&str, &str, &str), UsageRecord>::new();
    for (day, sums) in days.iter().zip(&sums) {
        for (name, sum) in sums {
            // Key, lane, and what; a lane may have any name.
            let parts = name.split_once('\n').and_then(|(key, rest)| Some((key, rest.rsplit_once('\n')?)));
            let Some((key, (lane, what))) = parts else { continue };
            let record = records.entry((day, key, lane)).or_insert_with(|| UsageRecord {
                day: day.as_str().into(),
                key: key.into(),
                lane: lane.into(),
                ..UsageRecord::default()
            });
            let number = sum.parse::<i64>().unwrap_or(0);
            match what {
                "id" => record.id = sum.as_str().into(),
                "requests" => record.requests = number,
                "input_tokens" => record.input_tokens = number.unsigned_abs(),
                "output_tokens" => record.output_tokens = number.unsigned_abs(),
                kind => {
                    // A kind that a later version knows is left out.
                    let word: StrDeserializer<'_, ValueError> = kind.into_deserializer();
                    if let Ok(kind) = VerdictKind::deserialize(word) {
                        record.errors.insert(kind, number.unsigned_abs());
                    }
                }
            }
        }
    }
    Ok(records.into_values().map(UsageRecord::told).collect())
}

pub(super) async fn imports(link: &Link) -> Result<Vec<ImportRecord>, StoreError> {
    let mut pipe = redis::pipe();
    pipe.cmd("LRANGE").arg(format!("{}:imports", link.base())).arg(0).arg(-1);
    let [imports] = ask::<[Vec<String>; 1]>(link, pipe).await?;
    Ok(imports.iter().filter_map(|text| record(text)).collect())
}

pub(super) async fn ask<T: FromRedisValue>(link: &Link, pipe: Pipeline) -> Result<T, StoreError> {
    let answer = link.at_once(&pipe, link.patience() * PATIENCE).await;
    answer.map_err(|error| StoreError::of_server("the store cannot be read", error))
}

pub(super) fn records<T: DeserializeOwned>(map: &Map) -> impl Iterator<Item = (String, T)> {
    map.iter().filter_map(|(name, text)| Some((name.clone(), record(text)?)))
}

pub(super) fn record<T: DeserializeOwned>(text: &str) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(name: "keypool.record_skipped", %error, "a record in Redis that this version cannot read is left out"))
        .ok()
}
