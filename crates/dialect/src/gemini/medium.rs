//! What else than text a model gives: `responseModalities` and what goes with them.

use serde::Serialize;

use crate::{Medium, Speech};

/// A part of `generationConfig`.
#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
pub(super) struct Config<'r> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    response_modalities: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    image_config: Option<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_config: Option<Spoken<'r>>,
}

#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    aspect_ratio: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_size: Option<&'static str>,
}

#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spoken<'r> {
    voice_config: Voice<'r>,
}

#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Voice<'r> {
    prebuilt_voice_config: Prebuilt<'r>,
}

#[derive(PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Prebuilt<'r> {
    voice_name: &'r str,
}

/// Beside a part: in which manner it is spoken.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Manner<'r> {
    pub(super) style: &'r str,
}

pub(super) fn config<'r>(medium: &'r Medium<'_>) -> Config<'r> {
    match medium {
        Medium::Text => Config::default(),
        Medium::Images(canvas) => {
            let image = Image { aspect_ratio: canvas.aspect, image_size: canvas.size };
            let wished = canvas.aspect.is_some() || canvas.size.is_some();
            Config {
                response_modalities: &["TEXT", "IMAGE"],
                image_config: wished.then_some(image),
                ..Config::default()
            }
        }
        Medium::Speech(Speech { voice, .. }) => {
            let prebuilt_voice_config = Prebuilt { voice_name: voice };
            Config {
                response_modalities: &["AUDIO"],
                speech_config: Some(Spoken { voice_config: Voice { prebuilt_voice_config } }),
                ..Config::default()
            }
        }
    }
}

/// Where a manner of speaking stands: earlier models read it in front of the words, later ones would speak it.
pub(super) fn style_stands_apart(model: &str) -> bool {
    let version = super::name(model).strip_prefix("gemini-").and_then(|rest| rest.split('-').next());
    version.and_then(|version| version.parse::<f32>().ok()).is_some_and(|version| version >= 3.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_models_are_told_apart() {
        for (model, apart) in [
            ("gemini-3.8-flash-tts", true),
            ("models/gemini-3.8-flash-lite-tts", true),
            ("gemini-3.1-flash-tts-preview", false),
            ("gemini-2.5-pro-preview-tts", false),
            ("somebody's", false),
        ] {
            assert_eq!(style_stands_apart(model), apart, "{model}");
        }
    }
}
