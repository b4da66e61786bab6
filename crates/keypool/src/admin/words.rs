//! What an administrator says of keys.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::object::Object;
use crate::edits::Words;

/// What is said of one thing.
#[derive(Debug, Default)]
enum Word<T> {
    /// Nothing.
    #[default]
    Silent,
    /// Null: nothing is said of it any more.
    Unset,
    /// This.
    Set(T),
}

impl<T: ToString> Word<T> {
    fn text(self) -> Word<String> {
        match self {
            Self::Silent => Word::Silent,
            Self::Unset => Word::Unset,
            Self::Set(value) => Word::Set(value.to_string()),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Unset, Self::Set))
    }
}

impl<T: JsonSchema> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn inline_schema() -> bool {
        Option::<T>::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

/// What may be said of a key. What is null is said no more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Said {
    /// What the account pays: free, paid, or a paid tier by name.
    tier: Word<String>,
    /// Lower comes first: 0 to 65535.
    priority: Word<u16>,
    /// The share of the load inside its priority: above 0.
    weight: Word<f32>,
    /// Who owns the quota: keys of one owner share limits and rests.
    owner: Word<String>,
    /// The exit that its requests go out by.
    exit: Word<String>,
    /// Who pays.
    billing_account: Word<String>,
    /// Where it is from, in your own words.
    source: Word<String>,
    /// Shown beside it.
    labels: Option<BTreeMap<String, String>>,
    /// Of its owner.
    limits: Word<Object<Amounts>>,
    /// Requests in flight at once.
    concurrent: Word<u16>,
    /// Shortest time between two starts: 2s, 500ms.
    interval: Word<String>,
    /// Where its day ends: an IANA zone.
    zone: Word<String>,
}

/// How much an owner may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Amounts {
    /// The model that they are for; every model without its own unless set.
    model: Option<String>,
    /// Requests a minute.
    rpm: Option<u64>,
    /// Prompt tokens a minute.
    tpm: Option<u64>,
    /// Requests a day.
    rpd: Option<u64>,
}

/// A key to be added.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// The key itself.
    pub(super) secret: String,
    /// Names it; k- and 8 digits of the secret's hash unless set.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// What is known of it.
    #[serde(default)]
    pub(super) said: Object<Said>,
}

/// Another secret.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSecret {
    /// The key that takes the old one's place.
    pub(super) secret: String,
}

/// Why a key is switched off.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Why {
    /// It is shown; "by an administrator" unless set.
    pub(super) reason: Option<String>,
}

impl Said {
    /// The weight and priority that are set, which a pool takes while it runs.
    pub(super) fn place(&self) -> (Option<f32>, Option<u16>) {
        let set = |word: &Word<u16>| if let Word::Set(value) = word { Some(*value) } else { None };
        let weight = if let Word::Set(weight) = &self.weight { Some(*weight) } else { None };
        (weight, set(&self.priority))
    }

    pub(super) fn words(self) -> Words {
        let mut words = Words::default();
        let mut say = |name: &'static str, word: Word<String>| match word {
            Word::Silent => {}
            Word::Set(value) => words.said.push((name, value)),
            Word::Unset => words.unset.push(name.to_owned()),
        };
        say("tier", self.tier);
        say("priority", self.priority.text());
        say("weight", self.weight.text());
        say("owner", self.owner);
        say("exit", self.exit);
        say("billing_account", self.billing_account);
        say("source", self.source);
        say("concurrent", self.concurrent.text());
        say("interval", self.interval);
        say("zone", self.zone);
        if let Some(labels) = self.labels {
            say("label", Word::Unset);
            for (name, value) in labels {
                say("label", Word::Set(format!("{name}:{value}")));
            }
        }
        match self.limits {
            Word::Silent => {}
            Word::Unset => say("limits", Word::Unset),
            Word::Set(Object(limits)) => {
                for (name, amount) in [("rpm", limits.rpm), ("tpm", limits.tpm), ("rpd", limits.rpd)] {
                    say(name, amount.map_or(Word::Silent, |amount| Word::Set(amount.to_string())));
                }
                words.model = limits.model;
            }
        }
        words
    }
}
