//! What requests for chats and for continued texts have alike: how words are drawn, and how the answer comes.

use serde::Deserialize;

use crate::{Asked, Fault, fields::Field};

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    include_obfuscation: Option<bool>,
}

/// Reads a field into what was asked, where it is such a one; says whether it is.
pub(super) fn read<'a>(field: &Field<'a>, asked: &mut Asked<'a>) -> Result<bool, Fault> {
    let Asked { conversation, ignored, usage_wanted, .. } = asked;
    let sampling = &mut conversation.sampling;
    match &*field.name {
        "stream" => conversation.stream = field.read()?,
        "stream_options" => {
            let StreamOptions { include_usage, include_obfuscation } = field.read()?;
            *usage_wanted |= include_usage == Some(true);
            if include_obfuscation == Some(true) {
                ignored.add("stream_options.include_obfuscation");
            }
        }
        "max_tokens" => {
            let most = field.positive()?;
            sampling.most.get_or_insert(most);
        }
        "temperature" => sampling.temperature = Some(field.read()?),
        "top_p" => sampling.top_p = Some(field.read()?),
        // No field of theirs, but of everyone who serves other models in this dialect.
        "top_k" => sampling.top_k = Some(field.integer()?),
        "seed" => sampling.seed = Some(field.integer()?),
        "n" => sampling.answers = Some(field.positive()?),
        // As they are by themselves: there are models that refuse the very field.
        "presence_penalty" | "frequency_penalty" if field.read::<f64>()? == 0.0 => ignored.add(&*field.name),
        "presence_penalty" => sampling.presence_penalty = Some(field.read()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(field.read()?),
        "stop" => {
            let words = if field.value.get().starts_with('[') { field.read()? } else { vec![field.read()?] };
            if sampling.stop_at(words) {
                ignored.add("stop");
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}
