//! What Gemini's errors mean. The first row that fits decides, so the order is part of the table: what the provider
//! names comes before what it only words, money before quotas, a limit of zero before any other limit.

use crate::{
    provider::{
        complaint::{
            Hit,
            Mark::{All, Begins, Frames, Hits, Is, IsLike, Says, Waits, Whole},
        },
        google_rpc::SEARCHES,
        rule::{HOUR, Rule, probed, rule, ruling, seconds},
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
        ],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("UNREGISTERED_CALLERS"),
        "The key did not reach the provider: let nothing below the key pool remove headers.",
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
            Begins("api key not valid"),
            Begins("api key is not valid"),
            Begins("api key not found"),
            Begins("api key expired"),
            Begins("api key has expired"),
            Begins("api key is invalid"),
            Begins("invalid api key"),
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
            All(&[Is("PERMISSION_DENIED"), Begins("requests to this api generativelanguage.googleapis.com method ")]),
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
        &[Is("CONSUMER_SUSPENDED"), Is("GCP_SUSPENDED"), Is("CONSUMER_INVALID"), Is("USER_PROJECT_DENIED")],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey),
        "The key's project is suspended or gone: see the project in the Google Cloud console, or use another project's key.",
    ),
    rule(
        &[403],
        &[
            Frames("permission denied: consumer ", " has been suspended"),
            Frames("consumer ", " has been suspended"),
            Begins("project has been denied access"),
            Begins("project has been suspended"),
            Begins("service has been disabled in this account "),
            Begins("gemini has been disabled in this account "),
            Frames("project ", " has been denied access"),
            Frames("project ", " has been suspended"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).code("CONSUMER_SUSPENDED"),
        "The key's project is suspended: see the project in the Google Cloud console, or use another project's key.",
    ),
    rule(
        &[4],
        &[Is("SERVICE_DISABLED"), Is("SERVICE_NOT_VISIBLE"), Is("accessNotConfigured")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey),
        "The Gemini API is not enabled in the key's project: enable the Generative Language API there.",
    ),
    rule(
        &[403],
        &[
            Begins("generative language api has not been used in project "),
            Begins("gemini api has not been used in project "),
            Begins("vertex ai api has not been used in project "),
            Begins("agent platform api has not been used in project "),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("SERVICE_DISABLED"),
        "The Gemini API is not enabled in the key's project: enable the Generative Language API there.",
    ),
    // Money.
    rule(
        &[402, 403, 429],
        &[
            Begins("billing account has exceeded its monthly spending cap"),
            Begins("billing account has reached its monthly spending cap"),
        ],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The billing account reached its monthly spending cap: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[401, 403, 429],
        &[IsLike("billing_")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "Billing is off for the key's project: turn it on in the Google Cloud console.",
    ),
    rule(
        &[4],
        &[
            Is("BILLING_DISABLED"),
            All(&[Is("PERMISSION_DENIED"), Begins("lightning dunning decision ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("dunning decision ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("api method requires billing ")]),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "Billing is off for the key's project: turn it on in the Google Cloud console.",
    ),
    rule(
        &[400, 403],
        &[
            Begins("gemini api free tier is not available "),
            Begins("free tier is not available "),
            Begins("api method requires billing "),
            Begins("please enable billing "),
            Begins("enable billing "),
            Begins("billing must be enabled "),
            Begins("billing is disabled "),
            Begins("billing is not enabled "),
            Begins("billing has not been enabled "),
            Begins("billing account "),
            Whole(
                "gemini api free tier is not available in your country. please enable billing on your project in google ai studio",
            ),
            // Of a free key at an address where only paid ones are served: not of the address.
            Whole("user location is not supported for the api use without a billing account linked"),
            Begins("user location is not supported for the api use without a billing account "),
            Begins("project requires billing "),
            Frames("project ", " requires billing "),
            Frames("project ", " does not have billing enabled"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "The key's project needs billing here: turn it on in Google AI Studio.",
    ),
    rule(
        &[402, 403, 429],
        &[Begins("prepayment credits are depleted"), Begins("prepayment credits have been depleted")],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("PREPAY_DEPLETED"),
        "The billing account's prepaid credits are used up: add credits in Google AI Studio.",
    ),
    rule(
        &[402, 403, 429],
        &[
            Begins("project has exceeded its monthly spending cap"),
            Begins("project has reached its monthly spending cap"),
            Begins("project exceeded its monthly spending cap"),
            Frames("project ", " has exceeded its monthly spending cap"),
            Frames("project ", " has reached its monthly spending cap"),
            Begins("you exceeded your monthly spending cap"),
            Begins("you have exceeded your monthly spending cap"),
            Begins("you have reached your monthly spending cap"),
            Begins("monthly spending cap "),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The project reached the monthly spending cap that its owner set: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("PAYMENT_REQUIRED"),
        "The provider wants to be paid for this key's project: check its billing account.",
    ),
    rule(
        &[429],
        &[
            Begins("you exceeded your spend-based rate limit"),
            Begins("you have exceeded your spend-based rate limit"),
            Begins("you've exceeded your spend-based rate limit"),
            Begins("project has exceeded its spend-based rate limit"),
            Begins("spend-based rate limit "),
        ],
        ruling(K::RateLimited, S::Owner, seconds(600), E::OtherKey).code("SPEND_RATE").heeding_between(600, 24 * HOUR),
        "The project spends faster than its tier allows in ten minutes: wait, spread the load, or move to a higher tier.",
    ),
    rule(
        &[400, 403],
        &[
            Whole("imagen api is only accessible to billed users at this time"),
            Begins("imagen api is only accessible to billed users "),
            Begins("veo api is only accessible to billed users "),
            Begins("lyria api is only accessible to billed users "),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(24 * HOUR), E::OtherKey).code("BILLED_USERS_ONLY"),
        "Only projects with billing may use this model: use a paid project's key, or another model.",
    ),
    // A model that no address in this country is served, whosever the key is.
    rule(
        &[400, 403],
        &[Begins("image generation is not available in your country")],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("LOCATION_OF_MODEL"),
        "The provider serves this model in other countries only: use an exit address there, or another model.",
    ),
    // Our address.
    rule(
        &[400, 403],
        &[Begins("user location is not supported "), Begins("location is not supported ")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("LOCATION"),
        "The provider does not serve the country that this machine's address is in: use an exit address elsewhere.",
    ),
    // Capacity is nobody's quota.
    rule(
        &[429, 503],
        &[Is("MODEL_CAPACITY_EXHAUSTED"), Begins("no capacity available "), Says("error-code-429")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    // Of what caches may keep: the model itself answers as before.
    rule(
        &[429],
        &[
            Begins("totalcachedcontentstoragetokenspermodel limit exceeded"),
            Begins("totalcachedcontentstoragetokenspermodelfreetier limit exceeded"),
            Begins("totalcachedcontentstoragetokenspermodelpaidtier limit exceeded"),
        ],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("CACHE_STORAGE"),
        "The project's tier keeps no caches of this size (a free one keeps none): use a paid project's key, or delete some.",
    ),
    // Of what it looks up: requests without a search go on.
    rule(
        &[429],
        &[Is(SEARCHES)],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).retries(7),
        "The project's searches are used up (a free one may have none): use a paid project's key, or ask without google_search.",
    ),
    // Quotas.
    rule(
        &[429],
        &[Hits(Hit::Zero)],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(24 * HOUR), E::OtherKey).code("LIMIT_ZERO"),
        "The project's tier does not include this model: use a paid project's key, or another model.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Day)],
        // The stated wait is often the minute's (51 s on a day's quota), so only a long one is believed.
        ruling(K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey).heeding_between(600, 26 * HOUR),
        "The project's quota for the day is used up for this model: it returns at midnight Pacific time; add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Month)],
        ruling(K::QuotaExhausted, S::OwnerLane, probed(6 * HOUR), E::OtherKey).heeding_between(600, 31 * 24 * HOUR),
        "The project's quota for the month is used up: raise it in the Google Cloud console, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Hour)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(2 * HOUR),
        "The project is at its limit per hour for this model: give its keys these limits, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Sessions)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(HOUR),
        "The project has as many sessions open at once as it may: end some, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Short)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(HOUR),
        "The project is at its limit per minute for this model: give its keys these limits, or add a key of another project.",
    ),
    rule(
        &[429],
        // Vertex AI names the metric alone.
        &[Waits, Is("RATE_LIMIT_EXCEEDED"), Begins("quota exceeded for ")],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "The project is at a limit for this model: wait as long as stated, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Is("quota_exceeded"), Is("RESOURCE_QUOTA_EXCEEDED")],
        ruling(K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey),
        "The project's quota is used up for this model: it returns at midnight Pacific time; add a key of another project.",
    ),
    rule(
        &[429],
        &[],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "The provider refuses more for now and names no quota: it is tried again at growing intervals.",
    ),
    // Whose resource it is.
    rule(
        &[403, 404],
        &[
            Begins("you do not have permission to access "),
            Begins("cachedcontent not found "),
            Begins("permission denied on resource "),
            All(&[Begins("file "), Says("does not exist")]),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("WRONG_OWNER"),
        "The file or cache belongs to another project, or does not exist: it is only seen by keys of the project that made it.",
    ),
    rule(
        &[403],
        &[Begins("caller does not have permission ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).unclear(),
        "What was asked for belongs to another project, or this key's account lacks a permission.",
    ),
    rule(
        &[404],
        &[
            Begins("model is no longer available to new users"),
            Frames("model ", " is no longer available to new users"),
            Begins("models/ is no longer available to new users"),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Lifted, E::OtherKey).code("MODEL_RETIRED"),
        "This model is closed to projects that did not use it before: use an older project's key, or another model.",
    ),
    rule(
        &[404],
        &[
            Says("is not found for api version"),
            Is("model_not_found"),
            Begins("models/"),
            Begins("model "),
            Begins("publisher model "),
            Says("has been deprecated"),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "No such model for this API version and method: see the list of models for its exact name.",
    ),
    rule(
        &[404],
        &[
            Begins("requested entity was not found "),
            All(&[Is("NOT_FOUND"), Says("files/")]),
            All(&[Is("NOT_FOUND"), Says("batches/")]),
            All(&[Is("NOT_FOUND"), Says("operations/")]),
            All(&[Is("NOT_FOUND"), Says("cachedcontents/")]),
            All(&[Is("NOT_FOUND"), Says("filesearchstores/")]),
            All(&[Is("NOT_FOUND"), Says("corpora/")]),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).unclear(),
        "What was asked for does not exist, or belongs to another project whose keys alone can see it.",
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
