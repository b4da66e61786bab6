//! Sessions: requests of one session prefer one project, whose provider may still have the beginning of the prompt.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use moka::sync::Cache;

use super::pools::ProviderPool;

/// A provider, and a session there.
pub type Session = (Arc<str>, Box<[u8]>);

/// Which project served a session last.
pub struct Sessions {
    header: Option<HeaderName>,
    projects: Cache<Session, Arc<str>>,
}

impl Sessions {
    /// By a header; by nothing where there is none.
    pub fn new(header: Option<HeaderName>) -> Self {
        let projects = Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(3_600)).build();
        Self { header, projects }
    }

    /// The project that a request of a session should prefer.
    pub fn project(&self, session: &Session) -> Option<Arc<str>> {
        self.projects.get(session)
    }

    /// Keeps which project served a session.
    pub fn served(&self, session: Session, project: &str) {
        self.projects.insert(session, project.into());
    }

    /// The session of a request, if it names one.
    pub fn session(&self, provider: &ProviderPool, headers: &HeaderMap) -> Option<Session> {
        let session = headers.get(self.header.as_ref()?)?;
        Some((Arc::clone(&provider.name), session.as_bytes().into()))
    }
    /// The session that a request names elsewhere than in the header.
    pub fn named(&self, provider: &ProviderPool, name: &str) -> Option<Session> {
        self.header.as_ref()?;
        Some((Arc::clone(&provider.name), name.as_bytes().into()))
    }
}
