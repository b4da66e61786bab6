//! What errors of the `OpenAI` family mean: `OpenAI`, Azure, `OpenRouter`, and those who speak like them. The first
//! row that fits decides; words come before sentences, money before rates.

use super::said::PASSED_ON;
use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Says},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const RULES: &[Rule] = &[
    // What an account allows.
    rule(
        &[404],
        &[Begins("no endpoints found matching your data policy ")],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear().code("DATA_POLICY"),
        "The account's privacy settings allow nobody who offers this model: change them, or use another model.",
    ),
    rule(
        &[400, 401, 403, 404],
        &[
            IsLike("_model_access_denied"),
            IsLike("model_permission_blocked"),
            Is("no_access"),
            Is("model_not_supported"),
            Is("ModelNotOpen"),
            Begins("not found the model "),
            Begins("function '': not found for account "),
        ],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This key or its account may not use this model: allow it in the provider's console.",
    ),
    // What begins with the caller's own words.
    rule(
        &[400, 404],
        &[
            Says("is not a valid model id"),
            Begins("no endpoints found "),
            Is("invalid_model"),
            Is("unknown_model"),
            Is("unavailable_model"),
            Frames("no such model ", " or task"),
            Begins("model not exist"),
            Begins("model does not exist"),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "Nobody offers this model here: check the model's name.",
    ),
    rule(
        &[400, 404, 410],
        &[Is("model_decommissioned"), Says("has reached its end of life"), Frames("model ", " has been deprecated")],
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
    // The account.
    rule(
        &[4],
        &[
            Is("account_deactivated"),
            Is("organization_deactivated"),
            Is("organization_restricted"),
            Is("access_terminated"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey),
        "The account behind this key was switched off: see the provider's mails to its owner.",
    ),
    rule(
        &[403, 412],
        &[
            Frames("account ", " is suspended"),
            Frames("account ", " has been suspended"),
            Begins("account is suspended"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("ACCOUNT_SUSPENDED"),
        "The account behind this key is suspended, perhaps for an unpaid bill: see the provider's console.",
    ),
    // The key.
    rule(
        &[400, 401, 403],
        &[
            Is("invalid_api_key"),
            Is("incorrect_api_key_error"),
            Is("wrong_api_key"),
            Is("expired_api_key"),
            Is("expired_key"),
            Is("token_not_found_in_db"),
            Is("invalid_authentication_error"),
            Is("AuthenticationTypeDisabled"),
            Begins("incorrect api key provided"),
            Begins("incorrect api key"),
            Begins("invalid api key"),
            Begins("invalid api key provided"),
            Begins("api key is invalid"),
            Begins("api key is not valid"),
            Begins("api key not valid"),
            Begins("api key provided is invalid"),
            Begins("api key you provided is invalid"),
            Begins("api key is disabled"),
            Begins("api key is currently blocked"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key does not exist or was revoked: replace it.",
    ),
    rule(
        &[401],
        &[Is("authentication_error")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key does not exist or was revoked: replace it.",
    ),
    // Cloudflare's, of what cannot be one of its keys.
    rule(
        &[400],
        &[Begins("invalid format for authorization header")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("MALFORMED_KEY").confirmed_after(60),
        "The provider cannot read it as a key: check that it was copied whole, and replace it.",
    ),
    // OpenRouter says so of whatever it does not know as a key of its own.
    rule(
        &[401],
        &[
            Begins("no auth credentials found"),
            Begins("no cookie auth credentials found"),
            All(&[Is("401"), Begins("user not found")]),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("INVALID_API_KEY").confirmed_after(60),
        "The provider does not know it as a key: replace it. If it says so of all keys, something below the key pool removes headers.",
    ),
    rule(
        &[401],
        &[Begins("access denied due to invalid subscription key")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("INVALID_SUBSCRIPTION_KEY").confirmed_after(60),
        "The key is not one of this resource: replace it, or use its resource's own address.",
    ),
    rule(
        &[401, 403],
        &[Is("ip_not_authorized"), Is("ip_not_allowed")],
        ruling(K::InvalidKey, S::Key, probed(6 * HOUR), E::OtherKey),
        "The key's project allows other IP addresses only: add this one to its list.",
    ),
    rule(
        &[401, 403],
        &[
            Begins("you have insufficient permissions "),
            Begins("api key has insufficient permissions "),
            Begins("missing scopes"),
            Begins("insufficient permissions"),
        ],
        ruling(K::InvalidKey, S::KeyLane, probed(HOUR), E::OtherKey),
        "The key lacks a permission that this call needs: widen its scopes or use a key that has them.",
    ),
    // Our address.
    rule(
        &[4],
        &[Is("unsupported_country_region_territory")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No),
        "The provider does not serve the country that this machine's address is in: use an exit address elsewhere.",
    ),
    rule(
        &[403],
        &[
            Begins("access denied due to virtual network"),
            Begins("public access is disabled"),
            Begins("access denied. please check your network settings"),
        ],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("NETWORK_RULES"),
        "The resource's network rules shut this machine's address out: allow it there, or use another exit address.",
    ),
    // DashScope calls tokens a minute what others call money.
    rule(
        &[429],
        &[Begins("allocated quota exceeded")],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(HOUR),
        "The account is at its tokens per minute for this model: wait a minute, or add a key of another account.",
    ),
    // Money.
    rule(
        &[402],
        &[Says("fewer max_tokens"), Says("prompt tokens limit exceeded")],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("CREDITS_TOO_LOW_FOR_REQUEST").retries(8),
        "The account's credits do not cover this one request: ask for fewer tokens, or add credits.",
    ),
    // A proxy that gives keys of its own a budget (LiteLLM).
    rule(
        &[400, 429],
        &[Is("budget_exceeded")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey),
        "This key's budget is used up: raise it where the key was made.",
    ),
    rule(
        &[402, 403],
        &[Begins("key limit exceeded")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("KEY_LIMIT_EXCEEDED"),
        "This key reached the credit limit that its owner set: raise it in the provider's console.",
    ),
    rule(
        &[403],
        &[Begins("out of call volume quota")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("CALL_VOLUME_QUOTA").heeding(31 * 24 * HOUR),
        "The subscription's calls are used up: wait until they are replenished, or raise its quota.",
    ),
    rule(
        &[401, 403, 429],
        &[
            Frames("team ", " has either used all available credits "),
            Frames("team ", " has used all available credits "),
            Begins("team has used all available credits "),
            Begins("newly created team doesn't have any credits "),
            Begins("newly created teams doesn't have any credits "),
            Begins("subscription payment is past due"),
            Begins("team doesn't have any credits yet"),
            Frames("team ", " doesn't have any credits yet"),
            Begins("insufficient balance or "),
            Begins("account balance is insufficient"),
            Begins("sorry, your account balance is insufficient"),
            Begins("inactive subscription or usage limit reached"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits, or raise its budget in the provider's console.",
    ),
    rule(
        &[4],
        &[
            Is("insufficient_quota"),
            Is("insufficient_balance"),
            Is("insufficient_balance_error"),
            Is("insufficient_user_quota"),
            Is("AccountOverdueError"),
            // Zhipu's.
            Is("1113"),
            Is("Arrearage"),
            Is("exceeded_current_quota_error"),
            Is("credit_balance_exhausted"),
            Is("organization_usage_limit_exceeded"),
            // Groq's, where a budget is at its end.
            Is("blocked_api_access"),
            IsLike("spend_limit"),
            // OpenCode's.
            Is("CreditsError"),
            Is("MonthlyLimitError"),
            IsLike("billing_"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The account's credit or budget is used up: add credits, or raise its budget in the provider's console.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The account's credits are used up: add credits in the provider's console.",
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
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "This server does not have the model: pull it there, or check its name.",
    ),
    rule(
        &[403, 404],
        &[Is("model_not_found"), Is("model_not_available"), Begins("model ")],
        ruling(K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "This model does not exist, or this key's account has no access to it: check the model's name.",
    ),
    rule(
        &[404],
        &[Is("DeploymentNotFound")],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear(),
        "This resource has no such deployment (a new one takes five minutes): check the deployment's name.",
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
            Begins("no file found with id "),
            Begins("no thread found with id "),
            Begins("item with id "),
            Begins("vector store with id "),
            Begins("conversation with id "),
            Begins("no assistant found with id "),
            Begins("no batch found with id "),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("WRONG_OWNER"),
        "The file or earlier response belongs to another project, or does not exist: only keys of its project see it.",
    ),
    // The caller.
    rule(
        &[403],
        &[Says("flagged"), Says("violates usage guidelines"), IsLike("moderation"), IsLike("content_policy")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("FLAGGED"),
        "The provider's moderation refused the input: change what is asked.",
    ),
    // The provider.
    rule(
        &[409],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause),
        "The provider gave up because of another request at the same time: it is tried again.",
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
