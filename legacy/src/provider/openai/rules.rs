//! What errors of the `OpenAI` family mean that speak of relays, of models and of how we asked: `OpenAI`, Azure, `OpenRouter`, and
//! those who speak like them. The first row that fits decides; words come before sentences. Then come `accounts`, `money`, `asked`
//! and `limits`.

use super::said::{CALLED, PASSED_ON};
use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Mentions, Says},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const RULES: &[Rule] = &[
    // one-api's and new-api's, which keep the upstream's words and change its sentence.
    rule(
        &[429],
        &[Begins("当前分组上游负载已饱和"), Begins("当前分组负载已饱和")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    // Vercel's, of whom it passed the request on to.
    rule(
        &[401, 402, 403, 429],
        &[Is(CALLED)],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider behind this one refused the request: it is tried again.",
    ),
    // A relay's account there, also in words of money.
    rule(
        &[429],
        &[Is(PASSED_ON)],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider behind this relay refuses more for now: wait, or see to the relay's own account there.",
    ),
    rule(
        &[403],
        &[All(&[Is("no_providers_available"), Begins("free tier users do not have access to this model")])],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear().code("FREE_CREDITS_RESTRICTED"),
        "The account's free credits do not serve this model: pay for credits, or use another model.",
    ),
    // sub2api's.
    rule(
        &[401, 403],
        &[Is("API_KEY_EXPIRED")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        "The key has expired: replace it.",
    ),
    rule(
        &[429],
        &[
            Is("API_KEY_QUOTA_EXHAUSTED"),
            Is("USAGE_LIMIT_EXCEEDED"),
            Is("API_KEY_RATE_5H_EXCEEDED"),
            Is("API_KEY_RATE_1D_EXCEEDED"),
            Is("API_KEY_RATE_7D_EXCEEDED"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey),
        "What the relay allows this key is used up: it is tried again by the hour; add another key.",
    ),
    // OpenRouter's.
    rule(
        &[403],
        &[Says("is only available on agentic harnesses")],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("AGENTS_ONLY"),
        "This model serves agents alone: use another model.",
    ),
    // Cloudflare's.
    rule(
        &[403],
        &[Begins("account is not allowed to access this model")],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear(),
        "This account may not use this model: use another account's key, or another model.",
    ),
    // What an account allows.
    rule(
        &[404],
        &[
            Begins("no endpoints found matching your data policy "),
            Begins("no endpoints available matching your guardrail restrictions "),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear().code("DATA_POLICY"),
        "The account's privacy settings allow nobody who offers this model: change them, or use another model.",
    ),
    rule(
        &[403],
        &[All(&[Is("no_providers_available"), Begins("free credits temporarily have restricted access ")])],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear().code("FREE_CREDITS_RESTRICTED"),
        "The account's free credits do not serve this model: pay for credits, or use another model.",
    ),
    rule(
        &[400, 401, 403, 404],
        &[
            IsLike("_model_access_denied"),
            IsLike("model_permission_blocked"),
            Is("no_access"),
            // Copilot's, of a plan.
            Is("no_available_model_endpoints"),
            Is("model_not_supported"),
            Is("ModelNotOpen"),
            // MiniMax's, of a plan.
            Is("2061"),
            Begins("not found the model "),
            Begins("function '': not found for account "),
        ],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This key or its account may not use this model: allow it in the provider's console.",
    ),
    // Of a gateway whose group for this key has nobody who offers the model (new-api).
    rule(
        &[503],
        &[Is("model_not_found")],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "The gateway has nobody for this model in this key's group: give the key another group, or add a channel there.",
    ),
    // What begins with the caller's own words.
    rule(
        &[400, 404],
        &[
            Mentions("is not a valid model id"),
            Begins("no endpoints found "),
            Begins("no allowed providers are available "),
            // xAI's.
            Begins("model not found: "),
            Begins("unknown model: "),
            // LiteLLM's.
            Says("invalid model name passed in model="),
            Is("invalid_model"),
            Is("unknown_model"),
            Is("unavailable_model"),
            // Zhipu's.
            Is("1211"),
            Frames("no such model ", " or task"),
            // new-api's.
            Frames("model ", " has not been priced "),
            Begins("model not exist"),
            Begins("model does not exist"),
            // OpenRouter's, Voyage's.
            Begins("model is unavailable for free"),
            Frames("model ", " is not supported. supported models are "),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "Nobody offers this model here: check the model's name.",
    ),
    rule(
        &[400, 404, 410],
        &[
            Is("model_decommissioned"),
            Is("ModelDeprecated"),
            Is("ServiceModelDeprecated"),
            Is("ServiceModelDeprecating"),
            Begins("model associated with the deployment is deprecated "),
            Says("has reached its end of life"),
            Says("has reached the end of its life"),
            Frames("model ", " has been deprecated"),
            Frames("model ", " was deprecated on "),
            Frames("model ", " was removed on "),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel),
        "The provider retired this model: see its page of models for what took its place.",
    ),
    // Together's, of models for which an endpoint has to be made first.
    rule(
        &[400],
        &[Is("model_not_available")],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel),
        "The provider does not offer this model as it stands: make an endpoint for it, or use another model.",
    ),
    // A proxy tells what its own provider told it: of the proxy's key, not of ours.
    rule(
        &[401, 402, 403],
        &[Is(PASSED_ON)],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause),
        "The provider behind this proxy refused the proxy's own key: see to that one.",
    ),
    // DashScope's, by OpenCode, with the status that it has there.
    rule(
        &[400],
        &[Begins("upstream error from alibaba: request rate increased too quickly")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider behind this one refuses more for now: it is tried again.",
    ),
    rule(
        &[400],
        &[Is(PASSED_ON)],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The provider behind this proxy refused the request: the answer's body says why.",
    ),
    // How we sent it.
    rule(
        &[401],
        &[
            Begins("you didn't provide an api key "),
            Begins("missing bearer "),
            Begins("no api key provided "),
            Begins("access denied due to missing subscription key"),
            Begins("no api key supplied"),
            Begins("api key required"),
            Begins("api key is required"),
            Begins("api key is missing"),
            Begins("missing api key"),
            Begins("no api key found in request"),
            Begins("authentication error, no api key passed in"),
            Begins("header of type '' was missing"),
            // Zhipu's.
            Begins("authentication parameter not received in header"),
            Begins("header中未收到authorization参数"),
        ],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("MISSING_API_KEY"),
        "The key did not reach the provider: let nothing below the key pool remove headers.",
    ),
    rule(
        &[4],
        &[Is("mismatched_organization"), Is("mismatched_project"), Is("invalid_organization")],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No),
        "The request names an organization or project that is not the key's: leave these headers out.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(RULES);
    }
}
