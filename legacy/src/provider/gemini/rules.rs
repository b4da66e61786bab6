//! What Gemini's errors mean that speak of keys and projects. The first row that fits decides: what the provider names comes
//! before what it only words. Then come `money`, `quotas` and `asked`.

use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, Whole},
        google_rpc::TOOLS_API,
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const RULES: &[Rule] = &[
    // How we sent it.
    rule(
        &[4],
        &[Begins("multiple authentication credentials "), Is("OVERLOADED_CREDENTIALS")],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("MULTIPLE_CREDENTIALS"),
        "The request left with more than one credential: let nothing below the key pool add another, and send AQ. keys to native paths only.",
    ),
    rule(
        &[401, 403],
        &[Is("CREDENTIALS_MISSING"), Begins("api keys are not supported ")],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No),
        "This endpoint takes no API keys: use the Gemini API's own host and paths.",
    ),
    rule(
        &[400, 401, 403],
        &[
            Begins("missing or invalid authorization header"),
            Begins("method doesn't allow unregistered callers "),
            Begins("request is missing a valid api key"),
            Begins("request is missing required authentication "),
            // Of the older form.
            Is("dailyLimitExceededUnreg"),
            Is("userRateLimitExceededUnreg"),
            Is("rateLimitExceededUnreg"),
            All(&[Is("required"), Begins("login required")]),
        ],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("UNREGISTERED_CALLERS"),
        "The key did not reach the provider: let nothing below the key pool remove headers.",
    ),
    // The interactions API has one word for all that is wrong with a key, and this is said of AQ. keys where it is read.
    rule(
        &[401],
        &[All(&[Is("authentication"), Begins("request had invalid authentication credentials")])],
        ruling(K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey).unclear(),
        "The key is not accepted on this path, without a clear reason: see whether it serves models.",
    ),
    // The key.
    rule(
        &[4],
        &[Is("API_KEY_INVALID"), Is("keyInvalid"), Is("keyExpired")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        "The key does not exist, was deleted or has expired: replace it.",
    ),
    rule(
        &[400, 401, 403],
        &[
            // As it says them, also where no reason stands beside.
            Whole("api key not valid. please pass a valid api key"),
            Whole("api key not found. please pass a valid api key"),
            Whole("api key expired. please renew the api key"),
            Begins("api key not valid"),
            Begins("api key is not valid"),
            Begins("api key not found"),
            Begins("api key expired"),
            Begins("api key has expired"),
            Begins("api key is invalid"),
            Begins("invalid api key"),
            Begins("invalid api key provided"),
            Begins("api key is expired"),
            Begins("api key has been revoked"),
            Begins("api key was revoked"),
            Begins("api key is revoked"),
            Begins("api key has been deleted"),
            Begins("api key was deleted"),
            Begins("api key has been disabled"),
            Begins("api key is disabled"),
            Begins("api key does not exist"),
            Begins("api key suspended"),
            Begins("api key has been suspended"),
            Begins("please pass a valid api key"),
            Begins("please renew the api key"),
            Is("authentication"),
            Is("authentication_error"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("API_KEY_INVALID").confirmed_after(60),
        "The key does not exist, was deleted or has expired: replace it.",
    ),
    rule(
        &[400, 401, 403],
        &[
            Begins("api key was reported as leaked"),
            Begins("api key has been reported as leaked"),
            Begins("api key is reported as leaked"),
            Begins("api key has been leaked"),
            Begins("api key was leaked "),
            Begins("api key is leaked"),
            Frames("api key ", " was reported as leaked"),
            Frames("api key ", " has been reported as leaked"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("KEY_LEAKED"),
        "The key was found in public and is switched off for good: make a new one, and find where it leaked.",
    ),
    rule(
        &[4],
        &[Is("API_KEY_IP_ADDRESS_BLOCKED"), Begins("api key has an ip address restriction")],
        ruling(K::InvalidKey, S::Key, probed(6 * HOUR), E::OtherKey),
        "The key is restricted to other IP addresses: add this one to the key's restrictions.",
    ),
    rule(
        &[4],
        &[
            Is("API_KEY_SERVICE_BLOCKED"),
            Is("API_KEY_HTTP_REFERRER_BLOCKED"),
            Is("API_KEY_ANDROID_APP_BLOCKED"),
            Is("API_KEY_IOS_APP_BLOCKED"),
            Is("ipRefererBlocked"),
            All(&[Is("PERMISSION_DENIED"), Begins("requests to this api ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("requests from referer ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("requests from this android client application ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("requests from this ios client application ")]),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key's restrictions forbid this use: allow the Gemini API, and no referrer or app, in the key's settings.",
    ),
    rule(
        &[4],
        &[Is("ACCOUNT_STATE_INVALID")],
        ruling(K::InvalidKey, S::Key, probed(HOUR), E::OtherKey),
        "The service account behind this key is disabled or gone: enable it, or make a new key.",
    ),
    // Whose key it is.
    rule(
        &[4],
        &[
            Is("CONSUMER_SUSPENDED"),
            Is("GCP_SUSPENDED"),
            Is("CONSUMER_INVALID"),
            Is("USER_PROJECT_DENIED"),
            Is("TOS_VIOLATION"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey),
        "The key's project is suspended or gone: see the project in the Google Cloud console, or use another project's key.",
    ),
    rule(
        &[403],
        &[
            Frames("permission denied: consumer ", " has been suspended"),
            Frames("consumer ", " has been suspended"),
            Begins("consumer has been suspended"),
            Begins("account has been suspended "),
            Begins("google cloud account has been suspended "),
            Begins("project has been denied access"),
            Begins("project has been suspended"),
            Begins("service has been disabled in this account "),
            Begins("service has been disabled for violation of "),
            Begins("gemini has been disabled in this account "),
            Frames("project ", " has been denied access"),
            Frames("project ", " has been suspended"),
            Frames("permission denied: project ", " has been suspended"),
            Frames("permission denied: project ", " has been denied access"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).code("CONSUMER_SUSPENDED"),
        "The key's project is suspended: see the project in the Google Cloud console, or use another project's key.",
    ),
    rule(
        &[403],
        &[Frames("project ", " has been deleted")],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).code("CONSUMER_INVALID"),
        "The key's project was deleted: restore it in the Google Cloud console, or use another project's key.",
    ),
    // Code Assist's, of an account whose owner is to show who he is.
    rule(
        &[403],
        &[Is("VALIDATION_REQUIRED"), Begins("verify your account to continue")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("VALIDATION_REQUIRED"),
        "Google wants to know who owns this account: sign in with it and follow the address in the answer.",
    ),
    // Code Assist's, of a company's account for which nobody bought it.
    rule(
        &[403],
        &[
            Is("SUBSCRIPTION_REQUIRED"),
            Begins("you do not have a valid license "),
            Begins("you must be a named user "),
            Begins("account is not eligible for gemini "),
            Begins("current account is not eligible for gemini "),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("NO_LICENSE"),
        "This account has no license for Code Assist: let its administrator give it one, or use another account.",
    ),
    // Of what one request's tools look into: others go on.
    rule(
        &[403],
        &[All(&[Is("SERVICE_DISABLED"), Is(TOOLS_API)])],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("TOOLS_API_DISABLED").retries(7),
        "An API that this request's tools need is not enabled in the key's project: enable it there, or use another project's key.",
    ),
    rule(
        &[4],
        &[Is("SERVICE_DISABLED"), Is("SERVICE_NOT_VISIBLE"), Is("accessNotConfigured")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey),
        "The Gemini API is not enabled in the key's project: enable the Generative Language API there.",
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
