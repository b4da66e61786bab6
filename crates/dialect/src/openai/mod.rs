//! `OpenAI`'s dialect, on the caller's side: chat completions, texts to go on from, embeddings, models, images, sound.

mod audio;
mod chunk;
mod completion;
mod editing;
mod embedding;
mod event;
mod fault;
mod file;
mod image;
mod message;
mod models;
mod older;
mod prompt;
mod reasoning;
mod request;
mod sampling;
mod text_completion;
mod texts;
mod token_ids;
mod tool;

pub use audio::Audio;
pub(crate) use completion::likely;
pub use editing::editing;
pub use embedding::{embedding, vectors};
pub(crate) use file::file;
pub use image::{drawing, pictures};
pub(crate) use message::{Recording, object};
pub(crate) use request::effort;
pub use token_ids::{has_unlearnt_tokens, learn_tokens};
pub(crate) use tool::{choice, described, takes_something};

use crate::{Asked, Caller, Fault, Model, Refused, Shape, Voice};

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAi;

impl Caller for OpenAi {
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault> {
        request::read(body, strict)
    }

    fn voice(&self, shape: Shape) -> Box<dyn Voice> {
        if shape.stream { Box::new(chunk::Chunks::new(shape)) } else { Box::new(completion::Completion::new(shape)) }
    }

    fn refused(&self, fault: &Fault) -> Refused {
        fault::refused(fault)
    }

    fn models(&self, models: &[Model]) -> String {
        models::list(models)
    }

    fn model(&self, model: &Model) -> String {
        models::one(model)
    }
}

/// The same of before there were chats: texts that are gone on from (`/v1/completions`).
#[derive(Clone, Copy, Debug)]
pub struct Completions;

impl Caller for Completions {
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault> {
        prompt::read(body, strict)
    }

    fn voice(&self, shape: Shape) -> Box<dyn Voice> {
        if shape.stream {
            Box::new(text_completion::Pieces::new(shape))
        } else {
            Box::new(text_completion::Whole::new(shape))
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

/// A fault as an answer's body.
pub(crate) fn body(fault: &Fault) -> Vec<u8> {
    fault::body(fault).to_string().into_bytes()
}

/// What ids of calls begin with.
const CALL: &str = "call_";
