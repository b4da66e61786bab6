//! The kinds of limits that a tenant may have.

/// What limits count, and over which time.
pub(super) struct Kind {
    name: &'static str,
    span: i64,
    pub(super) tokens: bool,
}

pub(super) const MINUTE: i64 = 60_000;
pub(super) const DAY: i64 = 24 * 60 * MINUTE;
/// As far as a clock may be set back.
const SET_BACK: i64 = 7 * DAY;
/// All there are.
pub(super) const KINDS: [Kind; 4] = [
    Kind { name: "rpm", span: MINUTE, tokens: false },
    Kind { name: "rpd", span: DAY, tokens: false },
    Kind { name: "tpm", span: MINUTE, tokens: true },
    Kind { name: "tpd", span: DAY, tokens: true },
];

impl Kind {
    pub(super) fn window(&self, now: i64) -> i64 {
        now.div_euclid(self.span)
    }

    /// When it counts from zero.
    pub(super) fn ends(&self, now: i64) -> i64 {
        (self.window(now) + 1) * self.span
    }

    /// When its count is forgotten. That of a day is found again by a clock that was wrong, and is set back.
    pub(super) fn until(&self, now: i64) -> i64 {
        self.ends(now) + if self.is_of_day() { SET_BACK } else { 0 }
    }

    pub(super) fn is_of_day(&self) -> bool {
        self.span == DAY
    }

    /// What its count is called in the store.
    pub(super) fn count(&self, tenant: &str, now: i64) -> String {
        format!("{tenant}\n{}\n{}", self.name, self.window(now))
    }
}
