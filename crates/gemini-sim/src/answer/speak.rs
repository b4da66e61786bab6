//! Which answer belongs to which call.

use serde_json::json;

use super::{AnswerText, Content, Generated, Reply, caches, chat, embed, files, generate, models, predict, things};
use crate::Finish;
use crate::engine::{Admission, Admitted, Engine, State, Visit};
use crate::proto_json::field;
use crate::route::Call;
use crate::strict::signs;

impl Engine {
    pub(crate) fn answer(
        &self,
        state: &mut State,
        visit: &Visit<'_>,
        admitted: &Admitted,
        wished: (Option<String>, Option<Finish>),
    ) -> Admission<Reply> {
        match &admitted.call {
            Call::Generate(form) => {
                let generated = self.generated(state, visit, admitted, wished);
                Ok(generate(&generated, *form, self.settings.chunks))
            }
            Call::Chat => {
                let generated = self.generated(state, visit, admitted, wished);
                let created = visit.wall.as_second();
                Ok(chat::complete(&generated, &admitted.request, created, self.settings.chunks))
            }
            Call::CountTokens => Ok(Reply::json(&json!({
                "totalTokens": admitted.charge.tokens,
                "promptTokensDetails": [
                    { "modality": "TEXT", "tokenCount": admitted.charge.tokens },
                ],
            }))),
            Call::Embed => embed::one(admitted),
            Call::BatchEmbed => embed::batch(admitted),
            Call::Predict => predict::images(admitted),
            Call::ChatEmbeddings => embed::compatible(admitted),
            Call::ListModels => models::list(&self.world, &visit.query),
            Call::GetModel => models::get(&self.world, &visit.model, &admitted.version),
            Call::ChatModels => Ok(models::list_compatible(&self.world)),
            Call::ChatModel => models::get_compatible(&self.world, &visit.model),
            Call::StartUpload => files::start(&self.settings, state, visit, admitted),
            Call::Upload => files::upload(&self.settings, state, visit),
            Call::ListFiles => files::list(state, visit, admitted.project),
            Call::GetFile(id) => files::get(state, visit, admitted.project, id),
            Call::DeleteFile(id) => files::delete(state, visit, admitted.project, id),
            Call::CreateCache => caches::create(state, visit, admitted),
            Call::ListCaches => caches::list(state, visit, admitted.project),
            Call::GetCache(id) => caches::get(state, visit, admitted.project, id),
            Call::UpdateCache(id) => caches::update(state, visit, admitted, id),
            Call::DeleteCache(id) => caches::delete(state, visit, admitted.project, id),
            Call::Tune => things::tune(state, visit, admitted),
            Call::Batch => things::batch(state, visit, admitted, "GenerateContent"),
            Call::BatchEmbedLater => things::batch(state, visit, admitted, "EmbedContent"),
            Call::PredictLong => Ok(things::predict(state, visit, admitted)),
            Call::Interact => things::interact(state, visit, admitted),
            Call::MakeToken(interaction) => things::token(state, admitted, interaction.as_deref()),
            Call::ListThings(family) => things::list(state, visit, admitted.project, *family),
            // What is cancelled was done already.
            Call::GetThing(family, name) | Call::CancelThing(family, name) => {
                things::get(state, visit, admitted.project, (*family, name))
            }
            Call::DeleteThing(family, name) => things::delete(state, admitted.project, *family, name),
        }
    }

    fn generated(
        &self,
        state: &mut State,
        visit: &Visit<'_>,
        admitted: &Admitted,
        (text, finish): (Option<String>, Option<Finish>),
    ) -> Generated {
        let text = text.map_or_else(
            || self.settings.answer.clone(),
            |text| AnswerText::Fixed(text.replace("{key}", visit.secret())),
        );
        let signer = signs(&visit.model).then_some(&*visit.model);
        let (content, cut) = Content::of(&admitted.prompt, &text, signer);
        let config = field(&admitted.prompt, "generationConfig", "generation_config");
        let thinking = config.and_then(|config| field(config, "thinkingConfig", "thinking_config"));
        let thoughts = thinking.and_then(|thinking| field(thinking, "includeThoughts", "include_thoughts"));
        Generated {
            copies: content.copies(&admitted.prompt),
            content,
            finish,
            thoughts: thoughts.is_some_and(|wished| wished == true),
            cut,
            prompt_tokens: admitted.charge.tokens,
            cached_tokens: admitted.cached_tokens,
            model: visit.model.clone(),
            id: state.id(),
        }
    }
}

impl State {
    /// A name such as the provider gives to responses, files and caches.
    pub(crate) fn id(&mut self) -> String {
        (0..12).map(|_| self.rng.lowercase()).collect()
    }
}
