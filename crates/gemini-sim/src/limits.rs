//! What a project may use of one model.

/// The quotas of one project for one model; what is not set is not limited.
///
/// Minutes are exact sliding windows: at no instant may the last 60 seconds
/// hold more than the limit. Days begin at midnight in `America/Los_Angeles`.
///
/// ```
/// use gemini_sim::Limits;
/// let limits = Limits::none().rpm(10).tpm(250_000).rpd(250);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub(crate) rpm: Option<u64>,
    pub(crate) tpm: Option<u64>,
    pub(crate) rpd: Option<u64>,
    pub(crate) tpd: Option<u64>,
}

impl Limits {
    /// No limit at all.
    pub const fn none() -> Self {
        Self { rpm: None, tpm: None, rpd: None, tpd: None }
    }

    /// No entitlement: every request is answered with the real 429 that says
    /// `limit: 0`.
    pub const fn zero() -> Self {
        Self { rpm: Some(0), tpm: Some(0), rpd: Some(0), tpd: Some(0) }
    }

    /// Requests in any 60 seconds.
    #[must_use]
    pub const fn rpm(mut self, requests: u64) -> Self {
        self.rpm = Some(requests);
        self
    }

    /// Input tokens in any 60 seconds.
    #[must_use]
    pub const fn tpm(mut self, tokens: u64) -> Self {
        self.tpm = Some(tokens);
        self
    }

    /// Requests in a Pacific day.
    #[must_use]
    pub const fn rpd(mut self, requests: u64) -> Self {
        self.rpd = Some(requests);
        self
    }

    /// Input tokens in a Pacific day.
    #[must_use]
    pub const fn tpd(mut self, tokens: u64) -> Self {
        self.tpd = Some(tokens);
        self
    }

    pub(crate) fn is_zero(self) -> bool {
        self.rpm == Some(0) || self.rpd == Some(0)
    }
}
