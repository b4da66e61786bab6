//! The caller's side: what a dialect has to know.

use bytes::Bytes;
use http::StatusCode;
use serde_json::value::RawValue;

use crate::{Conversation, Event, Fault, Model, fields::Field, origins::Origins};

/// A dialect of callers.
pub trait Caller: Send + Sync {
    /// Reads a request for the next turn of a conversation. Not `strict`: what would change the answer and cannot be
    /// had is ignored, too.
    ///
    /// # Errors
    /// What is wrong with it.
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault>;

    /// Whoever writes the answer.
    fn voice(&self, shape: Shape) -> Box<dyn Voice>;

    /// A fault, before anything of an answer went out.
    fn refused(&self, fault: &Fault) -> Refused;

    /// So many tokens a conversation has.
    fn counted(&self, tokens: u64) -> String {
        format!(r#"{{"input_tokens":{tokens}}}"#)
    }

    /// The models on offer.
    fn models(&self, models: &[Model]) -> String;

    /// One of them.
    fn model(&self, model: &Model) -> String;
}

/// A request that was understood.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// What for.
    pub conversation: Conversation<'a>,
    /// What of it was not needed.
    pub ignored: Ignored,
    /// A stream tells at its end what it cost.
    pub usage_wanted: bool,
    /// How the answer is written.
    pub form: Form,
    /// What of it the answer repeats.
    pub repeated: Repeated,
}

/// What of a request its answer repeats, where its dialect does.
#[derive(Clone, Debug, Default)]
pub struct Repeated {
    /// The tools.
    pub tools: Option<serde_json::Value>,
    /// Fields that stand in the answer as they stood in the request.
    pub(crate) echoed: serde_json::Map<String, serde_json::Value>,
    /// The id of the response that it goes on from.
    pub before: Option<String>,
    /// What its functions are called there.
    pub(crate) origins: Origins,
    /// Its calls are told as they were before there were tools: one, without an id.
    pub(crate) in_older_form: bool,
}

/// How an answer is written, where its dialect leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As an object of the dialect's.
    #[default]
    Object,
    /// Its text and nothing else.
    Bare,
    /// Sound, with the head that says what sound it is.
    Wav,
    /// Sound without.
    Pcm,
}

/// So many fields are named.
const MOST: usize = 30;

/// Fields that were read over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored(Vec<String>);

impl Ignored {
    /// One more; the same one is named once, and thirty are enough.
    pub fn add(&mut self, field: impl Into<String>) {
        let field = field.into();
        // A header will carry it.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if self.0.len() < MOST && field.len() <= 64 && field.bytes().all(plain) && !self.0.contains(&field) {
            self.0.push(field);
        }
    }

    /// What is given within a field, and changes nothing here: `null` and `false` are nothing.
    pub(crate) fn within<'g>(&mut self, field: &str, given: impl IntoIterator<Item = (&'g str, Option<&'g RawValue>)>) {
        let said = |given: &RawValue| !matches!(given.get(), "null" | "false");
        for (name, _) in given.into_iter().filter(|(_, given)| given.is_some_and(said)) {
            self.add(format!("{field}.{name}"));
        }
    }

    /// Tells names otherwise, where `told` does: what a caller calls a field may be a secret.
    pub fn rename(&mut self, told: impl Fn(&str) -> Option<String>) {
        for name in &mut self.0 {
            if let Some(told) = told(name) {
                *name = told;
            }
        }
    }

    /// Notes a field that changes nothing about an answer: one that never does, or one whose value is the only one to be
    /// had. Says whether it is such a one.
    pub(crate) fn takes(&mut self, field: &Field<'_>, never_matter: &[&str], only_as: &[(&str, &[&str])]) -> bool {
        let name = &*field.name;
        let mut values = only_as.iter().filter(|(known, _)| *known == name).flat_map(|(_, values)| values.iter());
        let takes = never_matter.contains(&name) || values.any(|json| field.is(json));
        if takes {
            self.add(name);
        }
        takes
    }

    /// Takes a fault for a field that is only ignored where nobody is strict.
    ///
    /// # Errors
    /// The fault, where somebody is.
    pub fn unless(&mut self, strict: bool, fault: Fault) -> Result<(), Fault> {
        match &fault.param {
            Some(param) if !strict => {
                self.add(param.clone());
                Ok(())
            }
            _ => Err(fault),
        }
    }

    /// Whether this field may be one of them; `false` is sure.
    pub fn may_have(&self, field: &str) -> bool {
        self.0.len() == MOST || self.0.iter().any(|known| known == field)
    }

    /// Each.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// As a header has them; `None` where there are none.
    pub fn listed(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

/// A refusal in a dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its status.
    pub status: StatusCode,
    /// JSON.
    pub body: Bytes,
}

/// What an answer is to look like.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// The model's name as the caller has it.
    pub model: String,
    /// It comes in pieces.
    pub stream: bool,
    /// Those end with what it cost.
    pub usage: bool,
    /// Letters and digits that no other answer has.
    pub unique: String,
    /// Seconds since 1970.
    pub created: i64,
    /// How it is written.
    pub form: Form,
    /// What of the request it repeats.
    pub repeated: Repeated,
}

/// Writes an answer in the caller's dialect: a whole one at its end, a stream's pieces as they come.
pub trait Voice: Send {
    /// A piece of it.
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>);

    /// Why what came is not what was asked for, once no more comes, where the dialect has no other words for that.
    fn refuses(&self) -> Option<Fault> {
        None
    }

    /// It is whole.
    fn end(&mut self, out: &mut Vec<u8>);

    /// It will not be, and its beginning is out already.
    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>);

    /// What a whole answer is, as a header says it.
    fn media_type(&self) -> &'static str {
        "application/json"
    }

    /// Nothing came for a while; clients and what stands between should not give up.
    fn pause(&mut self, out: &mut Vec<u8>);
}
