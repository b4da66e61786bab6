//! What errors mean of APIs that are known for nothing but their keys: words that many of them have.

use crate::{
    provider::{
        complaint::{
            Hit,
            Mark::{Begins, Hits, Is, IsLike, Says, Tells, Waits, Whole},
        },
        rule::{HOUR, Rule, Ruling, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// What this provider knows more than a bare status: that the key is the only credential.
pub(super) const RULES: &[Rule] = &[
    // ElevenLabs', whose keys may each do some of what there is: one that may not do this may speak.
    rule(
        &[401, 403],
        &[
            Is("missing_permissions"),
            Begins("api key you used is missing the permission "),
            // Notion's, Deepgram's, Resend's, GitHub's, Spotify's.
            Is("restricted_resource"),
            Is("INSUFFICIENT_PERMISSIONS"),
            Is("restricted_api_key"),
            Says("insufficient client scope"),
            Says("not accessible by personal access token"),
            Says("not accessible by integration"),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherKey).code("MISSING_PERMISSION").retries(7),
        "The key lacks a permission that this call needs: grant it to the key, or use one that has it.",
    ),
    // Brave's and apilayer's (fixer.io, marketstack), whose plans are of a key each.
    rule(&[400, 403], &[Is("OPTION_NOT_IN_PLAN"), IsLike("_access_restricted")], LACKS, NOT_IN_PLAN),
    // What a plan lacks says nothing of the key for all else, whatever the status: a voice or a format (ElevenLabs, with a 402
    // as well), an endpoint (OpenWeather, FMP, CoinMarketCap, CoinGecko), data (Polygon, Finnhub).
    rule(
        &[401, 402, 403],
        &[
            Is("paid_plan_required"),
            Is("subscription_required"),
            Is("output_format_not_allowed"),
            Is("API_INACCESSIBLE"),
            Says("upgrade your subscription to use this "),
            Says("requires a separate subscription"),
            Says("not available under your current "),
            Says("not available on your plan"),
            Says("not available in your plan"),
            Says("not available on your current "),
            Says("not available in your current "),
            Says("not included in your plan"),
            Says("not included in your current "),
            Says("plan doesn't support "),
            Says("plan does not support "),
            Says("plan doesn't include "),
            Says("plan does not include "),
            Says("limited to pro api subscribers"),
            Says("are not entitled to this data"),
            Says("don't have access to this resource"),
            Says("does not have access to the resource"),
            Says("available exclusively with "),
            Says("requires membership or higher"),
            Says("upgrade your api plan to use "),
        ],
        LACKS,
        NOT_IN_PLAN,
    ),
    // Of an address that the request names (Firecrawl, Resend), or of any of its parameters (YouTube: comments are off there).
    rule(
        &[403],
        &[Is(super::said::OF_A_PARAMETER), Is("validation_error"), Says("do not support this site")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("REFUSED_FOR_WHAT_IT_ASKS"),
        "The API refuses what the request names: the answer's body says why.",
    ),
    // ElevenLabs', Kong's, Azure's, Apigee's, NASA's.
    rule(
        &[401, 403],
        &[
            Is("needs_authorization"),
            Is("API_KEY_MISSING"),
            Begins("access denied due to missing subscription key"),
            Begins("failed to resolve api key variable "),
            Begins("neither authorization header nor "),
            Begins("no api key found in request"),
        ],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("MISSING_API_KEY"),
        "The key did not reach the API in the header it wants: check the header's name, and that nothing below removes it.",
    ),
    // ElevenLabs', of an account's own voices: one that another account made would be found there alone.
    rule(
        &[401, 403],
        &[Is("voice_limit_reached")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The account keeps as many voices as it may: delete one, or raise the plan.",
    ),
    rule(
        &[429],
        &[Is("system_busy")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(3_600),
        "The API has no capacity now: it is tried again.",
    ),
    // Apify's, of as many runs at once as a plan has: they end, whatever status it is told with.
    rule(
        &[402, 403],
        &[IsLike("concurrent-runs"), IsLike("concurrency_limit"), IsLike("concurrent_limit")],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).code("CONCURRENCY").heeding(HOUR),
        "As much is under way with this key as its plan allows: wait for some to end, or add keys.",
    ),
    // ElevenLabs', of a text that is too long for what is left.
    rule(
        &[401, 402, 403],
        &[Is(super::said::SOME_LEFT)],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherKey).code("CREDITS_TOO_LOW_FOR_REQUEST").retries(7),
        "What is left of the quota does not cover this one request: send a shorter one, or add a key.",
    ),
    // Deepgram's, Exa's, Soniox', Jina's, Stability's.
    rule(
        &[402],
        &[
            Is("ASR_PAYMENT_REQUIRED"),
            Is("NO_MORE_CREDITS"),
            IsLike("budget_exceeded"),
            IsLike("balance_exhausted"),
            IsLike("insufficientbalance"),
            Is("payment_required"),
            Is("CreditsDepleted"),
            // Replicate's.
            Begins("you have insufficient credit "),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    rule(
        &[403],
        &[
            Begins("user is locked. reason: exhausted balance"),
            Begins("user is locked. reason: top_up"),
            Begins("operation is not allowed because the subscription has exceeded its free quota"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    // Brave's, NewsAPI's, ScraperAPI's.
    rule(
        &[402, 403, 429],
        &[
            Is("USAGE_LIMIT_EXCEEDED"),
            Is("apiKeyExhausted"),
            Begins("you have exhausted the api credits "),
            Begins("you have exhausted your "),
        ],
        SPENT,
        USED_UP,
    ),
    // A key is none the worse for a quota that is told with the status of an invalid one: SendGrid's, Moralis', OMDb's, EODHD's.
    rule(
        &[401, 402],
        &[
            Tells("credits exceeded"),
            Tells("usage has been consumed"),
            Tells("request limit reached"),
            Tells("quota exceeded"),
            Tells("limit exceeded"),
            Tells("exceeded your daily"),
            Tells("exceeded your monthly"),
        ],
        SPENT,
        USED_UP,
    ),
    // Tyk's, WeatherAPI's, ExchangeRate-API's.
    rule(
        &[403],
        &[Is("quota-reached"), Begins("quota exceeded"), Begins("api key has exceeded calls per ")],
        SPENT,
        USED_UP,
    ),
    // AccuWeather's, as if it were down.
    rule(&[403, 429, 503], &[Begins("allowed number of requests has been exceeded")], SPENT, USED_UP),
    // Amazon's gateway, of a plan for a day, a week or a month.
    rule(
        &[429],
        &[Is("LimitExceededException")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    // AssemblyAI's, with a 400.
    rule(
        &[400, 401, 403],
        &[Begins("current account balance is negative")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        USED_UP,
    ),
    // Words that many have for it (ElevenLabs with a 401).
    rule(
        &[401, 402, 403],
        &[
            IsLike("quota_exceeded"),
            Is("insufficient_quota"),
            IsLike("insufficient_credit"),
            IsLike("insufficient_balance"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    // apilayer's, of a month.
    rule(
        &[401, 403, 429],
        &[Is("monthly_limit_reached"), Is("usage_limit_reached")],
        ruling(K::QuotaExhausted, S::Key, probed(6 * HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    // Statuses of their own: Tavily's plan and its pay-as-you-go limit, DeepL's characters of a month.
    rule(&[432, 433, 456], &[], SPENT, USED_UP),
    rule(
        &[400, 401, 403, 429],
        &[
            // Serper's, SerpAPI's.
            Whole("not enough credits"),
            Whole("your account has run out of searches"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        USED_UP,
    ),
    // Brave says so with a 422, others with a 400.
    rule(
        &[400, 401, 403, 422],
        // No words that anybody has for a key that stands in the request.
        &[Is("SUBSCRIPTION_TOKEN_INVALID"), Is("API_KEY_INVALID"), Is("invalid_access_key")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        REPLACE,
    ),
    // Whatever the status, where it begins so; at a 400 Pixabay's.
    rule(
        &[400, 403],
        &[
            Is("invalid-key"),
            Is("inactive-account"),
            Begins("invalid api key"),
            Begins("invalid or missing api key"),
            Begins("api key is invalid"),
            Begins("api key not valid"),
            Begins("api key has been disabled"),
            Begins("api key is disabled"),
            Begins("api key has been revoked"),
            Begins("api key has expired"),
            Begins("api key expired"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        REPLACE,
    ),
    rule(&[401], &[], ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60), REPLACE),
    // Some (GitHub) refuse so whoever is over a limit.
    rule(
        &[403],
        &[Waits],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "This key is at a limit: lower its limits, add keys, or wait as long as stated.",
    ),
    // Unsplash's.
    rule(
        &[403],
        &[Begins("rate limit exceeded"), Begins("api rate limit exceeded"), Begins("too many requests")],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).code("RATE_LIMIT").unclear(),
        "This key is at a limit, and nobody says for how long: it is tried again at growing intervals.",
    ),
    rule(
        &[402, 403],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).unclear(),
        "This key may not do what was asked: check its permissions and its account.",
    ),
    // Quotas that no minute brings back, as RapidAPI, Infura and others tell them.
    rule(
        &[429],
        &[Hits(Hit::Month), IsLike("monthly_quota"), Is("UsageCapExceeded")],
        ruling(K::QuotaExhausted, S::Key, probed(6 * HOUR), E::OtherKey).code("MONTH_QUOTA").heeding(31 * 24 * HOUR),
        USED_UP,
    ),
    rule(
        &[429],
        &[
            Hits(Hit::Day),
            IsLike("daily_quota"),
            // Yelp's.
            Is("ACCESS_LIMIT_REACHED"),
            // NewsAPI's is told behind another sentence.
            Tells("24 hour period"),
            Tells("per 24 hours"),
            Tells("in 24 hours"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("DAY_QUOTA").heeding(26 * HOUR),
        USED_UP,
    ),
    rule(
        &[503],
        &[Waits],
        ruling(K::Overloaded, S::KeyLane, U::Backoff, E::AfterPause).heeding(3_600),
        "The API asks to come back later: it is tried again after that.",
    ),
];

/// A quota that is told with any status; when it begins anew, where that is said.
const SPENT: Ruling =
    ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("QUOTA_USED_UP").heeding(31 * 24 * HOUR);
const LACKS: Ruling = ruling(K::WrongOwner, S::Caller, U::Now, E::OtherKey).code("NOT_IN_PLAN").retries(7);
const USED_UP: &str =
    "This key's quota or credit is used up: wait until it begins anew, raise it, or add another account's key.";
const NOT_IN_PLAN: &str = "The key's plan lacks what this call needs: use a key of a plan that has it.";
const REPLACE: &str = "The API does not accept this key: check it and replace it.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(RULES);
    }
}
