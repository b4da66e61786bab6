//! What Gemini's errors mean that speak of what was asked for: a model, or somebody's things.

use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, Mentions, Says},
        rule::{Rule, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const ASKED: &[Rule] = &[
    // A bucket that the project's agent may not read: that of another project may.
    rule(
        &[403],
        &[Mentions("storage.objects."), Mentions("gs://")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("BUCKET_NOT_READABLE").retries(7),
        "The project's service agent may not read this file of Cloud Storage, or there is none: let it, or check the address.",
    ),
    // The project's agents, which a new project has only after some minutes.
    rule(
        &[400],
        &[All(&[Is("FAILED_PRECONDITION"), Begins("service agents are being provisioned ")])],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("SERVICE_AGENTS_MISSING").retries(7),
        "The project's service agents are still being made, which read files of Cloud Storage: wait some minutes, or use another project's key.",
    ),
    // What its organization forbids is an option of the request, not the model.
    rule(
        &[400],
        &[All(&[
            Is("FAILED_PRECONDITION"),
            Begins("organization policy constraint "),
            Says("to use a disallowed feature "),
        ])],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("FEATURE_NOT_ALLOWED").retries(7),
        "The project's organization forbids what this request asks of the model: ask without it, or use another project's key.",
    ),
    // Of where the project may make something: what makes nothing is served.
    rule(
        &[400, 403],
        &[Is("LOCATION_ORG_POLICY_VIOLATED"), Is("LOCATION_TAX_POLICY_VIOLATED")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).retries(7),
        "The project may make nothing in this region: use another region, or another project's key.",
    ),
    // Vertex AI's, of a model that the project or its organization has not.
    rule(
        &[400, 403],
        &[
            All(&[Is("FAILED_PRECONDITION"), Frames("project ", " is not allowed to use publisher model ")]),
            All(&[Is("FAILED_PRECONDITION"), Begins("project is not allowed to use publisher model ")]),
            All(&[Is("FAILED_PRECONDITION"), Begins("organization policy constraint ")]),
            All(&[Is("FAILED_PRECONDITION"), Begins("request has violated one or more org policies")]),
            All(&[Is("PERMISSION_DENIED"), Frames("publisher model ", " is not available in region ")]),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, U::Backoff, E::OtherKey).unclear().code("MODEL_NOT_ALLOWED"),
        "The key's project may not use this model: enable it in Model Garden, ask the organization's administrator, or use another project's key.",
    ),
    // Whose resource it is, or whose key.
    rule(
        &[403],
        &[Begins("caller does not have permission "), Begins("permission denied on resource project ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).unclear(),
        "What was asked for belongs to another project, or this key's account lacks a permission.",
    ),
    rule(
        &[403, 404],
        &[
            Begins("you do not have permission to access "),
            Begins("cachedcontent not found "),
            Begins("permission denied on resource "),
            All(&[Begins("file "), Says("does not exist")]),
            All(&[Begins("tuned model "), Says("does not exist")]),
            // Vertex AI's.
            Begins("not found: cached content metadata for "),
            Begins("not found: cache content metadata "),
            Begins("cached content metadata for "),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("WRONG_OWNER"),
        "The file or cache belongs to another project, or does not exist: it is only seen by keys of the project that made it.",
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
    // Vertex AI's, of another region or of its endpoint for all.
    rule(
        &[400],
        &[
            All(&[Is("FAILED_PRECONDITION"), Begins("publisher model "), Says("is not servable in region ")]),
            All(&[Is("FAILED_PRECONDITION"), Begins("publisher model "), Says("is only available via ")]),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_IN_REGION"),
        "No such model in this region: use a region that has it, or the global endpoint.",
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
            Begins("operation "),
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
        check(ASKED);
    }
}
