//! What a model may call.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::Text;

/// A function.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// What it does.
    pub description: Option<Text<'a>>,
    /// The JSON schema of its arguments; `None`: it takes none.
    pub parameters: Option<Cow<'a, RawValue>>,
}

/// Whether tools are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// Nobody said.
    #[default]
    Unset,
    /// None is.
    Never,
    /// As the model likes; where there are names, only those.
    May(Vec<Text<'a>>),
    /// One must be; where there are names, one of those.
    Must(Vec<Text<'a>>),
}
