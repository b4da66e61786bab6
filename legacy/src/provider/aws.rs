//! What Amazon's services say: the exception's name in `x-amzn-errortype`, with an address behind it, or in `__type`, with a
//! namespace before it (Bedrock's user guide, "Troubleshooting Amazon Bedrock API Error Codes"). Some quotas are a 400 there.

use super::{
    Answer,
    complaint::{
        Complaint,
        Mark::{All, Begins, Is},
    },
    envelope::Envelope,
    rule::{HOUR, Rule, rule, ruling},
};
use crate::verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K};

/// Adds the exception's name, where one is told, and takes its sentence.
pub(super) fn say(said: &mut Complaint, envelope: &Envelope<'_>, answer: &Answer<'_>) {
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let member = || envelope.json.as_ref()?.get("__type")?.as_str();
    if let Some(name) = header.or_else(member) {
        let name = name.split(':').next().unwrap_or_default();
        said.say(name.rsplit('#').next().unwrap_or_default());
        let sentence = |name| envelope.json.as_ref()?.get(name)?.as_str();
        if let Some(sentence) = sentence("message").or_else(|| sentence("Message")) {
            said.tell(sentence);
        }
    }
}

/// Quotas are an account's, for each model.
pub(super) const AWS: &[Rule] = &[
    rule(
        &[400, 429],
        &[All(&[Is("ThrottlingException"), Begins("too many tokens per day")])],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey),
        "The account's tokens of the day for this model are used up: wait, or raise the quota in Service Quotas.",
    ),
    rule(
        &[400, 429],
        &[Is("ThrottlingException"), Is("ServiceQuotaExceededException")],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "The account is at a quota for this model: lower its limits, add accounts, or raise the quota in Service Quotas.",
    ),
    rule(
        &[429],
        &[Is("ModelNotReadyException")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The model is not ready to serve: wait, or fall back to another model.",
    ),
    rule(
        &[424],
        &[Is("ModelErrorException"), Is("ModelStreamErrorException")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).heeding(600),
        "The model failed inside: it is tried again, and if it goes on, see the provider's status page.",
    ),
    rule(
        &[403, 404],
        &[
            All(&[Is("AccessDeniedException"), Begins("you don't have access to the model ")]),
            // Its marketplace, which sells the model.
            All(&[Is("AccessDeniedException"), Begins("model access is denied due to ")]),
            Is("FTUFormNotFilled"),
            All(&[Is("ResourceNotFoundException"), Begins("model use case details have not been submitted ")]),
            Is("MPAgreementBeingCreated"),
            All(&[
                Is("ResourceNotFoundException"),
                Begins("access denied. this model is marked by provider as legacy "),
            ]),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear(),
        "This account may not use this model yet: ask for access to it in the Bedrock console.",
    ),
    // Of an account that may not call models yet, whatever it asks.
    rule(
        &[400],
        &[All(&[Is("ValidationException"), Begins("operation not allowed")])],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear(),
        "This account may not call this model: see its state and its access to models in the Bedrock console.",
    ),
    // Anthropic's models, which it does not sell to whoever asks from there.
    rule(
        &[400, 403],
        &[All(&[Is("ValidationException"), Begins("access to anthropic models is not allowed from unsupported ")])],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("LOCATION"),
        "The provider does not serve this machine's address: use an exit address in a country that it serves.",
    ),
    rule(
        &[400, 401, 403],
        &[
            Is("ExpiredTokenException"),
            Is("UnrecognizedClientException"),
            Is("InvalidClientTokenId"),
            All(&[
                Is("AccessDeniedException"),
                Begins("authentication failed: please make sure your api key is valid"),
            ]),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        "The key is not valid or has expired: make a new one in the Bedrock console.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(AWS);
    }
}
