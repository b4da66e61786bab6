//! A list of models, as its provider writes it: read, put together, and told page by page.

use bytes::Bytes;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use crate::gateway::{admit::tenant::Tenant, aliases::Aliases, dialect::Dialect};

/// Models by their names, without `models/`, and what is said of each.
pub(super) type Listed = Vec<(String, Box<RawValue>)>;

/// A list of models.
#[derive(Debug)]
pub(in crate::gateway) struct Shelf {
    dialect: Dialect,
    models: Listed,
}

/// The path and query of a page of a list.
pub(super) fn asked(dialect: Dialect, version: &str, next: Option<&str>) -> String {
    let next_of = |name: &str| match next {
        Some(next) => format!("&{name}={}", utf8_percent_encode(next, NON_ALPHANUMERIC)),
        None => String::new(),
    };
    match dialect {
        Dialect::Gemini => format!("/{version}/models?pageSize=1000{}", next_of("pageToken")),
        Dialect::OpenAi => "/v1/models".to_owned(),
        Dialect::Anthropic => format!("/v1/models?limit=1000{}", next_of("after_id")),
    }
}

/// A page, and what asks for the next one where there is one. `None`: it is no list.
pub(super) fn read(dialect: Dialect, page: &[u8]) -> Option<(Listed, Option<String>)> {
    #[derive(Deserialize)]
    struct Geminis {
        #[serde(default)]
        models: Vec<Box<RawValue>>,
        #[serde(default, rename = "nextPageToken")]
        next: String,
    }
    #[derive(Deserialize)]
    struct Others {
        data: Vec<Box<RawValue>>,
        #[serde(default)]
        has_more: Option<bool>,
        #[serde(default)]
        last_id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }
    if dialect == Dialect::Gemini {
        let Geminis { models, next } = serde_json::from_slice(page).ok()?;
        let named = |model: Box<RawValue>| {
            let Named { name } = serde_json::from_str(model.get()).ok()?;
            Some((name.strip_prefix("models/").unwrap_or(&name).to_owned(), model))
        };
        return Some((models.into_iter().filter_map(named).collect(), Some(next).filter(|next| !next.is_empty())));
    }
    let Others { data, has_more, last_id } = serde_json::from_slice(page).ok()?;
    let named = |model: Box<RawValue>| {
        let Identified { id } = serde_json::from_str(model.get()).ok()?;
        Some((id, model))
    };
    // OpenAI's has no pages.
    let next = last_id.filter(|_| dialect == Dialect::Anthropic && has_more == Some(true));
    Some((data.into_iter().filter_map(named).collect(), next))
}

impl Shelf {
    pub(super) fn of(dialect: Dialect, models: Listed) -> Self {
        Self { dialect, models }
    }

    /// The same with other names of them, each told as the first that it stands for.
    pub(super) fn with(&self, aliases: &Aliases) -> Self {
        let mut models = self.models.clone();
        for (alias, stands_for) in aliases.all().filter(|(alias, _)| self.find(alias).is_none()) {
            let meant = stands_for.iter().find_map(|name| self.find(name));
            models.extend(meant.and_then(|model| Some((alias.clone(), self.called(alias, model)?))));
        }
        Self { dialect: self.dialect, models }
    }

    /// What is said of a model, under another name.
    fn called(&self, alias: &str, model: &RawValue) -> Option<Box<RawValue>> {
        let mut fields: Map<String, Value> = serde_json::from_str(model.get()).ok()?;
        match self.dialect {
            Dialect::Gemini => fields.insert("name".to_owned(), format!("models/{alias}").into()),
            _ => fields.insert("id".to_owned(), alias.into()),
        };
        to_raw_value(&fields).ok()
    }

    fn find(&self, name: &str) -> Option<&RawValue> {
        self.models.iter().find(|(known, _)| known == name).map(|(_, model)| &**model)
    }

    /// All of them, as a provider lists them.
    pub(in crate::gateway) fn whole(&self) -> Bytes {
        self.told(self.models.iter().collect::<Vec<_>>().as_slice(), false)
    }

    /// One model, by its name in a path.
    pub(in crate::gateway) fn model(&self, name: &str, tenant: &Tenant) -> Option<Bytes> {
        self.named(&percent_decode_str(name).decode_utf8().ok()?, tenant)
    }

    /// One model.
    pub(in crate::gateway) fn named(&self, name: &str, tenant: &Tenant) -> Option<Bytes> {
        let model = self.find(name).filter(|_| tenant.may_use(name))?;
        Some(Bytes::copy_from_slice(model.get().as_bytes()))
    }

    /// All that the tenant may use, whatever the query asks for.
    pub(in crate::gateway) fn tenants(&self, tenant: &Tenant) -> Bytes {
        self.told(&self.own(tenant), false)
    }

    fn own(&self, tenant: &Tenant) -> Vec<&(String, Box<RawValue>)> {
        self.models.iter().filter(|(name, _)| tenant.may_use(name)).collect()
    }

    /// A page of them; `None`: the query asks for what is not known here.
    pub(in crate::gateway) fn page(&self, head: &Parts, tenant: &Tenant) -> Option<Bytes> {
        let query = head.uri.query().unwrap_or_default();
        let own = self.own(tenant);
        match self.dialect {
            Dialect::Gemini => geminis(query, &own),
            Dialect::OpenAi => query.is_empty().then(|| self.told(&own, false)),
            Dialect::Anthropic => self.anthropics(query, &own),
        }
    }

    fn anthropics(&self, query: &str, own: &[&(String, Box<RawValue>)]) -> Option<Bytes> {
        let (mut limit, mut after, mut before) = (20, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value).decode_utf8().ok()?;
            let place = || own.iter().position(|(name, _)| *name == value);
            match name {
                "limit" => limit = value.parse().ok().filter(|limit| (1..=1_000).contains(limit))?,
                "after_id" => after = Some(place()?),
                "before_id" => before = Some(place()?),
                "beta" => {}
                _ => return None,
            }
        }
        Some(match (after, before) {
            (Some(_), Some(_)) => return None,
            (None, Some(end)) => {
                let begin = usize::saturating_sub(end, limit);
                self.told(&own[begin..end], begin > 0)
            }
            (after, None) => {
                let begin = after.map_or(0, |at| at + 1);
                let end = own.len().min(begin + limit);
                self.told(&own[begin..end], end < own.len())
            }
        })
    }

    fn told(&self, models: &[&(String, Box<RawValue>)], has_more: bool) -> Bytes {
        let all: Vec<&str> = models.iter().map(|(_, model)| model.get()).collect();
        let all = all.join(",");
        let id = |model: Option<&&(String, _)>| Value::from(model.map(|(id, _)| id.as_str()));
        match self.dialect {
            Dialect::Gemini => format!("{{\"models\":[{all}]}}"),
            Dialect::OpenAi => format!("{{\"object\":\"list\",\"data\":[{all}]}}"),
            Dialect::Anthropic => {
                let (first, last) = (id(models.first()), id(models.last()));
                format!("{{\"data\":[{all}],\"has_more\":{has_more},\"first_id\":{first},\"last_id\":{last}}}")
            }
        }
        .into()
    }
}

fn geminis(query: &str, own: &[&(String, Box<RawValue>)]) -> Option<Bytes> {
    let (mut size, mut from) = (50, 0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("pageSize" | "page_size", value) => {
                size = value.parse().ok().filter(|size| *size > 0).unwrap_or(50).min(1_000);
            }
            ("pageToken" | "page_token", "") | ("alt" | "$alt", "json") | ("key" | "prettyPrint", _) => {}
            ("pageToken" | "page_token", value) => from = value.parse().ok()?,
            _ => return None,
        }
    }
    let page = own.get(from..(from + size).min(own.len())).unwrap_or_default();
    let page: Vec<&str> = page.iter().map(|(_, model)| model.get()).collect();
    let mut text = String::from("{");
    if !page.is_empty() {
        text.extend(["\"models\":[", &page.join(","), "]"]);
    }
    if from + size < own.len() {
        text.extend([",\"nextPageToken\":\"", &(from + size).to_string(), "\""]);
    }
    text.push('}');
    Some(text.into())
}
