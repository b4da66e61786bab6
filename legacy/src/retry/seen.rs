//! What an answer or an error says to the policy.

use std::error::Error as StdError;

use http::{Response, StatusCode};

use crate::{
    error::Error,
    pool::ServedBy,
    verdict::{Verdict, judge_error},
};

/// What an answer says.
pub(super) struct Seen<'a> {
    pub(super) served_by: Option<&'a ServedBy>,
    pub(super) verdict: &'a Verdict,
}

impl<'a> Seen<'a> {
    pub(super) fn of_response<R>(response: &'a Response<R>) -> Option<Self> {
        let served_by = response.extensions().get::<ServedBy>()?;
        let kept = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        (!kept).then_some(Self { served_by: Some(served_by), verdict: served_by.verdict() })
    }

    pub(super) fn of_error(error: &'a (dyn StdError + 'static), judged: &'a mut Option<Verdict>) -> Option<Self> {
        if let Some(ours) = Error::find(error) {
            return Some(Self { served_by: ours.served_by(), verdict: ours.verdict()? });
        }
        // A layer between, such as Timeout, failed in its own way. One that is not known may well have meant it.
        let verdict = judged.insert(judge_error(error));
        (verdict.code_of() != "transport").then_some(Self { served_by: None, verdict })
    }
}
