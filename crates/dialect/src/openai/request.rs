//! A request for a chat completion, field by field.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    message::{self, Message},
    older, reasoning, sampling, tool,
};
use crate::{
    Asked, Canvas, Effort, Fault, Ignored, Medium, Text,
    fields::{Field, Fields},
};

/// Fields that change nothing about an answer here.
pub(super) const NEVER_MATTER: [&str; 10] = [
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prediction",
    // What Mastra asks its library to hold a schema to gets into the body.
    "strictJsonSchema",
];

/// Fields that would change the answer and cannot be had, but for these values.
const ONLY_AS: [(&str, &[&str]); 3] = [("logit_bias", &["{}"]), ("verbosity", &[r#""medium""#]), ("audio", &[])];

/// What is asked for where a search on the web is.
const SEARCH: &str = "web_search_options";

/// As routers ask for the usage of a stream.
#[derive(Deserialize)]
struct UsageOption {
    include: Option<bool>,
}

#[derive(Deserialize)]
struct Search<'a> {
    #[serde(borrow)]
    search_context_size: Option<&'a RawValue>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
}

pub(super) fn read(body: &[u8], strict: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked::default();
    let mut top = None;
    let (fields, messages) = Fields::read_with::<Vec<Message<'_>>>(body, "messages")?;
    for field in fields.given() {
        match &*field.name {
            "model" => asked.conversation.model = field.read()?,
            "top_logprobs" => top = Some(field),
            _ => {
                let read = known(&field, &mut asked, strict);
                read.or_else(|fault| match fault {
                    Unread::Wrong(fault) => Err(fault),
                    Unread::CannotBeHad => asked.ignored.unless(strict, field.refused()),
                })?;
            }
        }
    }
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    let Some(messages) = messages else { return Err(Fault::invalid("messages is missing").at("messages")) };
    let Asked { conversation, ignored, .. } = &mut asked;
    if let Some(top) = top {
        let top: u32 = top.integer()?;
        match &mut conversation.sampling.logprobs {
            Some(logprobs) => *logprobs = top,
            None if top == 0 => {}
            None => return Err(Fault::invalid("top_logprobs needs logprobs: true").at("top_logprobs")),
        }
    }
    conversation.settle_choice(ignored, strict)?;
    message::read(messages, conversation, ignored)?;
    Ok(asked)
}

/// Why a field was not read.
enum Unread {
    Wrong(Fault),
    CannotBeHad,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::Wrong(fault)
    }
}

fn known<'a>(field: &Field<'a>, asked: &mut Asked<'a>, strict: bool) -> Result<(), Unread> {
    if sampling::read(field, asked)? {
        return Ok(());
    }
    let Asked { conversation, ignored, usage_wanted, repeated, .. } = asked;
    match &*field.name {
        "usage" => *usage_wanted |= field.read::<UsageOption>()?.include == Some(true),
        // The newer name wins, whichever comes last.
        "max_completion_tokens" => conversation.sampling.most = Some(field.positive()?),
        "logprobs" => conversation.sampling.logprobs = field.read::<bool>()?.then_some(0),
        "tools" => conversation.tools.extend(tool::tools(field, (&mut repeated.origins, ignored), strict)?),
        "functions" => {
            let functions = older::functions(field)?;
            conversation.one_call |= !functions.is_empty();
            repeated.in_older_form |= !functions.is_empty();
            conversation.tools.extend(functions);
        }
        "function_call" => conversation.tool_choice = older::choice(field)?,
        "tool_choice" => conversation.tool_choice = tool::choice(field)?,
        "parallel_tool_calls" => conversation.one_call = !field.read::<bool>()?,
        "response_format" => conversation.format = tool::format(field)?,
        "reasoning_effort" => {
            let effort = effort(&field.read::<Text<'_>>()?, "reasoning_effort")?;
            if !reasoning::has_said(&conversation.thinking) {
                conversation.thinking.effort = Some(effort);
                conversation.thinking.place = "reasoning_effort";
            }
        }
        reasoning::NAME => reasoning::read(field, &mut conversation.thinking, (ignored, strict))?,
        "modalities" => {
            let wished: Vec<Text<'_>> = field.read()?;
            if !wished.iter().all(|word| matches!(&**word, "text" | "image")) {
                return Err(Unread::CannotBeHad);
            }
            if wished.iter().any(|word| &**word == "image") {
                conversation.medium = Medium::Images(Canvas::default());
            }
        }
        SEARCH => {
            let Search { search_context_size, user_location } = field.read()?;
            // How much is read of what is found, and where somebody lives, is the upstream's to guess.
            let given = [("search_context_size", search_context_size), ("user_location", user_location)];
            ignored.within(SEARCH, given);
            conversation.search = Some(SEARCH);
        }
        "extra_body" => extra(field, asked)?,
        _ if ignored.takes(field, &NEVER_MATTER, &ONLY_AS) => {}
        _ => return Err(Unread::CannotBeHad),
    }
    Ok(())
}

/// The word for an effort, which stands at `place`.
pub(crate) fn effort(word: &str, place: &str) -> Result<Effort, Fault> {
    Ok(match word {
        "none" => Effort::Off,
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" | "xhigh" | "max" => Effort::High,
        _ => {
            let why = format!("{place}: expected one of none, minimal, low, medium, high, xhigh");
            return Err(Fault::invalid(why).at(place));
        }
    })
}

/// What Google's own compatible endpoint takes beside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Google<'a> {
    #[serde(borrow)]
    cached_content: Option<Text<'a>>,
    #[serde(borrow)]
    thinking_config: Option<ThinkingConfig<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThinkingConfig<'a> {
    #[serde(alias = "includeThoughts")]
    include_thoughts: Option<bool>,
    #[serde(alias = "thinkingBudget")]
    thinking_budget: Option<i64>,
    #[serde(borrow, alias = "thinkingLevel")]
    thinking_level: Option<Text<'a>>,
}

fn extra<'a>(field: &Field<'a>, asked: &mut Asked<'a>) -> Result<(), Fault> {
    let Some(google) = field.read::<Extra<'a>>()?.google else { return Ok(()) };
    asked.conversation.cached = google.cached_content;
    let Some(config) = google.thinking_config else { return Ok(()) };
    let thinking = &mut asked.conversation.thinking;
    thinking.shown = config.include_thoughts.or(thinking.shown);
    if config.thinking_budget.is_some() || config.thinking_level.is_some() {
        thinking.place = reasoning::ITS_OWN;
    }
    let level = config.thinking_level.as_deref().map(str::to_ascii_lowercase);
    thinking.effort = match (config.thinking_budget, level.as_deref()) {
        (Some(0), _) => Some(Effort::Off),
        // -1 lets the model choose.
        (Some(budget), _) => u32::try_from(budget).ok().map(Effort::Tokens),
        (None, Some("minimal")) => Some(Effort::Minimal),
        (None, Some("low")) => Some(Effort::Low),
        (None, Some("medium")) => Some(Effort::Medium),
        (None, Some("high")) => Some(Effort::High),
        (None, None) => thinking.effort,
        (None, Some(_)) => {
            let place = "extra_body.google.thinking_config.thinking_level";
            return Err(Fault::invalid(format!("{place}: expected minimal, low, medium or high")).at(place));
        }
    };
    Ok(())
}

impl Ignored {
    /// Whether this one was.
    #[cfg(test)]
    pub(crate) fn has(&self, field: &str) -> bool {
        self.listed().is_some_and(|listed| listed.split(", ").any(|known| known == field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Asked<'static>, Fault> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],{fields},"model":"m"}}"#);
        read(body.leak().as_bytes(), true)
    }

    #[test]
    fn what_cannot_matter_is_listed() {
        let asked = with(r#""user":"u","store":true,"metadata":{},"logit_bias":{},"seed":null"#).unwrap();
        for name in ["user", "store", "metadata", "logit_bias"] {
            assert!(asked.ignored.has(name), "{name}");
        }
        assert_eq!(asked.ignored.listed().unwrap(), "user, store, metadata, logit_bias");
        // Mastra's, beside a schema.
        assert!(with(r#""strictJsonSchema":true"#).unwrap().ignored.has("strictJsonSchema"));
        let asked = with(r#""presence_penalty":0,"frequency_penalty":0.0,"n":1"#).unwrap();
        assert_eq!(asked.ignored.listed().unwrap(), "presence_penalty, frequency_penalty");
        assert_eq!(asked.conversation.sampling.presence_penalty, None);
    }

    #[test]
    fn what_would_matter_is_refused_by_name() {
        for (field, value) in [
            ("logit_bias", r#"{"1":2}"#),
            ("modalities", r#"["text","audio"]"#),
            ("verbosity", r#""low""#),
            ("no_such_field", "1"),
            ("audio", "{}"),
        ] {
            let body = format!(r#""{field}":{value}"#);
            assert_eq!(with(&body).unwrap_err().param.as_deref(), Some(field));
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"{field}":{value}}}"#);
            assert!(read(body.as_bytes(), false).unwrap().ignored.has(field), "not strict");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        for (fields, place) in [
            (r#""temperature":"hot""#, "temperature"),
            (r#""tools":[{"type":"function","function":{}}]"#, "tools[0].function"),
            (r#""tools":[{"type":"custom"}]"#, "tools[0].type"),
            (r#""tool_choice":"perhaps""#, "tool_choice"),
            (r#""functions":[{"name":"f"},{}]"#, "functions[1]"),
            (r#""function_call":"perhaps""#, "function_call"),
            (r#""functions":[{"name":"f"}],"function_call":{"name":"g"}"#, "tool_choice"),
            (r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
            (r#""reasoning_effort":"huge""#, "reasoning_effort"),
            (r#""reasoning":{"effort":"huge"}"#, "reasoning.effort"),
            (r#""reasoning":{"effort":"low","max_tokens":9}"#, "reasoning.max_tokens"),
            (r#""reasoning":{"max_tokens":-9}"#, "reasoning.max_tokens"),
            (r#""reasoning":{"enabled":false,"effort":"low"}"#, "reasoning.enabled"),
            (r#""reasoning":{"exclude":"yes"}"#, "reasoning.exclude"),
            (r#""reasoning":{"summary":"auto"}"#, "reasoning.summary"),
            (r#""reasoning":{"no_such":null,"other":1}"#, "reasoning.other"),
            (r#""reasoning":"low""#, "reasoning"),
            (r#""top_logprobs":2"#, "top_logprobs"),
            (r#""max_tokens":-1"#, "max_tokens"),
            (r#""max_tokens":0"#, "max_tokens"),
            (r#""max_completion_tokens":0"#, "max_completion_tokens"),
            (r#""stream":"yes""#, "stream"),
        ] {
            assert_eq!(with(fields).unwrap_err().param.as_deref(), Some(place), "{fields}");
        }
    }

    #[test]
    fn the_providers_own_words_for_thinking_win_whichever_come_last() {
        let own = r#""extra_body":{"google":{"thinking_config":{"thinking_budget":5000,"include_thoughts":true}}}"#;
        let shown = r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true}}}"#;
        let effort = r#""reasoning_effort":"high""#;
        let router = r#""reasoning":{"effort":"high","exclude":true}"#;
        for (own, other, effort) in [
            (own, effort, Effort::Tokens(5000)),
            (own, router, Effort::Tokens(5000)),
            (shown, effort, Effort::High),
            (shown, router, Effort::High),
        ] {
            for fields in [format!("{own},{other}"), format!("{other},{own}")] {
                let thinking = with(&fields).unwrap().conversation.thinking;
                assert_eq!((thinking.effort, thinking.shown), (Some(effort), Some(true)), "{fields}");
            }
        }
    }

    #[test]
    fn both_names_of_the_same_are_one() {
        for fields in [r#""max_tokens":1,"max_completion_tokens":2"#, r#""max_completion_tokens":2,"max_tokens":1"#] {
            assert_eq!(with(fields).unwrap().conversation.sampling.most, Some(2));
        }
        assert_eq!(with(r#""max_tokens":1"#).unwrap().conversation.sampling.most, Some(1));
    }
}
