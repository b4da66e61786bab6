//! How much is thought, and whether that is shown, as routers are told (`OpenRouter`, and clients made for it).

use super::request::effort;
use crate::{
    Effort, Fault, Ignored, Text, Thinking,
    fields::{Field, Fields},
};

pub(super) const NAME: &str = "reasoning";
const EFFORT: &str = "reasoning.effort";
const TOKENS: &str = "reasoning.max_tokens";
const ENABLED: &str = "reasoning.enabled";
/// The provider's own words for it, which no others change.
pub(super) const ITS_OWN: &str = "extra_body.google.thinking_config";

/// Reads the field.
///
/// # Errors
/// A fault that names what within it is wrong, or cannot be had.
pub(super) fn read(
    field: &Field<'_>,
    thinking: &mut Thinking,
    (ignored, strict): (&mut Ignored, bool),
) -> Result<(), Fault> {
    if !field.value.get().starts_with('{') {
        return Err(Fault::invalid(format!("{NAME}: expected an object")).at(NAME));
    }
    let (mut word, mut tokens, mut enabled) = (None, None, None);
    let mut excluded = None;
    for Field { name, value } in Fields::read(field.value.get().as_bytes())?.given() {
        let within = Field { name: format!("{NAME}.{name}").into(), value };
        match &*name {
            "effort" => word = Some(effort(&within.read::<Text<'_>>()?, EFFORT)?),
            "max_tokens" => tokens = Some(within.integer::<u32>()?),
            "enabled" => enabled = Some(within.read::<bool>()?),
            "exclude" => excluded = Some(within.read::<bool>()?),
            _ => ignored.unless(strict, within.refused())?,
        }
    }
    let tokens = tokens.map(|tokens| if tokens == 0 { Effort::Off } else { Effort::Tokens(tokens) });
    let (much, place) = match (word, tokens) {
        (Some(_), Some(_)) => {
            return Err(Fault::invalid(format!("{TOKENS}: expected one of {EFFORT} and this")).at(TOKENS));
        }
        (Some(word), None) => (Some(word), EFFORT),
        (None, Some(tokens)) => (Some(tokens), TOKENS),
        // So much is thought there where nobody says how much.
        (None, None) => (enabled.map(|enabled| if enabled { Effort::Medium } else { Effort::Off }), ENABLED),
    };
    if enabled == Some(false) && much != Some(Effort::Off) {
        return Err(Fault::invalid(format!("{ENABLED}: false, and {place} says how much")).at(ENABLED));
    }
    if much.is_some() && thinking.place != ITS_OWN {
        (thinking.effort, thinking.place) = (much, place);
    }
    // Nothing is shown of what is not thought, and the upstream refuses the wish for it.
    let shown = excluded.map(|excluded| !excluded).filter(|shown| !shown || much != Some(Effort::Off));
    thinking.shown = thinking.shown.or(shown);
    Ok(())
}

/// Whether it, or the provider's own field, said how much, which the older field does not change.
pub(super) fn has_said(thinking: &Thinking) -> bool {
    [EFFORT, TOKENS, ENABLED, ITS_OWN].contains(&thinking.place)
}
