//! A provider that costs nothing, so that the pool alone is measured.

use std::borrow::Cow;

use http::request;
use tower_keypool::{Answer, Asks, Base, InvalidSecret, Provider, Retarget, Secret, Verdict};

/// Its base; every answer is good.
pub struct Plain(Base);

impl Plain {
    /// Of an address that nobody asks.
    #[expect(clippy::new_without_default, reason = "there is but one way")]
    pub fn new() -> Self {
        Self(Base::parse("http://127.0.0.1:1").expect("a base"))
    }
}

impl Provider for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, _: &mut request::Parts) {}

    fn inject(&self, _: &mut request::Parts, _: &Secret) -> Result<(), Cow<'static, str>> {
        Ok(())
    }

    fn asks<'a>(&self, _: &'a request::Parts) -> Asks<'a> {
        Asks::default()
    }

    fn retarget(&self, _: &mut request::Parts, _: &str) -> Retarget {
        Retarget::No
    }

    fn judge(&self, _: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }
}
