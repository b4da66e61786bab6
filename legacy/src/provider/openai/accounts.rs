//! What errors of the `OpenAI` family mean that speak of an account, of its key, or of our address.

use crate::{
    provider::{
        complaint::Mark::{All, Apart, Begins, Frames, Is},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table, behind that of `rules`.
pub(in crate::provider) const ACCOUNTS: &[Rule] = &[
    rule(
        &[4],
        &[
            Is("account_deactivated"),
            Is("organization_deactivated"),
            Is("organization_restricted"),
            Is("access_terminated"),
            // An archived project's.
            Is("not_authorized_invalid_project"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey),
        "The account behind this key was switched off: see the provider's mails to its owner.",
    ),
    rule(
        &[401, 403, 429],
        &[
            Begins("openai account has been deactivated"),
            Begins("openai account associated with this api key has been deactivated"),
            Begins("key is associated with a deactivated account"),
            Begins("access was terminated due to violation "),
            Begins("account was flagged for "),
            Begins("account has been flagged for "),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).code("ACCOUNT_DEACTIVATED"),
        "The account behind this key was switched off: see the provider's mails to its owner.",
    ),
    rule(
        &[401, 403, 429],
        &[
            // Azure's, of what was asked before.
            Begins("resource has been temporarily blocked "),
            // new-api's.
            Begins("用户已被封禁"),
            // Zhipu's: inactive, gone, locked.
            Is("1110"),
            Is("1111"),
            Is("1112"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("ACCOUNT_BLOCKED"),
        "The provider blocked the account behind this key: see its console for why, or write to its support.",
    ),
    rule(
        &[403, 412],
        &[
            Frames("account ", " is suspended"),
            Frames("account ", " has been suspended"),
            Begins("account is suspended "),
            Begins("account has been suspended "),
            Begins("account is overdue "),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("ACCOUNT_SUSPENDED"),
        "The account behind this key is suspended, perhaps for an unpaid bill: see the provider's console.",
    ),
    // OpenAI's, of a project whose data stay in a region: whoever sets the base right has the key back within the hour.
    rule(
        &[401],
        &[Is("incorrect_hostname")],
        ruling(K::InvalidKey, S::Key, probed(HOUR), E::OtherKey),
        "The key belongs to another regional host: set the base URL that the answer names (https://eu.api.openai.com/v1, say), or use a key of this one.",
    ),
    // The key.
    rule(
        &[400, 401, 403],
        &[
            Is("invalid_api_key"),
            Is("InvalidApiKey"),
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
            // Bedrock's, of what cannot be one of its keys.
            Begins("invalid api key format"),
            Begins("api key is invalid"),
            Begins("api key is not valid"),
            Begins("api key not valid"),
            Begins("api key provided is invalid"),
            Begins("api key you provided is invalid"),
            Begins("api key is disabled"),
            Begins("api key is currently blocked"),
            Begins("api key has been blocked"),
            // Cloudflare's, Baseten's.
            Begins("invalid access token"),
            Begins("please check the api-key you provided"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key does not exist or was revoked: replace it.",
    ),
    // Bedrock's, also of a key that is for another region.
    rule(
        &[401, 403],
        &[
            Begins("authentication failed: please make sure your api key is valid"),
            Begins("security token included in the request is "),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("INVALID_API_KEY").confirmed_after(60),
        "The key is not valid here: make a new one in the Bedrock console, for this region.",
    ),
    rule(
        &[401, 403],
        &[
            Is("token_expired"),
            Is("token_invalidated"),
            Is("token_revoked"),
            Is("invalid_jwt"),
            // xAI's.
            Begins("oauth2 access token could not be validated"),
            Begins("you must be a member of an organization "),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        "What stands for the key has expired, or its user left the organization: make a new key.",
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
    // Of lists, files and the like: what is asked for of a model needs another permission.
    rule(
        &[401, 403],
        &[
            All(&[Apart, Begins("you have insufficient permissions ")]),
            All(&[Apart, Begins("api key has insufficient permissions ")]),
            All(&[Apart, Begins("missing scopes")]),
            All(&[Apart, Begins("insufficient permissions")]),
            All(&[Apart, Begins("authentication method does not have sufficient permissions ")]),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherKey).code("MISSING_SCOPE").retries(7),
        "The key lacks a permission that this call needs: widen its scopes or use a key that has them.",
    ),
    rule(
        &[401, 403],
        &[
            Begins("you have insufficient permissions "),
            Begins("api key has insufficient permissions "),
            Begins("missing scopes"),
            Begins("insufficient permissions"),
            // Hugging Face's.
            Begins("authentication method does not have sufficient permissions "),
        ],
        ruling(K::InvalidKey, S::KeyLane, probed(HOUR), E::OtherKey),
        "The key lacks a permission that this call needs: widen its scopes or use a key that has them.",
    ),
    rule(
        &[401, 403],
        &[Is("authentication_error")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key does not exist or was revoked: replace it.",
    ),
    // Our address.
    rule(
        &[4],
        &[Is("unsupported_country_region_territory")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No),
        "The provider does not serve the country that this machine's address is in: use an exit address elsewhere.",
    ),
    // Anthropic's, by its paths for clients of OpenAI.
    rule(
        &[403],
        &[All(&[Is("forbidden"), Begins("request not allowed")])],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("LOCATION"),
        "The provider does not serve this machine's address: use an exit address in a country that it serves.",
    ),
    rule(
        &[403],
        &[
            Begins("access denied due to virtual network"),
            Begins("public access is disabled"),
            Begins("access denied. please check your network settings"),
            Begins("traffic is not from an approved private endpoint"),
        ],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("NETWORK_RULES"),
        "The resource's network rules shut this machine's address out: allow it there, or use another exit address.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(ACCOUNTS);
    }
}
