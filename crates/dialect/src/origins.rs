//! Functions that are something else to the caller: tools that take a text, and those of a namespace.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use crate::{Text, Tool};

/// What the caller knows of a function's name as something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// It takes a text, not arguments.
    pub(crate) custom: bool,
}

/// What functions are to the caller that are no plain ones, by the names that the model has for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_name: HashMap<String, Origin>,
    /// What those are called whose names others have, by their namespace and name.
    renamed: HashMap<(String, String), String>,
}

/// The one argument of a tool that takes a text.
const INPUT: &str = "input";

impl Origins {
    /// What the function that the model calls so is to the caller, where that is no plain one.
    pub(crate) fn of(&self, name: &str) -> Option<&Origin> {
        self.by_name.get(name)
    }

    /// A tool that takes a text.
    pub(crate) fn takes_text(&mut self, name: &str) {
        self.by_name.insert(name.to_owned(), Origin { namespace: None, name: name.to_owned(), custom: true });
    }

    /// A function of a namespace: what the model knows it as, which is none of the names that are `used`.
    pub(crate) fn in_namespace(
        &mut self,
        namespace: &str,
        name: &str,
        custom: bool,
        used: &mut HashSet<String>,
    ) -> String {
        let first = joined(namespace, name);
        let mut known = first.clone();
        let mut number = 1;
        while !used.insert(known.clone()) {
            number += 1;
            known = format!("{first}_{number}");
        }
        if known != first {
            self.renamed.insert((namespace.to_owned(), name.to_owned()), known.clone());
        }
        let origin = Origin { namespace: Some(namespace.to_owned()), name: name.to_owned(), custom };
        self.by_name.insert(known.clone(), origin);
        known
    }

    /// What the model knows a function as that the caller names so.
    pub(crate) fn known<'a>(&self, namespace: Option<Text<'a>>, name: Text<'a>) -> Text<'a> {
        let Some(namespace) = namespace else { return name };
        let renamed =
            (!self.renamed.is_empty()).then(|| self.renamed.get(&(namespace.to_string(), name.to_string()))).flatten();
        renamed.cloned().unwrap_or_else(|| joined(&namespace, &name)).into()
    }
}

/// What the functions of a namespace begin with.
pub(crate) fn front(namespace: &str) -> String {
    joined(namespace, "")
}

fn joined(namespace: &str, name: &str) -> String {
    let between = if namespace.ends_with(['_', '.']) { "" } else { "." };
    format!("{namespace}{between}{name}")
}

/// How a text is that a tool takes: by which grammar, and in which syntax that stands there.
#[derive(Deserialize)]
pub(crate) struct Grammar<'a> {
    #[serde(borrow)]
    syntax: Option<Text<'a>>,
    #[serde(borrow)]
    definition: Option<Text<'a>>,
}

/// A tool that takes a text, as a function with one argument.
pub(crate) fn taking_text<'a>(name: Text<'a>, description: Option<&str>, grammar: Option<Grammar<'_>>) -> Tool<'a> {
    let mut about = description.unwrap_or_default().to_owned();
    if let Some(Grammar { syntax: Some(syntax), definition: Some(definition) }) = grammar {
        about.extend(["\nThe input is text by this grammar (", &*syntax, "):\n", &*definition]);
    }
    let parameters = json!({ "type": "object", "properties": { INPUT: { "type": "string" } }, "required": [INPUT] });
    let parameters = to_raw_value(&parameters).ok().map(Cow::Owned);
    Tool { name, description: Some(about.into()), parameters }
}

/// A text as the arguments of a tool that takes one.
pub(crate) fn arguments(input: &str) -> Cow<'static, RawValue> {
    let arguments = to_raw_value(&json!({ INPUT: input }));
    Cow::Owned(arguments.unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// That text again. A model may forget where it is to stand: then it is all of them.
pub(crate) fn input(arguments: &str) -> String {
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    serde_json::from_str(arguments).map_or_else(|_| arguments.to_owned(), |Arguments { input }| input)
}
