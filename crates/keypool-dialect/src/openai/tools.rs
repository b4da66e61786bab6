//! Tools and the choice among them, as chat completions and responses have them; nested, flat, or in Anthropic's shape.

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    Conversation, Error, Format, Tool, ToolChoice,
    fields::{self, Notes},
    request::{Origin, Origins},
};

/// A tool in any of the shapes that clients send.
#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// As chat completions nest them.
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    name: Option<String>,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    /// Anthropic's word for parameters.
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    /// Of a namespace.
    #[serde(borrow)]
    tools: Option<Vec<&'a RawValue>>,
    /// How the text is that a custom tool takes.
    #[serde(borrow)]
    format: Option<&'a RawValue>,
    /// Of a search.
    #[serde(borrow)]
    filters: Option<&'a RawValue>,
    #[serde(borrow)]
    search_context_size: Option<&'a RawValue>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
}

/// Reads `tools`.
pub(crate) fn read(
    tools: Vec<&RawValue>,
    conversation: &mut Conversation,
    origins: &mut Origins,
    notes: &mut Notes,
) -> Result<(), Error> {
    for (index, value) in tools.into_iter().enumerate() {
        let place = format!("tools[{index}]");
        let tool: WireTool<'_> = fields::read(value, &place)?;
        match (tool.kind.as_deref(), tool.tools) {
            (Some("namespace"), Some(tools)) => {
                let namespace = tool.name.unwrap_or_default();
                if let Some(about) = tool.description.filter(|about| !about.trim().is_empty()) {
                    conversation.system.push(format!("Functions that begin with {}: {about}", joined(&namespace, "")));
                }
                for (number, value) in tools.into_iter().enumerate() {
                    let place = format!("{place}.tools[{number}]");
                    let tool: WireTool<'_> = fields::read(value, &place)?;
                    one(tool, Some(&namespace), &place, conversation, origins, notes)?;
                }
            }
            (Some(kind), None) if kind.starts_with("web_search") && tool.name.is_none() => {
                if tool.filters.is_some_and(|filters| !matches!(filters.get(), "null" | "{}")) {
                    notes
                        .refuse(Error::invalid(format!("{place}.filters"), "a search cannot be limited to domains"))?;
                }
                for (name, value) in
                    [("search_context_size", tool.search_context_size), ("user_location", tool.user_location)]
                {
                    if value.is_some_and(|value| value.get() != "null") {
                        notes.ignore(format!("tools.web_search.{name}"));
                    }
                }
                conversation.web_search = true;
            }
            (_, tools) => one(WireTool { tools, ..tool }, None, &place, conversation, origins, notes)?,
        }
    }
    Ok(())
}

/// A function, or a tool that takes a text.
fn one(
    tool: WireTool<'_>,
    namespace: Option<&str>,
    place: &str,
    conversation: &mut Conversation,
    origins: &mut Origins,
    notes: &mut Notes,
) -> Result<(), Error> {
    let takes_text = tool.kind.as_deref() == Some("custom") && tool.input_schema.is_none();
    let known = matches!(tool.kind.as_deref(), None | Some("function" | "custom"));
    let nested = tool.function.or(tool.custom);
    let inner = match nested {
        Some(nested) => fields::read(nested, place)?,
        None => tool,
    };
    let Some(name) = inner.name.filter(|name| known && !name.is_empty()) else {
        let kind: String = inner.kind.unwrap_or_default().chars().take(40).collect();
        let (field, why) = if known {
            (format!("{place}.name"), "the name of the function is missing".to_owned())
        } else {
            (
                format!("{place}.type"),
                format!("{kind:?} is run by another provider; use function, custom or web_search"),
            )
        };
        return notes.refuse(Error::invalid(field, why));
    };
    if inner.strict == Some(true) {
        // Gemini holds arguments to the schema as well as the model can.
        notes.ignore("tools.strict");
    }
    let known_as = namespace.map_or_else(|| name.clone(), |namespace| origins.free(namespace, &name, conversation));
    if takes_text || namespace.is_some() {
        let origin = Origin { namespace: namespace.map(str::to_owned), name, takes_text };
        origins.0.insert(known_as.clone(), origin);
    }
    let parameters = inner.parameters.or(inner.input_schema).filter(|schema| says_something(schema));
    conversation.tools.push(if takes_text {
        taking_text(known_as, inner.description, inner.format)
    } else {
        Tool { name: known_as, description: inner.description, parameters: parameters.map(ToOwned::to_owned) }
    });
    Ok(())
}

/// Whether a schema says anything of what a function takes.
fn says_something(schema: &RawValue) -> bool {
    let plain: String = schema.get().chars().filter(|letter| !letter.is_ascii_whitespace()).take(5).collect();
    plain != "{}" && plain != "null"
}

/// A tool that takes a text, as a function with one argument.
fn taking_text(name: String, description: Option<String>, format: Option<&RawValue>) -> Tool {
    #[derive(Default, Deserialize)]
    struct Grammar {
        syntax: Option<String>,
        definition: Option<String>,
        /// As chat completions nest it.
        grammar: Option<Box<Grammar>>,
    }
    let mut about = description.unwrap_or_default();
    let mut grammar: Grammar = format.and_then(|format| serde_json::from_str(format.get()).ok()).unwrap_or_default();
    if let Some(nested) = grammar.grammar.take() {
        grammar = *nested;
    }
    if let (Some(syntax), Some(definition)) = (grammar.syntax, grammar.definition) {
        about.extend(["\nThe input is text by this grammar (", &syntax, "):\n", &definition]);
    }
    let parameters =
        json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] });
    let parameters = serde_json::value::to_raw_value(&parameters).ok();
    Tool { name, description: Some(about), parameters }
}

/// A text as the arguments of a tool that takes one.
pub(crate) fn text_arguments(input: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(&json!({ "input": input })).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// That text again. A model may forget where it is to stand: then it is all of them.
pub(crate) fn text_of_arguments(args: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    serde_json::from_str::<Arguments>(args.get()).map_or_else(|_| args.get().to_owned(), |arguments| arguments.input)
}

/// Arguments, which clients send as text, as an object; what a model wrote that is none stands inside of one.
pub(crate) fn object(arguments: &str) -> Box<RawValue> {
    let text = arguments.trim();
    let object = Some(text).filter(|text| text.starts_with('{')).and_then(|text| {
        // Read once, which bounds its depth.
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        RawValue::from_string(text.to_owned()).ok()
    });
    let wrapped = || match text {
        "" | "null" => json!({}),
        text => json!({ "arguments": serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|_| text.into()) }),
    };
    let raw = object.or_else(|| serde_json::value::to_raw_value(&wrapped()).ok());
    raw.unwrap_or_else(|| RawValue::NULL.to_owned())
}

impl Origins {
    /// What the model knows a function of a namespace as: a name that no other tool has.
    fn free(&self, namespace: &str, name: &str, conversation: &Conversation) -> String {
        let first = joined(namespace, name);
        let numbered = (2..).map(|number: u32| format!("{first}_{number}"));
        let is_free = |name: &String| !conversation.tools.iter().any(|tool| tool.name == *name);
        std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or(first)
    }

    /// What the model knows a function as that the caller names so.
    pub(crate) fn known(&self, namespace: Option<&str>, name: &str) -> String {
        let Some(namespace) = namespace else { return name.to_owned() };
        let is_it = |origin: &Origin| origin.namespace.as_deref() == Some(namespace) && origin.name == name;
        let known = self.0.iter().find(|(_, origin)| is_it(origin)).map(|(known, _)| known.clone());
        known.unwrap_or_else(|| joined(namespace, name))
    }
}

fn joined(namespace: &str, name: &str) -> String {
    let between = if namespace.ends_with(['_', '.']) { "" } else { "." };
    format!("{namespace}{between}{name}")
}

/// A choice in any of the shapes that clients send.
#[derive(Deserialize)]
struct WireChoice {
    #[serde(rename = "type", default)]
    kind: String,
    function: Option<Named>,
    custom: Option<Named>,
    name: Option<String>,
    namespace: Option<String>,
    mode: Option<String>,
    tools: Option<Vec<WireChoice>>,
    allowed_tools: Option<Box<WireChoice>>,
    /// Anthropic's way to allow one call alone.
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl WireChoice {
    fn name(&self, origins: &Origins) -> Option<String> {
        let name = self.function.as_ref().or(self.custom.as_ref()).map(|named| &named.name).or(self.name.as_ref())?;
        Some(origins.known(self.namespace.as_deref(), name))
    }

    fn is_search(&self) -> bool {
        self.kind.starts_with("web_search") && self.name.is_none()
    }
}

/// Reads `tool_choice`, once the tools are known.
pub(crate) fn read_choice(
    value: &RawValue,
    conversation: &mut Conversation,
    origins: &Origins,
    notes: &mut Notes,
) -> Result<(), Error> {
    const FIELD: &str = "tool_choice";
    let choice: WireChoice = if value.get().starts_with('"') {
        let kind = fields::read(value, FIELD)?;
        WireChoice {
            kind,
            function: None,
            custom: None,
            name: None,
            namespace: None,
            mode: None,
            tools: None,
            allowed_tools: None,
            disable_parallel_tool_use: None,
        }
    } else {
        fields::read(value, FIELD)?
    };
    conversation.single_call |= choice.disable_parallel_tool_use == Some(true);
    let unknown = || Error::invalid(FIELD, "expected none, auto, required or a function");
    let allowed = choice.allowed_tools.as_deref().unwrap_or(&choice);
    conversation.tool_choice = match (&*choice.kind, choice.name(origins)) {
        ("none", None) => ToolChoice::Never,
        ("auto", None) => ToolChoice::May(Vec::new()),
        ("required" | "any", None) => ToolChoice::Must(Vec::new()),
        ("allowed_tools", None) => {
            let tools = allowed.tools.as_deref().unwrap_or_default();
            conversation.web_search &= tools.iter().any(WireChoice::is_search);
            let names: Vec<String> = tools.iter().filter_map(|tool| tool.name(origins)).collect();
            match allowed.mode.as_deref() {
                // The search alone is allowed.
                Some("auto" | "required") if names.is_empty() && conversation.web_search => {
                    conversation.tools.clear();
                    ToolChoice::Unset
                }
                Some("auto") => ToolChoice::May(names),
                Some("required") => ToolChoice::Must(names),
                _ => return Err(unknown()),
            }
        }
        ("function" | "custom" | "tool" | "", Some(name)) => ToolChoice::Must(vec![name]),
        // That a search is made cannot be said; that it may be is said by the tool.
        _ if choice.is_search() && conversation.web_search => {
            notes.ignore(FIELD);
            ToolChoice::Unset
        }
        _ => {
            notes.refuse(unknown())?;
            ToolChoice::Unset
        }
    };
    Ok(())
}

/// A form of the answer: `response_format` of chat completions, `text.format` of responses.
#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type")]
    kind: String,
    /// As chat completions nest it.
    #[serde(borrow)]
    json_schema: Option<&'a RawValue>,
    /// As responses have it; and other servers beside `json_object`.
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    description: Option<String>,
}

/// Reads a form of the answer.
pub(crate) fn read_format(value: &RawValue, place: &str) -> Result<Format, Error> {
    let format: WireFormat<'_> = fields::read(value, place)?;
    #[derive(Deserialize)]
    struct Nested<'a> {
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        description: Option<String>,
    }
    let nested = match format.json_schema {
        Some(nested) => fields::read(nested, &format!("{place}.json_schema"))?,
        None => Nested { schema: format.schema, description: format.description },
    };
    match (&*format.kind, nested.schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", None) => Ok(Format::Json),
        ("json_schema" | "json_object", Some(schema)) => Ok(Format::Schema(described(schema, nested.description))),
        ("json_schema", None) => Err(Error::invalid(format!("{place}.json_schema.schema"), "the schema is missing")),
        _ => Err(Error::invalid(format!("{place}.type"), "expected text, json_object or json_schema")),
    }
}

/// A schema that says what it is for, where it does not itself.
fn described(schema: &RawValue, about: Option<String>) -> Box<RawValue> {
    let members = serde_json::from_str::<std::collections::BTreeMap<String, serde::de::IgnoredAny>>(schema.get());
    let about = about.filter(|about| !about.trim().is_empty());
    let (Some(about), Ok(members)) = (about, members) else { return schema.to_owned() };
    if members.is_empty() || members.contains_key("description") {
        return schema.to_owned();
    }
    let rest = schema.get().trim_start().strip_prefix('{').unwrap_or_default();
    let described = format!("{{\"description\":{},{rest}", json!(about));
    RawValue::from_string(described).unwrap_or_else(|_| schema.to_owned())
}
