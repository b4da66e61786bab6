//! Tools and tool choices in every form that clients send: nested, flat, or Anthropic's.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Conversation, Error, Format, Origin, Tool, ToolChoice,
    fields::{self, Notes},
};

/// Returns the name under which the model knows a tool of the caller.
pub(crate) fn known_as(namespace: Option<&str>, name: &str) -> String {
    let Some(namespace) = namespace else { return name.to_owned() };
    let between = if namespace.ends_with(['_', '.']) { "" } else { "." };
    format!("{namespace}{between}{name}")
}

/// Maximum number of tools in a request, which is more than Gemini accepts.
const MAX: usize = 1_024;

/// Reads the tools in the field `field`.
pub(crate) fn read(
    tools: Vec<Value>,
    field: &str,
    conversation: &mut Conversation,
    notes: &mut Notes,
) -> Result<(), Error> {
    for (index, mut tool) in tools.into_iter().enumerate() {
        let place = format!("{field}[{index}]");
        let kind = tool["type"].as_str().unwrap_or_default();
        if let ("namespace", Value::Array(tools)) = (kind, &tool["tools"]) {
            let namespace = tool["name"].as_str().unwrap_or_default();
            if let Some(about) = tool["description"].as_str().filter(|about| !about.trim().is_empty()) {
                let front = known_as(Some(namespace), "");
                conversation.system.push(format!("Functions that begin with {front}: {about}"));
            }
            for (number, tool) in tools.iter().enumerate() {
                let place = format!("{place}.tools[{number}]");
                read_one(tool.clone(), Some(namespace), &place, conversation, notes)?;
            }
        } else if kind.starts_with("web_search") {
            // In OpenAI's form, and in Anthropic's.
            let limits = ["filters", "allowed_domains", "blocked_domains"].map(|name| fields::take(&mut tool, name));
            if limits.iter().any(|limit| !limit.is_null() && *limit != json!({}) && *limit != json!([])) {
                let why =
                    "a search cannot be limited to domains; leave filters, allowed_domains and blocked_domains out";
                notes.refuse(Error::invalid(&*place, why))?;
            }
            conversation.web_search = true;
        } else {
            read_one(tool, None, &place, conversation, notes)?;
        }
    }
    Ok(())
}

/// Reads a function, or a tool that takes text, in any form.
fn read_one(
    mut tool: Value,
    namespace: Option<&str>,
    place: &str,
    conversation: &mut Conversation,
    notes: &mut Notes,
) -> Result<(), Error> {
    if conversation.tools.len() >= MAX {
        return Err(Error::invalid(place, format_args!("expected at most {MAX} tools")));
    }
    let kind = tool["type"].as_str().unwrap_or("function").to_owned();
    // Chat completions nest the tool.
    let nested = ["function", "custom"].map(|name| fields::take(&mut tool, name)).into_iter().find(Value::is_object);
    let mut tool = nested.unwrap_or(tool);
    let schemas = ["input_schema", "parameters"].map(|name| fields::take(&mut tool, name));
    let schema = schemas.into_iter().filter(|schema| !schema.is_null()).max_by_key(|schema| *schema != json!({}));
    // Anthropic's tools with a schema also have the type `custom`.
    let takes_text = kind == "custom" && schema.is_none();
    if !matches!(&*kind, "function" | "custom") {
        let why = format!("{kind:?} is a built-in tool of another provider; use function, custom or web_search");
        return notes.refuse(Error::invalid(format!("{place}.type"), why));
    }
    let Some(name) = fields::take_text(&mut tool, "name").filter(|name| !name.is_empty()) else {
        return Err(Error::invalid(format!("{place}.name"), "is missing"));
    };
    if schema.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(Error::invalid(place, format_args!("the schema of {name:?} is not an object")));
    }
    if tool["strict"] == true {
        // Gemini has no strict mode: the model follows the schema as well as it can.
        notes.ignore("tools.strict");
    }
    let known_as = known_as(namespace, &name);
    if conversation.tools.iter().any(|tool| tool.name == known_as) {
        return notes.refuse(Error::invalid(format!("{place}.name"), "another tool has this name"));
    }
    let origin =
        (takes_text || known_as != name).then(|| Origin { namespace: namespace.map(str::to_owned), name, takes_text });
    let description = description(&tool, takes_text);
    let input = || json!({ "type": "object", "properties": { "input": { "type": "string" } }, "required": ["input"] });
    let parameters = if takes_text { Some(input()) } else { schema.filter(|schema| *schema != json!({})) };
    conversation.tools.push(Tool { name: known_as, description, parameters, origin });
    Ok(())
}

/// Returns the description of a tool with the examples or the grammar of its input, for which Gemini has no fields.
fn description(tool: &Value, takes_text: bool) -> Option<String> {
    let mut about = vec![tool["description"].as_str().unwrap_or_default().to_owned()];
    if let Some(examples) = tool["input_examples"].as_array().filter(|examples| !examples.is_empty()) {
        let examples: Vec<String> = examples.iter().map(Value::to_string).collect();
        about.push(format!("Examples of its input:\n{}", examples.join("\n")));
    }
    // Chat completions nest the grammar.
    let grammar = tool["format"].get("grammar").unwrap_or(&tool["format"]);
    if let (true, Some(syntax), Some(definition)) =
        (takes_text, grammar["syntax"].as_str(), grammar["definition"].as_str())
    {
        about.push(format!("The input is text by this grammar ({syntax}):\n{definition}"));
    }
    about.retain(|about| !about.is_empty());
    Some(about.join("\n\n")).filter(|about| !about.is_empty())
}

/// Returns the text argument of a custom tool; all arguments as JSON if the model did not use the field `input`.
pub(crate) fn text_of_arguments(args: &Value) -> String {
    args["input"].as_str().map_or_else(|| args.to_string(), str::to_owned)
}

/// Returns the name under which the model knows the tool of a choice, which has a nested or a flat name.
fn chosen_name(tool: &Value) -> Option<String> {
    let name = [&tool["function"], &tool["custom"], tool].into_iter().find_map(|tool| tool["name"].as_str())?;
    Some(known_as(tool["namespace"].as_str(), name))
}

/// Reads `tool_choice` in any wire format, once the tools are known.
pub(crate) fn read_choice(choice: Value, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    const FIELD: &str = "tool_choice";
    let choice = if choice.is_string() { json!({ "type": choice }) } else { choice };
    // Anthropic's option to allow one call at a time.
    conversation.single_call |= choice["disable_parallel_tool_use"] == true;
    let unknown = || Error::invalid(FIELD, "expected none, auto, required (any) or a function");
    let is_search = |tool: &Value| {
        let name = tool["name"].as_str().or(tool["type"].as_str()).unwrap_or_default();
        name.starts_with("web_search") && !conversation.tools.iter().any(|tool| tool.name == name)
    };
    conversation.tool_choice = match (choice["type"].as_str().unwrap_or_default(), chosen_name(&choice)) {
        // Gemini has no way to force a search; the tool itself allows it.
        (kind, _)
            if conversation.web_search
                && (is_search(&choice) || matches!(kind, "required" | "any") && conversation.tools.is_empty()) =>
        {
            notes.ignore(FIELD);
            ToolChoice::Unset
        }
        ("none", None) => ToolChoice::Never,
        ("auto", None) => ToolChoice::May(Vec::new()),
        ("required" | "any", None) => ToolChoice::Must(Vec::new()),
        ("function" | "custom" | "tool" | "", Some(name)) => ToolChoice::Must(vec![name]),
        ("allowed_tools", None) => {
            // Chat completions nest the list.
            let allowed = choice.get("allowed_tools").unwrap_or(&choice);
            let tools = allowed["tools"].as_array().map_or(&[][..], Vec::as_slice);
            let searches = conversation.web_search && tools.iter().any(is_search);
            let names: Vec<String> = tools.iter().filter_map(chosen_name).collect();
            conversation.web_search = searches;
            match allowed["mode"].as_str() {
                Some("auto" | "required") if names.is_empty() && searches => {
                    conversation.tools.clear();
                    ToolChoice::Unset
                }
                Some("auto") => ToolChoice::May(names),
                Some("required") => ToolChoice::Must(names),
                _ => return Err(unknown()),
            }
        }
        _ => {
            notes.refuse(unknown())?;
            ToolChoice::Unset
        }
    };
    Ok(())
}

/// Reads the response format: `response_format` of chat completions, or `text.format` of responses.
pub(crate) fn read_format(value: Value, place: &str) -> Result<Format, Error> {
    #[derive(Deserialize)]
    struct WireFormat {
        #[serde(rename = "type")]
        kind: String,
        /// The nested schema of chat completions.
        json_schema: Option<Schema>,
        /// The flat schema of responses, which other servers also accept with `json_object`.
        #[serde(flatten)]
        flat: Schema,
    }
    #[derive(Deserialize)]
    struct Schema {
        schema: Option<Value>,
        description: Option<String>,
    }
    let format: WireFormat = fields::read(value, place)?;
    let nested = if format.json_schema.is_some() { ".json_schema" } else { "" };
    let Schema { schema, description } = format.json_schema.unwrap_or(format.flat);
    match (&*format.kind, schema) {
        ("text", _) => Ok(Format::Text),
        ("json_object", None) => Ok(Format::Json),
        ("json_schema" | "json_object", Some(Value::Object(mut schema))) => {
            if let Some(about) =
                description.filter(|about| !about.trim().is_empty() && !schema.contains_key("description"))
            {
                schema.shift_insert(0, "description".to_owned(), about.into());
            }
            Ok(Format::Schema(schema.into()))
        }
        ("json_schema" | "json_object", _) => {
            Err(Error::invalid(format!("{place}{nested}.schema"), "the schema is missing, or not an object"))
        }
        _ => Err(Error::invalid(format!("{place}.type"), "expected text, json_object or json_schema")),
    }
}
