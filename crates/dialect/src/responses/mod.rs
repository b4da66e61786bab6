//! `OpenAI`'s newer dialect, on the caller's side: responses, with nothing kept between them.

mod events;
mod item;
mod request;
mod response;
mod tool;

use crate::{Asked, Caller, Fault, Model, Refused, Shape, Voice, openai::OpenAi};

/// The dialect. Errors and models are those of [`OpenAi`].
#[derive(Clone, Copy, Debug)]
pub struct Responses;

impl Caller for Responses {
    fn conversation<'a>(&self, body: &'a [u8], strict: bool) -> Result<Asked<'a>, Fault> {
        request::read(body, strict)
    }

    fn voice(&self, shape: Shape) -> Box<dyn Voice> {
        if shape.stream { Box::new(events::Events::new(shape)) } else { Box::new(response::Whole::new(shape)) }
    }

    fn refused(&self, fault: &Fault) -> Refused {
        OpenAi.refused(fault)
    }

    fn counted(&self, tokens: u64) -> String {
        format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#)
    }

    fn models(&self, models: &[Model]) -> String {
        OpenAi.models(models)
    }

    fn model(&self, model: &Model) -> String {
        OpenAi.model(model)
    }
}
