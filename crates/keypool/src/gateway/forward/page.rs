//! Pages of what an account has (files, batches and the like), as clients of `OpenAI` and Anthropic ask for them: read, put
//! in order, and told.

use std::{cmp::Ordering, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    place::{Cursor, FRONT},
    wishes::wait_of,
};
use crate::gateway::{dialect::Dialect, dialect::Refusal, route::way::behind};

/// Collections with pages of this form, and how many items each provider answers with where nobody says how many.
const OPENAIS: [(&str, usize); 6] = [
    ("/files", MOST),
    ("/batches", 20),
    ("/fine_tuning/jobs", 20),
    ("/vector_stores", 20),
    ("/containers", 20),
    ("/assistants", 20),
];
const ANTHROPICS: [(&str, usize); 2] = [("/files", 20), ("/messages/batches", 20)];
/// Nobody gets more at once.
const MOST: usize = 10_000;
/// So many are asked of an account at once, at most; and of one of which many may have to be gone by, at least.
const PAGE: usize = 1_000;
const FAR: usize = 100;
/// No provider gives longer ids.
const LONGEST: usize = 512;
/// What is written as it is in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const NO_SUCH: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "nothing in this list is called as the page's place says");
const BOTH: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "a page begins behind an item, ends in front of one, or is where its cursor says",
);

/// When something was made: the items of a list come by that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Made {
    /// Nobody says.
    Unsaid,
    /// In milliseconds of Unix time.
    At(i64),
    /// As it is written, in UTC and without its zone: the order of such texts is that of time.
    Said(String),
}

/// One of a list.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) made: Made,
    /// Its id as it is written: what it escapes stays so.
    written: Box<RawValue>,
    text: Box<RawValue>,
}

/// What an account answers with.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) more: bool,
    /// The token of the next one.
    pub(super) next: Option<String>,
    pub(super) form: Form,
}

/// By what a list goes on, as its provider writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// By a token: `next_page`.
    pub(super) tokens: bool,
    /// By its items: `has_more`, `last_id`.
    pub(super) items: bool,
}

/// On which side of a page its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It begins behind it.
    After,
    /// It ends in front of it.
    Before,
}

/// Where a page of an account's is to begin.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'p> {
    Beginning,
    Beside(Side, &'p str),
    /// What its account called the page.
    Token(&'p str),
}

/// A page that is asked for.
#[derive(Debug)]
pub(in crate::gateway) struct Asked {
    dialect: Dialect,
    path: String,
    /// What else the query says.
    rest: String,
    limit: Option<usize>,
    usual: usize,
    ascending: bool,
    after: Option<String>,
    before: Option<String>,
    /// A cursor of ours.
    page: Option<String>,
    /// The client's, for each account.
    pub(super) headers: HeaderMap,
    /// So long it would wait for an account's key.
    pub(super) wait: Option<Duration>,
}

/// The collections of providers that speak this dialect.
fn collections(dialect: Dialect) -> &'static [(&'static str, usize)] {
    match dialect {
        Dialect::Gemini => &[],
        Dialect::OpenAi => &OPENAIS,
        Dialect::Anthropic => &ANTHROPICS,
    }
}

impl Asked {
    /// `None`: the request asks for something else.
    pub(in crate::gateway) fn by(dialect: Dialect, parts: &Parts) -> Option<Self> {
        if parts.method != Method::GET {
            return None;
        }
        let path = parts.uri.path().trim_end_matches('/');
        let rest = behind(path, "/v1")?;
        let (_, usual) = *collections(dialect).iter().find(|(collection, _)| rest == *collection)?;
        let mut headers = parts.headers.clone();
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_TYPE, header::RANGE] {
            headers.remove(name);
        }
        for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE] {
            headers.remove(name);
        }
        let (path, rest) = (path.to_owned(), String::new());
        let (limit, ascending, after, before, page) = (None, false, None, None, None);
        let wait = wait_of(&parts.extensions);
        let mut asked = Self { dialect, path, rest, limit, usual, ascending, after, before, page, headers, wait };
        parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .for_each(|pair| asked.hear(pair));
        Some(asked)
    }

    fn hear(&mut self, pair: &str) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = || Some(percent_decode_str(value).decode_utf8_lossy().into_owned()).filter(|text| !text.is_empty());
        let (after, before) = self.sides();
        match name {
            // What is no number, or too large a one, is the provider's to refuse.
            "limit" if value.parse().is_ok_and(|limit| (1..=MOST).contains(&limit)) => self.limit = value.parse().ok(),
            name if name == after => self.after = text(),
            name if name == before => self.before = text(),
            // Others of OpenAI's dialect count pages, which is theirs to read.
            "page" if self.dialect == Dialect::Anthropic || value.starts_with(FRONT) => self.page = text(),
            _ => {
                self.ascending |= pair == "order=asc";
                self.rest.extend(["&", pair]);
            }
        }
    }

    /// How the two sides of a page are called.
    fn sides(&self) -> (&'static str, &'static str) {
        if self.dialect == Dialect::Anthropic { ("after_id", "before_id") } else { ("after", "before") }
    }

    /// The item that the page begins behind, or ends in front of.
    ///
    /// # Errors
    /// Where it is neither, or nothing could be called so.
    pub(super) fn place(&self) -> Result<Option<(Side, &str)>, Refusal> {
        let (side, id) = match (&self.after, &self.before, &self.page) {
            (None, None, _) => return Ok(None),
            (Some(after), None, None) => (Side::After, after),
            (None, Some(before), None) => (Side::Before, before),
            _ => return Err(BOTH),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:~".contains(&byte);
        let is_id = id.len() <= LONGEST && id.bytes().all(plain) && id.bytes().any(|byte| byte != b'.');
        if is_id { Ok(Some((side, id))) } else { Err(NO_SUCH) }
    }

    /// How many items there are on a page.
    pub(super) fn size(&self) -> usize {
        self.limit.unwrap_or(self.usual)
    }

    /// Where every account stands, as the client brings it back.
    ///
    /// # Errors
    /// Where it is no cursor of this list.
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, Refusal> {
        self.page.as_deref().map(|page| Cursor::read(page, &self.path)).transpose()
    }

    /// The same for the next page.
    ///
    /// # Errors
    /// Where it would be too long.
    pub(super) fn cursor_text(&self, cursor: &Cursor) -> Result<String, Refusal> {
        cursor.text(&self.path)
    }

    /// An item's place in this list, however large its pages are.
    pub(super) fn place_of(&self, name: &str) -> String {
        format!("{name}\n{}?{}", self.path, self.rest)
    }

    /// Where a page of an account's stands. `far`: many items may have to be gone by.
    pub(super) fn target(&self, start: Start<'_>, far: bool) -> String {
        let limit = match self.limit {
            limit if far => Some(limit.unwrap_or(self.usual).clamp(FAR, PAGE)),
            limit => limit.map(|limit| limit.min(PAGE)),
        };
        let mut query = self.rest.clone();
        if let Some(limit) = limit {
            query.extend(["&limit=", &limit.to_string()]);
        }
        let (after, before) = self.sides();
        let place = match start {
            Start::Beginning => None,
            Start::Beside(Side::After, id) => Some((after, id)),
            Start::Beside(Side::Before, id) => Some((before, id)),
            Start::Token(token) => Some(("page", token)),
        };
        if let Some((name, value)) = place {
            query.extend(["&", name, "="]);
            query.extend(utf8_percent_encode(value, PLAIN));
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.path, query.strip_prefix('&').unwrap_or_default())
    }

    /// Where one of the items stands.
    pub(super) fn target_of(&self, id: &str) -> String {
        // Anthropic's clients say it of whatever is new.
        let beta = self.rest.split('&').find(|pair| pair.starts_with("beta="));
        let mark = if beta.is_some() { "?" } else { "" };
        format!("{}/{id}{mark}{}", self.path, beta.unwrap_or_default())
    }

    /// Which of two items comes first, by when they were made.
    pub(super) fn order(&self, one: &Made, other: &Made) -> Ordering {
        if self.ascending { one.cmp(other) } else { other.cmp(one) }
    }

    /// A page as its provider writes it, and where the next one begins.
    pub(super) fn told(&self, items: &[Item], more: bool, (form, next): (Form, Option<&str>)) -> Bytes {
        let all: Vec<&str> = items.iter().map(|item| item.text.get()).collect();
        let kind = if self.dialect == Dialect::Anthropic { "" } else { "\"object\":\"list\"," };
        let mut text = format!("{{{kind}\"data\":[{}]", all.join(","));
        if form.items || !form.tokens {
            let id = |item: Option<&Item>| item.map_or("null", |item| item.written.get()).to_owned();
            let (first, last) = (id(items.first()), id(items.last()));
            text.extend([",\"first_id\":", &first, ",\"last_id\":", &last, ",\"has_more\":", &more.to_string()]);
        }
        if form.tokens {
            text.extend([",\"next_page\":", &next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""))]);
        }
        text.push('}');
        text.into()
    }
}

impl Page {
    /// `None`: it is none of this form.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Written {
            data: Vec<Box<RawValue>>,
            #[serde(default)]
            has_more: Option<bool>,
            // Null where there is none, unlike where the provider knows of no such thing.
            #[serde(default = "unsaid")]
            next_page: Value,
        }
        const fn unsaid() -> Value {
            Value::Bool(false)
        }
        let Written { data, has_more, next_page } = serde_json::from_slice(text).ok()?;
        let items = data.into_iter().map(Item::read).collect::<Option<_>>()?;
        let form = Form { tokens: next_page != unsaid(), items: has_more.is_some() };
        let next = next_page.as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        Some(Self { items, more: has_more == Some(true), next, form })
    }
}

impl Item {
    /// `None`: nothing says what it is called.
    pub(super) fn read(text: Box<RawValue>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Named {
            id: Box<RawValue>,
            #[serde(default)]
            created_at: Value,
        }
        let Named { id: written, created_at } = serde_json::from_str(text.get()).ok()?;
        let id = serde_json::from_str(written.get()).ok()?;
        let made = match created_at {
            Value::String(said) => Made::Said(said.trim_end_matches("+00:00").trim_end_matches('Z').to_owned()),
            at => at.as_f64().map_or(Made::Unsaid, |at| Made::At((at * 1_000.0) as i64)),
        };
        Some(Self { id, made, written, text })
    }

    /// So many bytes of it are held.
    pub(super) fn len(&self) -> usize {
        self.text.get().len()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(dialect: Dialect, target: &str) -> Option<Asked> {
        Asked::by(dialect, &Request::get(target).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn lists_are_told_from_what_is_below_them() {
        for (dialect, target, is_list) in [
            (Dialect::OpenAi, "/v1/files", true),
            (Dialect::OpenAi, "/v1/files/?limit=2", true),
            (Dialect::OpenAi, "/v1/fine_tuning/jobs", true),
            (Dialect::OpenAi, "/v1/files/file-1", false),
            (Dialect::OpenAi, "/v1/messages/batches", false),
            (Dialect::OpenAi, "/v1/models", false),
            (Dialect::Anthropic, "/v1/messages/batches?beta=true", true),
            (Dialect::Anthropic, "/v1/batches", false),
            (Dialect::Gemini, "/v1/files", false),
        ] {
            assert_eq!(asked(dialect, target).is_some(), is_list, "{target}");
        }
        let post = Request::post("/v1/files").body(()).unwrap().into_parts().0;
        assert!(Asked::by(Dialect::OpenAi, &post).is_none());
    }

    #[test]
    fn an_account_is_asked_what_the_client_asks() {
        let of = |dialect, target| asked(dialect, target).unwrap();
        let plain = of(Dialect::OpenAi, "/v1/files?purpose=batch&order=asc&after=&limit=no");
        assert_eq!(plain.target(Start::Beginning, false), "/v1/files?purpose=batch&order=asc&limit=no");
        assert!(plain.ascending && plain.place().unwrap().is_none());
        assert_eq!(of(Dialect::OpenAi, "/v1/files").target(Start::Beginning, false), "/v1/files");
        let page = of(Dialect::OpenAi, "/v1/batches?after=b%2D1&limit=2");
        assert_eq!(page.place().unwrap(), Some((Side::After, "b-1")));
        assert_eq!(page.target(Start::Beside(Side::After, "b-0"), false), "/v1/batches?limit=2&after=b-0");
        assert_eq!(page.target(Start::Beginning, true), "/v1/batches?limit=100");
        let page = of(Dialect::Anthropic, "/v1/files?beta=true&before_id=f&limit=3");
        assert_eq!(page.place().unwrap(), Some((Side::Before, "f")));
        assert_eq!(page.target(Start::Beside(Side::Before, "f"), false), "/v1/files?beta=true&limit=3&before_id=f");
        assert_eq!(page.target_of("f"), "/v1/files/f?beta=true");
        assert_eq!(of(Dialect::OpenAi, "/v1/files?limit=9000").target(Start::Beginning, false), "/v1/files?limit=1000");
        for wrong in ["after=..", "after=a/b", "after=a%3Fb", "after=a&before=b"] {
            let target = format!("/v1/files?{wrong}");
            assert!(asked(Dialect::OpenAi, &target).unwrap().place().is_err(), "{wrong}");
        }
    }

    #[test]
    fn items_are_told_as_they_came() {
        let text = r#"{"data":[{"id":"a" ,"created_at": 2},{"created_at":"2026-01-01T00:00:00.5Z","id":"b\u0063"}],"has_more":true}"#;
        let page = Page::read(text.as_bytes()).unwrap();
        assert!(page.more);
        assert_eq!((&*page.items[1].id, &page.items[0].made), ("bc", &Made::At(2_000)));
        let told = asked(Dialect::OpenAi, "/v1/files").unwrap().told(&page.items, false, (page.form, None));
        let data = text.split("\"data\":").nth(1).unwrap().split(",\"has_more\"").next().unwrap();
        let expected = format!(
            "{{\"object\":\"list\",\"data\":{data},\"first_id\":\"a\",\"last_id\":\"b\\u0063\",\"has_more\":false}}"
        );
        assert_eq!(told, expected);
        let none = asked(Dialect::Anthropic, "/v1/files").unwrap().told(&[], false, (Form::default(), None));
        assert_eq!(none, r#"{"data":[],"first_id":null,"last_id":null,"has_more":false}"#);
        for wrong in ["{}", "[]", r#"{"data":[1]}"#, r#"{"data":[{"name":"x"}]}"#, "nonsense"] {
            assert!(Page::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_newer_comes_first_unless_it_is_asked_otherwise() {
        let made = |text: &str| Item::read(serde_json::from_str(text).unwrap()).unwrap().made;
        let said = |at: &str| made(&format!("{{\"id\":\"x\",\"created_at\":\"{at}\"}}"));
        let (old, new) = (said("2026-01-01T00:00:00Z"), said("2026-01-01T00:00:00.123Z"));
        assert_eq!(old, said("2026-01-01T00:00:00+00:00"));
        let asked = |query| asked(Dialect::OpenAi, &format!("/v1/vector_stores{query}")).unwrap();
        assert_eq!(asked("").order(&new, &old), Ordering::Less);
        assert_eq!(asked("?order=desc").order(&new, &old), Ordering::Less);
        assert_eq!(asked("?order=asc").order(&new, &old), Ordering::Greater);
        assert_eq!(made(r#"{"id":"x"}"#), Made::Unsaid);
    }
}
