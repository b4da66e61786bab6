//! Which answers are a reason to ask another model.

use std::error::Error as StdError;

use crate::{
    error::Error,
    pool::Demand,
    verdict::{Elsewhere, Verdict, VerdictKind},
};

/// Whether this verdict, standing after all retries, is a reason to ask another model.
pub(crate) fn steps_down(verdict: &Verdict, demand: &Demand, on_overloaded: bool) -> bool {
    if demand.ends_with(verdict) {
        return false;
    }
    match verdict.elsewhere_of() {
        // With another key, and no other was to be had: the model is out for everybody.
        Elsewhere::OtherModel | Elsewhere::OtherKey => true,
        Elsewhere::AfterPause => on_overloaded && verdict.kind() == VerdictKind::Overloaded,
        Elsewhere::No | Elsewhere::OtherOwner => false,
    }
}

/// The same for an error.
pub(super) fn error_steps_down(error: &(dyn StdError + 'static), demand: &Demand, on_overloaded: bool) -> bool {
    Error::find(error).is_some_and(|error| {
        error.is_exhausted()
            || error.is_never_fits()
            || error.verdict().is_some_and(|verdict| steps_down(verdict, demand, on_overloaded))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_model_may_cure() {
        use VerdictKind as K;
        let down = [K::RateLimited, K::QuotaExhausted, K::InvalidKey, K::Suspended, K::ModelUnavailable];
        let stays = [K::Success, K::CallerFault, K::WrongOwner, K::Misconfigured, K::Blocked, K::Transient, K::Broken];
        let any = &Demand::any_model();
        assert!(down.iter().all(|kind| steps_down(&Verdict::new(*kind), any, false)));
        assert!(!stays.iter().any(|kind| steps_down(&Verdict::new(*kind), any, true)));
        let overloaded = Verdict::new(K::Overloaded);
        assert!(steps_down(&overloaded, any, true) && !steps_down(&overloaded, any, false));
        let once = &Demand::any_model().once();
        assert!(!steps_down(&overloaded, once, true), "it may have been made");
        assert!(down.iter().all(|kind| steps_down(&Verdict::new(*kind), once, false)), "it was refused");
    }
}
