//! What statuses mean where nothing else does: the table that stands behind every provider's own.

use super::{
    complaint::Mark::{All, Bare, Begins, LeadsTo, Mentions, Page, Says, Waits},
    rule::{HOUR, Rule, rule, ruling},
};
use crate::verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K};

/// Redirects: these stand before every provider's own rules, since no API means them.
pub(super) const REDIRECTS: &[Rule] = &[
    rule(
        &[3],
        &[LeadsTo("/sorry/"), LeadsTo("//consent."), LeadsTo("//accounts.")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("CONSENT_PAGE"),
        "The provider sends this address to a web page instead of answering: use another exit address, or wait.",
    ),
    rule(
        &[304],
        &[],
        ruling(K::Success, S::Caller, U::Now, E::No),
        "Nothing is wrong: the copy that the caller has is still good.",
    ),
    rule(
        &[3],
        &[],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("REDIRECT"),
        "The provider answers with a redirect, which is handed on: check the path and the configured base URL.",
    ),
];

/// The network in front of an API, which refuses an address before the API sees anything.
pub(super) const EDGE: &[Rule] = &[
    rule(
        &[403, 429, 503],
        &[
            // Cloudflare's, without its page (`envelope` writes its JSON so as well): by address, by signature of the client, by rate.
            All(&[Bare, Begins("error code: 1003")]),
            All(&[Bare, Begins("error code: 1005")]),
            All(&[Bare, Begins("error code: 1006")]),
            All(&[Bare, Begins("error code: 1007")]),
            All(&[Bare, Begins("error code: 1008")]),
            All(&[Bare, Begins("error code: 1009")]),
            All(&[Bare, Begins("error code: 1010")]),
            All(&[Bare, Begins("error code: 1012")]),
            All(&[Bare, Begins("error code: 1106")]),
            // So many requests of one address, and for how long.
            All(&[Bare, Begins("error code: 1015"), Waits]),
        ],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("NETWORK_EDGE").heeding(HOUR),
        "The network in front of the provider refuses this machine's address: use another exit address, or wait.",
    ),
    rule(
        &[403, 429, 503],
        &[
            // The same without a word of how long: within seconds or a minute it is over as a rule. And a site's own rule, which
            // one prompt's text may meet.
            All(&[Bare, Begins("error code: 1015")]),
            All(&[Bare, Begins("error code: 1020")]),
        ],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("NETWORK_EDGE").heeding(HOUR).unclear(),
        "The network in front of the provider refuses this, for its text or for how often this address asks: slow down, or ask otherwise.",
    ),
    // Cloudflare's for what calls itself by a name that a site lets nobody have (an SDK's, say), as text or handed on as JSON:
    // the same key is served under another.
    rule(
        &[403],
        &[Begins("request was blocked")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("NETWORK_EDGE").unclear(),
        "The network in front of the provider refuses the client, often for its User-Agent: send another one, or use another exit address.",
    ),
    // How the provider is connected to it, or something else that it cannot do: nothing of a key.
    rule(
        &[403, 409, 429],
        &[All(&[Bare, Begins("error code: ")])],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).code("NETWORK_EDGE_FAULT").heeding(600),
        "The network in front of the provider failed: it is tried again, and if it goes on, see the provider's status page.",
    ),
];

/// Web pages where an API would answer in JSON: a network in front of it speaks.
pub(super) const PAGES: &[Rule] = &[
    rule(
        &[403, 429, 503],
        &[All(&[Page, Says("may be sending automated queries")]), All(&[Page, Says("unusual traffic")])],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("AUTOMATED_QUERIES").heeding(HOUR),
        "The provider takes this address for a robot's: slow down, or use another exit address.",
    ),
    // The page that the server in front has for the status, and no word more: whom it counts by nobody says.
    rule(
        &[429],
        &[
            All(&[Page, Says("<h1>429 too many requests</h1>"), Says("<center>nginx")]),
            All(&[Page, Says("<h1>429 too many requests</h1>"), Says("<center>openresty")]),
        ],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).code("TOO_MANY_REQUESTS").heeding(HOUR).unclear(),
        "The server in front of the provider refuses more for now: slow down, add keys, or use another exit address.",
    ),
    rule(
        &[403, 429],
        &[Page],
        // Whose page it is nobody says: one of a proxy between, or of an outage, looks the same.
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("HTML_PAGE").heeding(HOUR).unclear(),
        "The provider's network refuses this address with a web page: slow down, or use another exit address.",
    ),
];

/// What those say who check a request's form: sentences that begin with the caller's own words, so that no word in front
/// may be believed.
pub(super) const FORMS: &[Rule] = &[rule(
    &[400, 422],
    &[
        Mentions("extra inputs are not permitted"),
        Mentions("extra fields not permitted"),
        Mentions("additional input is not allowed"),
        Mentions("additional properties are not allowed"),
        Mentions("input should be "),
        Mentions("field required"),
        Mentions("unexpected keyword"),
        Mentions("is not one of "),
        Mentions("string should "),
        Mentions("cannot find field"),
        // Of JSON schemas.
        Mentions("is too long - '"),
        Mentions("is too short - '"),
        Mentions("is not of type "),
        Mentions("is not valid under any of the given schemas"),
        Mentions("does not match "),
    ],
    ruling(K::CallerFault, S::Caller, U::Now, E::No),
    "The request itself is at fault: the answer's body says what to change.",
)];

/// Every status, judged by itself.
pub(super) const BY_STATUS: &[Rule] = &[
    rule(
        &[401],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).unclear(),
        "The provider does not accept this key and does not say why: check the key in its console.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).unclear(),
        "The provider wants to be paid for this key: check the account's balance and billing.",
    ),
    rule(
        &[403],
        &[],
        ruling(K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey).unclear(),
        "This key may not do what was asked: check its permissions and its account.",
    ),
    rule(
        &[407],
        &[],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No),
        "A proxy on the way wants credentials: configure them on the HTTP client.",
    ),
    rule(
        &[408, 425],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).heeding(600),
        "The provider did not get the request in time: it is tried again.",
    ),
    // Of the connection, which serves no such host (RFC 9110, 15.5.20): nothing was done, and another one may.
    rule(
        &[421],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).heeding(600),
        "The server on this connection is not the one for this host: it is tried again; if it goes on, check the base URL and what stands between.",
    ),
    rule(
        &[429],
        &[Waits],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "This key is at a limit for this model: lower its limits, add keys, or wait as long as stated.",
    ),
    rule(
        &[429],
        &[],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "The provider refuses more for now without saying how long: it is tried again at growing intervals.",
    ),
    rule(
        &[499],
        &[],
        ruling(K::Cancelled, S::Caller, U::Now, E::No),
        "The request was cancelled on its way: nothing is to be done.",
    ),
    rule(
        &[4],
        &[],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The request itself is at fault: the answer's body says what to change.",
    ),
    rule(
        &[501, 505],
        &[],
        ruling(K::CallerFault, S::Caller, U::Now, E::No),
        "The provider does not offer this: check method, path and API version.",
    ),
    rule(
        &[503, 529],
        &[],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    rule(
        &[504, 524],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).retries(1),
        "The answer took longer than the provider allows: ask for less at once, or stream it.",
    ),
    rule(
        &[5],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).heeding(600),
        "The provider failed inside: it is tried again, and if it goes on, see the provider's status page.",
    ),
    rule(
        &[],
        &[],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).unclear(),
        "The answer makes no sense: check what stands between here and the provider.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(REDIRECTS);
        check(EDGE);
        check(FORMS);
        check(PAGES);
        check(BY_STATUS);
    }
}
