//! Sessions: requests of a session prefer one project, where the provider may still have the prompt's prefix cached.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::pools::ProviderPool;

/// A provider, and the hash of the name of a session with it: the client chooses the name, which can have any length.
pub type SessionId = (Arc<str>, [u8; 32]);

/// The project that last served each session. Up to 10,000 sessions are kept, each until it is idle for an hour.
pub struct SessionAffinity {
    header: Option<HeaderName>,
    projects: Cache<SessionId, Arc<str>>,
}

impl SessionAffinity {
    /// Creates a table of sessions that a request header names. `None` disables sessions.
    pub fn new(header: Option<HeaderName>) -> Self {
        let projects = Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(3_600)).build();
        Self { header, projects }
    }

    /// Returns the project that a request of a session should prefer.
    pub fn project(&self, session: &SessionId) -> Option<Arc<str>> {
        self.projects.get(session)
    }

    /// Records the project that served a session.
    pub fn served(&self, session: SessionId, project: &str) {
        self.projects.insert(session, project.into());
    }

    /// Returns the session that a request names in the session header.
    pub fn session(&self, provider: &ProviderPool, headers: &HeaderMap) -> Option<SessionId> {
        let session = headers.get(self.header.as_ref()?)?;
        Some((Arc::clone(&provider.name), Sha256::digest(session).into()))
    }

    /// Returns the session of a name that a request gives elsewhere than in the session header.
    pub fn named(&self, provider: &ProviderPool, name: &str) -> Option<SessionId> {
        self.header.as_ref()?;
        Some((Arc::clone(&provider.name), Sha256::digest(name).into()))
    }
}
