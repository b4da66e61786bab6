//! Sound: words spoken, and spoken words written down.

mod heard;
mod listening;
mod speaking;
mod spoken;

use super::OpenAi;
use crate::{Asked, Caller, Fault, Finish, Kind, Model, Refused, Shape, Voice};

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

/// Why an answer that ended so is none: these calls have no word for one that was cut, and their clients would take what
/// came for all of it.
fn cut(why: Option<Finish>, (what, param): (&str, &str)) -> Option<Fault> {
    match why? {
        Finish::Filtered => {
            let why = format!("the provider would not answer, or not to the end: the {what} may be against its rules");
            Some(Fault::new(Kind::Filtered, why).at(param))
        }
        Finish::Length => {
            let why =
                format!("the answer was cut at the model's limit: the {what} is too long for one, send it in pieces");
            Some(Fault::new(Kind::TooLong, why).at(param))
        }
        Finish::Stop | Finish::Calls => None,
    }
}
