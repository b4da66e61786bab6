//! Whose file, cache, batch or upload it is: one table from a resource's name to its project and tenant.
//!
//! It is learned from the answers that create resources. If it cannot be read the request is refused: a resource is never
//! nobody's.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode, response};
use keypool_store::{SqliteStore, sqlite::Resource};
use moka::sync::Cache;

use super::{
    handler::Incoming,
    pools::{AnswerBody, ProviderPool},
};
use crate::{app::AppState, error::ApiError, tenants::Tenant};

/// What is looked up often is remembered for so long; another process may remove it meanwhile.
const REMEMBERED: Duration = Duration::from_secs(60);
/// So many names are remembered; without a database these are all.
const MOST: u64 = 100_000;

/// The table.
pub struct Resources {
    sqlite: Option<SqliteStore>,
    cache: Cache<String, Arc<Resource>>,
}

impl Resources {
    pub fn new(sqlite: Option<SqliteStore>) -> Self {
        let cache = Cache::builder().max_capacity(MOST);
        let cache = if sqlite.is_some() { cache.time_to_live(REMEMBERED) } else { cache };
        Self { sqlite, cache: cache.build() }
    }

    /// The resource of this name.
    ///
    /// # Errors
    /// 503 where the database cannot be read.
    pub async fn find(&self, name: &str) -> Result<Option<Arc<Resource>>, ApiError> {
        if let Some(found) = self.cache.get(name) {
            return Ok(Some(found));
        }
        let Some(sqlite) = &self.sqlite else { return Ok(None) };
        let found = sqlite.resource(name).await.map_err(|error| unreadable(&error))?.map(Arc::new);
        if let Some(found) = &found {
            self.cache.insert(name.to_owned(), Arc::clone(found));
        }
        Ok(found)
    }

    /// Keeps which project holds a resource, and who made it.
    ///
    /// # Errors
    /// 503 where the database cannot be written.
    pub async fn learn(
        &self,
        name: &str,
        project: &str,
        tenant: &Tenant,
        expires_ms: Option<i64>,
    ) -> Result<(), ApiError> {
        let mut resource = Resource::new(name, project);
        resource.tenant = tenant.name.as_deref().map(str::to_owned);
        resource.expires_ms = expires_ms;
        if let Some(sqlite) = &self.sqlite {
            sqlite.put_resource(resource.clone()).await.map_err(|error| unreadable(&error))?;
        }
        self.cache.insert(name.to_owned(), Arc::new(resource));
        Ok(())
    }

    /// Forgets a resource.
    ///
    /// # Errors
    /// 503 where the database cannot be written.
    pub async fn forget(&self, name: &str) -> Result<(), ApiError> {
        self.cache.invalidate(name);
        if let Some(sqlite) = &self.sqlite {
            sqlite.remove_resource(name).await.map_err(|error| unreadable(&error))?;
        }
        Ok(())
    }
}

/// The project that holds a resource which a request names in its path or body.
///
/// # Errors
/// 404 for a resource of nobody, or of another tenant.
pub async fn pinned(
    _app: &AppState,
    _provider: &ProviderPool,
    _incoming: &Incoming,
) -> Result<Option<Arc<str>>, ApiError> {
    Ok(None)
}

/// Learns the resources that an answer created.
///
/// # Errors
/// 503 where they cannot be kept.
#[expect(clippy::too_many_arguments, reason = "to be written")]
pub async fn learn(
    _app: &AppState,
    _provider: &ProviderPool,
    _tenant: &Tenant,
    _method: &Method,
    _path: &str,
    _query: Option<&str>,
    _head: &mut response::Parts,
    answer: AnswerBody,
) -> Result<AnswerBody, ApiError> {
    Ok(answer)
}

fn unreadable(error: &keypool_store::sqlite::SqliteError) -> ApiError {
    tracing::error!(%error, "the table of resources is away");
    let message = "whose file, cache or batch it is cannot be looked up now: the gateway's database is away";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Some(Duration::from_secs(1)))
}
