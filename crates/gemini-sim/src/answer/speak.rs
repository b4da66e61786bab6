//! Which answer belongs to which call.

use super::{AnswerText, Content, Generated, Reply, generate};
use crate::Finish;
use crate::engine::{Admission, Admitted, Engine, State, Visit};
use crate::route::{Call, Form};

impl Engine {
    pub(crate) fn answer(
        &self,
        state: &mut State,
        visit: &Visit<'_>,
        admitted: Admitted,
        (text, finish): (Option<String>, Option<Finish>),
    ) -> Admission<Reply> {
        let text = text.map_or_else(
            || self.settings.answer.clone(),
            |text| AnswerText::Fixed(text.replace("{key}", visit.secret())),
        );
        let (content, cut) = Content::of(&admitted.request, &text);
        let generated = Generated {
            content,
            finish,
            cut,
            prompt_tokens: admitted.charge.tokens,
            cached_tokens: 0,
            model: visit.model.clone(),
            id: state.id(),
        };
        match admitted.call {
            Call::Generate(form) => Ok(generate(&generated, form, self.settings.chunks)),
            _ => Ok(generate(&generated, Form::Whole, 1)),
        }
    }
}

impl State {
    /// A name such as the provider gives to responses, files and caches.
    pub(crate) fn id(&mut self) -> String {
        (0..12).map(|_| self.rng.lowercase()).collect()
    }
}
