//! What was found of a key.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tower_keypool::{Scope, Until, Verdict, VerdictKind};

/// How a key stands with its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may serve.
    Usable,
    /// It is good, and a limit of its owner is used up that comes back by itself.
    OutOfQuota,
    /// It is good, but its account has no credit, or spent what its owner allowed.
    OutOfCredit,
    /// It is good, but some switch of the owner's is off, or a limit of its own is used up for good.
    Held,
    /// It is no key, or not one for this use.
    Invalid,
    /// Its owner or account was switched off.
    Suspended,
    /// It was refused without a reason.
    Suspect,
    /// The provider, or the way there, gave no answer that tells.
    Unclear,
    /// This machine's address is refused, whatever the key.
    Blocked,
    /// It is switched off, and was not asked for.
    Disabled,
}

/// What was found of a key.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name.
    pub id: String,
    /// Of its secret.
    #[serde(skip)]
    pub hash: String,
    /// Whose it is: a name of the configuration's.
    pub provider: String,
    /// Where it is from.
    pub origins: Vec<String>,
    /// How it stands.
    pub verdict: Standing,
    /// Whether it may serve, now or once a limit comes back.
    pub usable: bool,
    /// Whether that stays so until somebody does something.
    pub for_good: bool,
    /// The provider's own word.
    pub code: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The models that it sees.
    pub models: Vec<String>,
    /// What the account pays: as the answer tells, else as it was configured, else as what it allows lets one guess;
    /// `unknown` where nothing tells.
    pub tier: String,
    /// How that is known, or what would tell.
    pub tier_by: String,
    /// Whose quota it is: as the answer tells, else as it was configured.
    pub owner: Option<String>,
    /// How long the last call took.
    #[serde(rename = "latency_ms", serialize_with = "millis")]
    pub latency: Option<Duration>,
    /// How many calls were made.
    pub calls: u32,
    /// What a person can do.
    pub advice: String,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
}

impl Standing {
    /// What an answer says of the key that it was asked with.
    pub fn of(verdict: &Verdict) -> Self {
        let stays = matches!(verdict.until_of(), Until::Lifted | Until::Probed(_));
        let of_limits = matches!(verdict.kind(), VerdictKind::RateLimited | VerdictKind::QuotaExhausted);
        if !verdict.is_named() && verdict.is_key_fault() && !of_limits {
            return Self::Suspect;
        }
        match verdict.kind() {
            // Whoever is told of such was let in.
            VerdictKind::Success | VerdictKind::CallerFault | VerdictKind::ModelUnavailable => Self::Usable,
            // Nothing was asked for that could be another owner's.
            VerdictKind::WrongOwner => Self::Suspect,
            VerdictKind::RateLimited | VerdictKind::QuotaExhausted if !stays => Self::OutOfQuota,
            VerdictKind::QuotaExhausted if matches!(verdict.scope_of(), Scope::Owner | Scope::BillingAccount) => {
                Self::OutOfCredit
            }
            VerdictKind::RateLimited | VerdictKind::QuotaExhausted => Self::Held,
            // It may be probed: an API that is not enabled, a bill.
            VerdictKind::InvalidKey | VerdictKind::Suspended if matches!(verdict.until_of(), Until::Probed(_)) => {
                Self::Held
            }
            VerdictKind::InvalidKey => Self::Invalid,
            VerdictKind::Suspended => Self::Suspended,
            VerdictKind::Blocked => Self::Blocked,
            _ => Self::Unclear,
        }
    }

    /// Whether such a key may serve, now or once a limit comes back.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Usable | Self::OutOfQuota)
    }

    /// Whether a key that stands so is of no use until somebody gives another one.
    pub fn is_for_good(self) -> bool {
        matches!(self, Self::Invalid | Self::Suspended)
    }

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::OutOfQuota => "out of quota",
            Self::OutOfCredit => "out of credit",
            Self::Held => "held",
            Self::Invalid => "invalid",
            Self::Suspended => "suspended",
            Self::Suspect => "suspect",
            Self::Unclear => "unclear",
            Self::Blocked => "blocked",
            Self::Disabled => "disabled",
        }
    }
}

#[cfg(test)]
mod tests {
    use tower_keypool::Elsewhere;

    use super::*;

    #[test]
    fn a_key_is_as_its_answer_says() {
        let of = |kind| Standing::of(&Verdict::new(kind));
        assert_eq!(of(VerdictKind::Success), Standing::Usable);
        assert_eq!(of(VerdictKind::CallerFault), Standing::Usable);
        assert_eq!(of(VerdictKind::RateLimited), Standing::OutOfQuota);
        assert_eq!(of(VerdictKind::QuotaExhausted), Standing::OutOfQuota);
        assert_eq!(of(VerdictKind::InvalidKey), Standing::Invalid);
        assert_eq!(of(VerdictKind::Suspended), Standing::Suspended);
        assert_eq!(of(VerdictKind::Blocked), Standing::Blocked);
        for kind in [VerdictKind::Transient, VerdictKind::Overloaded, VerdictKind::Broken, VerdictKind::Misconfigured] {
            assert_eq!(of(kind), Standing::Unclear, "{kind:?}");
        }
        assert_eq!(Standing::of(&Verdict::new(VerdictKind::InvalidKey).unclear()), Standing::Suspect);
        let unnamed = Verdict::new(VerdictKind::ModelUnavailable).elsewhere(Elsewhere::OtherKey).unclear();
        assert_eq!(Standing::of(&unnamed), Standing::Suspect, "a 403 without a reason");
        let unpaid = Verdict::new(VerdictKind::QuotaExhausted).until(Until::Probed(Duration::from_secs(3_600)));
        assert_eq!(Standing::of(&unpaid), Standing::Held, "a limit of the key's");
        assert_eq!(Standing::of(&unpaid.scope(Scope::BillingAccount)), Standing::OutOfCredit);
    }

    #[test]
    fn only_what_is_for_good_is_switched_off() {
        use Standing::{
            Blocked, Disabled, Held, Invalid, OutOfCredit, OutOfQuota, Suspect, Suspended, Unclear, Usable,
        };
        let all = [Usable, OutOfQuota, OutOfCredit, Held, Invalid, Suspended, Suspect, Unclear, Blocked, Disabled];
        let bad: Vec<_> = all.into_iter().filter(|standing| standing.is_for_good()).collect();
        assert_eq!(bad, [Invalid, Suspended]);
        let good: Vec<_> = all.into_iter().filter(|standing| standing.is_usable()).collect();
        assert_eq!(good, [Usable, OutOfQuota]);
    }
}
