//! Prompts that are well-formed and that the provider refuses all the same.
//!
//! Everything here reads the form that [`crate::proto::read`] gives. Messages are the provider's where they are on
//! record; a comment says where the words are ours.

mod calls;
mod model;
mod prompt;
mod schema;
mod tools;

use std::fmt::{Display, Write as _};

use serde_json::Value;

use crate::refusal::ApiError;

pub(crate) use calls::check_function_calls;
pub(crate) use model::check_model;
pub(crate) use prompt::{check_embedded, check_prompt, empty_part, file_ids, not_specified};
pub(crate) use tools::{calling_mode, functions};

/// Everything that is wrong with a request, a line each.
#[derive(Default)]
struct Problems(String);

impl Problems {
    fn add(&mut self, at: impl Display, problem: impl Display) {
        let _ = writeln!(self.0, "* {at}: {problem}");
    }

    fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::malformed(self.0)) }
    }
}

/// The items of a list; none where there is no list.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a field holds a text that is not empty.
fn is_filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}
