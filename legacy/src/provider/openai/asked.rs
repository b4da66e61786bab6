//! What errors of the `OpenAI` family mean that speak of what was asked for: a model, somebody's things, the input.

use super::said::{MODEL_REFUSED, OF_A_PARAMETER, OF_AN_OPTION};
use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Says},
        rule::{Rule, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const ASKED: &[Rule] = &[
    // How a stream is to tell what it cost: what no key has a part in. Mostly a 400.
    rule(
        &[403],
        &[Is(OF_AN_OPTION)],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The provider has no such option of streams: leave stream_options out.",
    ),
    // Of a model that another path serves.
    rule(
        &[400, 404],
        &[Begins("model is only supported in ")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("WRONG_PATH"),
        "The model is served at another path of the API: the answer's body names it.",
    ),
    // The model.
    rule(
        &[401],
        &[Is("ModelError")],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "Nobody offers this model here: check the model's name.",
    ),
    rule(
        &[404],
        &[
            Frames("model ", " not found"),
            Frames("model ", " is not found"),
            All(&[Begins("model ''"), Says("'' not found")]),
            // vLLM's.
            All(&[Is("NotFoundError"), Begins("model ''"), Says("'' does not exist")]),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "This server does not have the model: pull it there, or check its name.",
    ),
    rule(
        &[403, 404],
        &[
            Is("model_not_found"),
            Is("model_not_available"),
            Begins("model "),
            Begins("publisher model "),
            Begins("access to model "),
        ],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This model does not exist, or this key's account has no access to it: check the model's name.",
    ),
    // MiniMax's, of a plan, as if it had failed.
    rule(
        &[500],
        &[Begins("current token plan not support model")],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear().code("NOT_IN_PLAN"),
        "This key's plan does not include the model: use a key of a larger plan, or another model.",
    ),
    // new-api's, of a key, a user or a group that lacks a model.
    rule(
        &[403],
        &[
            Begins("该令牌无权访问模型 "),
            Begins("该令牌无权使用模型"),
            Begins("无权访问模型 "),
            Frames("无权访问 ", " 分组"),
        ],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear().code("MODEL_ACCESS_DENIED"),
        "The gateway lets this key not have this model: allow it where the key was made, or use another model.",
    ),
    rule(
        &[400],
        &[Is("model_not_found")],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This model does not exist, or this key's account has no access to it: check the model's name.",
    ),
    rule(
        &[404],
        &[Is("DeploymentNotFound")],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear(),
        "This resource has no such deployment (a new one takes five minutes): check the deployment's name.",
    ),
    // NVIDIA's, where a model is down.
    rule(
        &[400],
        &[Frames("function id ", " degraded function cannot be invoked")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).code("DEGRADED"),
        "The provider's model is down just now: wait, or fall back to another model.",
    ),
    // A plan for some clients alone (Kimi's): keys of another plan serve.
    rule(
        &[403],
        &[Begins("kimi for coding is currently only available for ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("CLIENT_NOT_ALLOWED").retries(7),
        "The plan behind this key is for certain clients alone: use one of these, or a key of another plan.",
    ),
    // Cloudflare's, of a model whose terms somebody has to accept for the account.
    rule(
        &[400, 403],
        &[Begins("prior to using this model, you must submit the prompt ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("MODEL_TERMS_REQUIRED").retries(7),
        "The account has yet to accept this model's terms: send it the prompt that the answer names, once.",
    ),
    // Codex', of a model that a subscription does not have.
    rule(
        &[400],
        &[Begins("'' model is not supported when using codex with a chatgpt account")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("NOT_IN_PLAN").retries(3),
        "The subscription behind this key does not have this model: use another account's key, or another model.",
    ),
    // Who may ask like that: only for accounts that have shown who they are are some models streamed.
    rule(
        &[400, 403, 404],
        &[Begins("organization must be verified ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("ORGANIZATION_NOT_VERIFIED").retries(7),
        "The account must be verified for what this request asks of the model: verify it in the provider's console.",
    ),
    rule(
        &[400, 403],
        &[Is("model_terms_required")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).retries(7),
        "The account has yet to accept this model's terms: accept them in the provider's console.",
    ),
    // Whose resource it is.
    rule(
        &[400, 404],
        &[
            Is("previous_response_not_found"),
            Is("invalid_encrypted_content"),
            Begins("no such file object "),
            Begins("no such upload object "),
            Begins("no such batch object "),
            Begins("cannot find file "),
            Begins("file not found"),
            Frames("file ", " not found on container "),
            Begins("could not find fine tune"),
            Begins("no run found with id "),
            Begins("no response found with id "),
            Begins("no message found with id "),
            Begins("no vector store found with id "),
            Begins("container not found"),
            Begins("no file found with id "),
            Begins("no thread found with id "),
            Begins("item with id "),
            Begins("vector store with id "),
            Begins("conversation with id "),
            Begins("response with id "),
            Begins("container with id "),
            Begins("chat completion with id "),
            Begins("prompt with id "),
            Begins("video with id "),
            Begins("no assistant found with id "),
            Begins("no batch found with id "),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("WRONG_OWNER"),
        "The file or earlier response belongs to another project, or does not exist: only keys of its project see it.",
    ),
    // The caller.
    rule(
        &[403],
        &[
            Says("flagged"),
            Says("violates usage guidelines"),
            // xAI's.
            Begins("i can't help with that "),
            Says("prompt injection"),
            Says("blocked by guardrail"),
            IsLike("guardrail"),
            IsLike("moderation"),
            IsLike("content_policy"),
            IsLike("content_filter"),
            IsLike("policy_violation"),
            IsLike("cyber_policy"),
            IsLike("bio_policy"),
        ],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("FLAGGED"),
        "The provider's moderation refused the input: change what is asked.",
    ),
    rule(
        &[403],
        &[
            Is(OF_A_PARAMETER),
            Is("context_length_exceeded"),
            // Together's, of a prompt that is too long.
            Begins("input token count "),
            Begins("input validation error"),
        ],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The request itself is at fault: the answer's body says what to change.",
    ),
    // By its own word it is the request's, whatever the status of who stands in front: nobody's second try serves it.
    rule(
        &[500, 502, 503],
        &[
            Is("context_length_exceeded"),
            Is("content_policy_violation"),
            Is("content_filter"),
            Is("cyber_policy"),
            Is("bio_policy"),
            // llama.cpp's.
            All(&[Begins("input "), Says("is too large to process")]),
        ],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The request itself is at fault: the answer's body says what to change.",
    ),
    // The provider.
    // Gateways say so of what failed behind them.
    rule(
        &[403],
        &[Is("server_error"), Is("internal_server_error")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).heeding(600),
        "The provider failed inside: it is tried again, and if it goes on, see the provider's status page.",
    ),
    // Of servers of one's own (TGI): the answer was begun, and broke off.
    rule(
        &[424],
        &[Begins("request failed during generation")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).retries(1),
        "The server failed while it answered: it is tried once more; its log says why.",
    ),
    rule(
        &[409],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause),
        "The provider gave up because of another request at the same time: it is tried again.",
    ),
];

/// What is left where nothing else decides.
pub(in crate::provider) const LEFT: &[Rule] = &[
    // By their word for it (`PAID_MODEL_AUTH_REQUIRED`), or by a sentence: a model that a key may not have says nothing of the key.
    rule(
        &[401, 403],
        &[IsLike("model"), Is(MODEL_REFUSED)],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This key or its account may not use this model: allow it in the provider's console, or use another model.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(ASKED);
        check(LEFT);
    }
}
