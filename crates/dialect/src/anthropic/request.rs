//! A request for a message, field by field.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    block::{self, Message},
    fault::THREAD,
    tool,
};
use crate::{
    Asked, Effort, Fault, Format, Text,
    fields::{Field, Fields},
};

/// Fields that change nothing about an answer here; `context_management` shortens what is too long anyway.
const NEVER_MATTER: [&str; 7] =
    ["metadata", "service_tier", "cache_control", "inference_geo", "speed", "betas", "context_management"];

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    budget_tokens: Option<u32>,
    #[serde(borrow)]
    display: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<WireFormat<'a>>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
}

pub(super) fn read(body: &[u8], strict: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked { usage_wanted: true, ..Asked::default() };
    let (fields, messages) = Fields::read_with::<Vec<Message<'_>>>(body, "messages").map_err(dotted)?;
    for field in fields.given() {
        match &*field.name {
            "model" => asked.conversation.model = field.read()?,
            _ if known(&field, &mut asked, strict)? => {}
            _ => asked.ignored.unless(strict, field.refused())?,
        }
    }
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("model: Field required").at("model"));
    }
    let Some(messages) = messages else { return Err(Fault::invalid("messages: Field required").at("messages")) };
    block::uncited(&messages, strict, &mut asked.ignored)?;
    block::read(messages, &mut asked.conversation)?;
    tool::choose_search(&mut asked.conversation);
    asked.conversation.settle_choice(&mut asked.ignored, strict)?;
    Ok(asked)
}

/// A place in the style of this dialect, which its clients look for: `messages.0.content.0`.
fn dotted(fault: Fault) -> Fault {
    let Some(place) = fault.param.clone().filter(|place| place.contains('[')) else { return fault };
    let plain = place.replace('[', ".").replace(']', "");
    Fault { message: fault.message.replacen(&place, &plain, 1), param: Some(plain), ..fault }
}

/// Whether a field can be had.
fn known<'a>(field: &Field<'a>, asked: &mut Asked<'a>, strict: bool) -> Result<bool, Fault> {
    let Asked { conversation, ignored, .. } = asked;
    let sampling = &mut conversation.sampling;
    match &*field.name {
        "max_tokens" => sampling.most = Some(field.positive()?),
        "stream" => conversation.stream = field.read()?,
        "system" => conversation.system.splice(0..0, block::system(field)?).for_each(drop),
        "temperature" => sampling.temperature = Some(field.read()?),
        "top_p" => sampling.top_p = Some(field.read()?),
        "top_k" => sampling.top_k = Some(field.integer()?),
        "stop_sequences" => {
            if sampling.stop_at(field.read()?) {
                ignored.add("stop_sequences");
            }
        }
        "tools" => tool::tools(field, conversation, strict, ignored)?,
        "tool_choice" => tool::choice(field, conversation)?,
        "thinking" => {
            let Thinking { kind, budget_tokens, display } = field.read()?;
            conversation.thinking.shown =
                (&*kind != "disabled").then_some(display.as_deref().is_none_or(|display| display != "omitted"));
            match &*kind {
                "enabled" => {
                    conversation.thinking.effort = budget_tokens.map(Effort::Tokens);
                    conversation.thinking.place = "thinking";
                }
                "disabled" => conversation.thinking.effort = Some(Effort::Off),
                "adaptive" => {}
                _ => return Err(Fault::invalid("thinking.type: expected enabled, disabled or adaptive").at("thinking")),
            }
        }
        "output_config" => {
            let Output { effort, format } = field.read()?;
            if let Some(format) = format {
                conversation.format = Format::Schema(Cow::Borrowed(format.schema));
            }
            let effort = effort.as_deref().map(|effort| match effort {
                "low" => Some(Effort::Low),
                "medium" => Some(Effort::Medium),
                "high" | "xhigh" | "max" => Some(Effort::High),
                _ => None,
            });
            match effort {
                Some(None) => {
                    let why = "output_config.effort: expected low, medium, high, xhigh or max";
                    return Err(Fault::invalid(why).at("output_config.effort"));
                }
                // A budget says it more exactly.
                Some(effort) if conversation.thinking.effort.is_none() => {
                    conversation.thinking.effort = effort;
                    conversation.thinking.place = "output_config.effort";
                }
                _ => {}
            }
        }
        "output_format" => {
            conversation.format = Format::Schema(Cow::Borrowed(field.read::<WireFormat<'a>>()?.schema));
        }
        "mcp_servers" => return Ok(field.is("[]")),
        // Whoever continues one sends what is new alone: read over, it would be answered wrongly.
        THREAD => return Err(Fault::invalid("no conversation is held here: send all of it, without thread").at(THREAD)),
        name if NEVER_MATTER.contains(&name) => ignored.add(name),
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(fields: &str) -> Option<String> {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{fields}}}"#);
        read(body.as_bytes(), true).err().and_then(|fault| fault.param)
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, place) in [
            (r#""max_tokens":"x""#, "max_tokens"),
            (r#""max_tokens":0"#, "max_tokens"),
            (r#""max_tokens":1.5"#, "max_tokens"),
            (r#""container":"c""#, "container"),
            (r#""mcp_servers":[{}]"#, "mcp_servers"),
            (r#""tools":[{"type":"bash_20250124","name":"bash"}]"#, "tools[0].type"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
            (r#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
            (r#""thinking":{"type":"x"}"#, "thinking"),
        ] {
            assert_eq!(wrong(fields).as_deref(), Some(place), "{fields}");
        }
        let fine = r#""max_tokens":1,"metadata":{"user_id":"u"},"mcp_servers":[],"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]"#;
        assert_eq!(wrong(fine), None);
        assert_eq!(wrong(r#""max_tokens":100.0,"top_k":5.0"#), None);
    }
}
