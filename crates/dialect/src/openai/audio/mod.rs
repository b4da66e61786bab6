//! Sound: words spoken, and spoken words written down.

mod heard;
mod listening;
mod speaking;
mod spoken;

use super::OpenAi;
use crate::{Asked, Caller, Fault, Model, Refused, Shape, Voice};

/// The dialect's calls about sound. Errors and models are those of [`OpenAi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// `/v1/audio/speech`: words are spoken.
    Speech,
    /// `/v1/audio/transcriptions`: they are written down.
    Transcription,
    /// `/v1/audio/translations`: in English, whatever was spoken.
    Translation,
}

impl Caller for Audio {
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault> {
        match self {
            Self::Speech => speaking::read(body, strict),
            Self::Transcription => listening::read(body, strict, false),
            Self::Translation => listening::read(body, strict, true),
        }
    }

    fn voice(&self, shape: Shape) -> Box<dyn Voice> {
        match self {
            Self::Speech => Box::new(spoken::Sound::new(&shape)),
            _ if shape.stream => Box::new(heard::Events::default()),
            _ => Box::new(heard::Transcript::new(&shape)),
        }
    }

    fn refused(&self, fault: &Fault) -> Refused {
        OpenAi.refused(fault)
    }

    fn models(&self, models: &[Model]) -> String {
        OpenAi.models(models)
    }

    fn model(&self, model: &Model) -> String {
        OpenAi.model(model)
    }
}
