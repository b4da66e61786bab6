//! What errors of the `OpenAI` family mean that speak of money: credit, budgets, bills. They come before rates.

use super::said::{MODEL_BUDGET, TOKEN_LIMIT};
use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Says, Tells},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const MONEY: &[Rule] = &[
    // Of what is kept: whatever else is asked goes on.
    rule(
        &[400, 429],
        &[Begins("you have exceeded your file storage quota"), All(&[Is("quotaExceeded"), Begins("quota for files ")])],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("FILE_STORAGE").retries(7),
        "The account keeps as many files as it may: delete what is not needed any more, or use another account's key.",
    ),
    // OpenRouter's, of what is under way: it comes back with that.
    rule(
        &[402],
        &[
            Is("openrouter_in_flight_budget"),
            Begins("request would exceed your available credits given your current in-flight requests"),
        ],
        ruling(K::RateLimited, S::Owner, U::Backoff, E::OtherKey).heeding(HOUR),
        "The account's credits are held by what is under way: wait for that to end, or add credits.",
    ),
    // DashScope's plans.
    rule(
        &[403, 429],
        // The second is Ark's.
        &[Begins("token-plan "), Is("AccountQuotaExceeded")],
        ruling(K::QuotaExhausted, S::Owner, U::Backoff, E::OtherKey).code("PLAN_QUOTA").heeding(31 * 24 * HOUR),
        "The plan's quota is used up: it is tried again at growing intervals; add another account's key.",
    ),
    rule(
        &[429],
        &[Begins("week allocated quota exceeded"), Begins("month allocated quota exceeded")],
        ruling(K::QuotaExhausted, S::Owner, probed(6 * HOUR), E::OtherKey).code("PLAN_QUOTA"),
        "The plan's quota of a week or a month is used up: wait until it begins anew, or add another account's key.",
    ),
    rule(
        &[429],
        &[Begins("hour allocated quota exceeded")],
        ruling(K::QuotaExhausted, S::Owner, U::Backoff, E::OtherKey).code("PLAN_QUOTA").heeding(26 * HOUR),
        "The plan's quota of some hours is used up: it is tried again at growing intervals; add another account's key.",
    ),
    // DashScope calls tokens a minute what others call money.
    rule(
        &[429],
        // The last is Ark's, which says that it has no capacity for what came so suddenly.
        &[
            Begins("allocated quota exceeded"),
            IsLike("throttling.allocation"),
            Is(TOKEN_LIMIT),
            Is("RequestBurstTooFast"),
        ],
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
    // new-api's, which takes beforehand what a request may cost at most.
    rule(
        &[401, 402, 403],
        &[
            Is("pre_consume_token_quota_failed"),
            All(&[Is("insufficient_user_quota"), Begins("预扣费额度失败")]),
            // As others say it.
            All(&[Begins("max estimated cost "), Says("exceeds your available ")]),
        ],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("CREDITS_TOO_LOW_FOR_REQUEST").retries(8),
        "The account's credits do not cover this one request: ask for fewer tokens, or add credits.",
    ),
    // Whom a router passed the request on to wants to be paid by the router.
    rule(
        &[402],
        &[Begins("provider returned error")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).code("UPSTREAM_REFUSED"),
        "The provider behind this one wants to be paid: it is tried again; if it goes on, see to the key that was given to the router.",
    ),
    // LiteLLM's, of the user that the request names.
    rule(
        &[400, 401, 422, 429],
        &[
            Begins("exceededbudget: end user="),
            Begins("authentication error, exceededbudget: end user="),
            Begins("litellm end user: "),
        ],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("END_USER_BUDGET"),
        "The user that the request names is over its budget: raise that where the proxy keeps it.",
    ),
    // Of a tag, which the request names, or else the key has.
    rule(
        &[400, 422, 429],
        &[Begins("budget has been exceeded! tag=")],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("TAG_BUDGET").retries(1),
        "A tag of the request, or one that the key has, is over its budget: raise that where the proxy keeps it.",
    ),
    // What a key, or its user, may spend on one model.
    rule(
        &[400, 422, 429],
        &[Is(MODEL_BUDGET)],
        ruling(K::QuotaExhausted, S::KeyLane, probed(HOUR), E::OtherKey),
        "This key's budget for this model is used up: raise it where the key was made, or use another model.",
    ),
    // A proxy that gives keys of its own a budget (LiteLLM).
    rule(
        &[400, 422, 429],
        &[Is("budget_exceeded")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey),
        "This key's budget is used up: raise it where the key was made.",
    ),
    // The same where a hook of its own refuses, without that word.
    rule(
        &[429],
        &[Begins("budget has been exceeded! "), Begins("max budget limit reached")],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("budget_exceeded"),
        "This key's budget is used up: raise it where the key was made.",
    ),
    rule(
        &[401, 402, 403],
        &[
            Begins("key limit exceeded"),
            Begins("api key budget limit exceeded"),
            // new-api's: a token of its own at its end.
            Begins("该令牌额度已用尽"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).code("KEY_LIMIT_EXCEEDED"),
        "This key reached the credit limit that its owner set: raise it in the provider's console.",
    ),
    // SiliconFlow's, whose free models go on.
    rule(
        &[403],
        &[Begins("selected model requires paid balance")],
        ruling(K::QuotaExhausted, S::OwnerLane, probed(HOUR), E::OtherKey).code("PAID_BALANCE"),
        "The account has no paid balance, which this model wants: top it up, or use a model that is free.",
    ),
    rule(
        &[403],
        &[Begins("out of call volume quota ")],
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
            Begins("account is not active, please check your billing details "),
            Begins("sorry, your account balance is insufficient"),
            Begins("inactive subscription or usage limit reached"),
            // OpenRouter's, of an organization.
            Begins("budget limit exceeded"),
            // xAI's.
            Begins("you have run out of credits "),
            // GitHub Models'.
            Begins("unable to proceed with model usage. this account has reached its budget limit"),
            Begins("403 unable to proceed with model usage. this account has reached its budget limit"),
            // Relays', of their users' accounts.
            Begins("用户额度不足"),
            // DeepInfra's.
            Begins("inference prohibited, please enter "),
            // The end of a line, or of all.
            Begins("余额不足\n"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits, or raise its budget in the provider's console.",
    ),
    rule(
        &[403],
        &[Begins("insufficient balance"), Begins("insufficient credits")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits in the provider's console.",
    ),
    rule(
        &[401, 403],
        &[Begins("not enough credits")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits in the provider's console.",
    ),
    rule(
        &[4],
        &[
            Is("insufficient_quota"),
            IsLike("insufficient_balance"),
            IsLike("insufficient_fund"),
            IsLike("insufficient_credit"),
            Is("insufficient_user_quota"),
            Is("NOT_ENOUGH_BALANCE"),
            IsLike("overdue"),
            Is("customer_verification_required"),
            Is("billing_hard_limit_reached"),
            Is("billing_error"),
            Is("billing_not_active"),
            // MiniMax's and Zhipu's, of requests as of any: a number alone may be anybody's.
            All(&[Is("1008"), Begins("insufficient balance")]),
            All(&[Is("1113"), Begins("insufficient balance ")]),
            All(&[Is("1113"), Begins("余额不足或无可用资源包")]),
            Is("Arrearage"),
            Is("CommodityNotPurchased"),
            Is("exceeded_current_quota_error"),
            Is("credit_balance_exhausted"),
            Is("organization_usage_limit_exceeded"),
            // Groq's, where a budget is at its end.
            Is("blocked_api_access"),
            IsLike("spend_limit"),
            // Ark's, of a plan that ended.
            Is("InvalidSubscription"),
            // sub2api's.
            Is("SUBSCRIPTION_NOT_FOUND"),
            // OpenCode's.
            Is("CreditsError"),
            Is("MonthlyLimitError"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The account's credit or budget is used up: add credits, or raise its budget in the provider's console.",
    ),
    // DashScope's, without its word.
    rule(
        &[400, 403],
        // The second is a relay's.
        &[Begins("access denied, please make sure your account is in good standing"), Begins("账户余额不足")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("Arrearage"),
        "The account's bill is unpaid: pay it in the provider's console.",
    ),
    // MiniMax's, which says so as if it had failed.
    rule(
        &[500],
        &[Begins("insufficient balance (1008)")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits in the provider's console.",
    ),
    rule(
        // Elsewhere these are as like to be of a field of the request's.
        &[401, 403, 429],
        // Zhipu's: no balance, a plan that ended.
        &[Is("1113"), Is("1309"), IsLike("billing_"), IsLike("_budget_exceeded"), IsLike("insufficient_budget")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The account's credit or budget is used up: add credits, or raise its budget in the provider's console.",
    ),
    rule(
        &[429],
        &[
            Tells("out of credits"),
            Tells("no credits"),
            Tells("insufficient credit"),
            Tells("insufficient balance"),
            Tells("not enough credits"),
            Tells("credit balance"),
            Tells("account balance"),
            Tells("exceeded its budget"),
            Tells("trial has ended"),
            Tells("trial has expired"),
            Tells("trial expired"),
            Tells("subscription inactive"),
            Tells("subscription is inactive"),
            Tells("subscription has expired"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("OUT_OF_CREDITS"),
        "The account's credits are used up: add credits, or raise its budget in the provider's console.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).heeding_between(60, 31 * 24 * HOUR),
        "The account's credits are used up: add credits in the provider's console.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(MONEY);
    }
}
