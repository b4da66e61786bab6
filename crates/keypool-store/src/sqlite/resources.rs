//! Files, caches and batches at a provider, with the project that holds them and the tenant that created them.

use rusqlite::{OptionalExtension, Row};

use super::{SqliteError, SqliteStore};

/// A resource that a provider keeps in a project, such as the file `files/abc`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The name that the provider gave it.
    pub name: String,
    /// The project that holds it.
    pub project: String,
    /// The tenant that created it.
    pub tenant: Option<String>,
    /// Time of expiry, in milliseconds since the Unix epoch; the resource is not found from then on.
    pub expires_ms: Option<i64>,
}

impl Resource {
    /// Creates a resource to put, without a tenant and without expiry.
    pub fn new(name: impl Into<String>, project: impl Into<String>) -> Self {
        Self { name: name.into(), project: project.into(), tenant: None, expires_ms: None }
    }
}

/// Methods about resources.
impl SqliteStore {
    /// Puts a resource, replacing the one with the same name.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn put_resource(&self, resource: Resource) -> Result<(), SqliteError> {
        self.change(move |connection, time| {
            let Resource { name, project, tenant, expires_ms } = &resource;
            connection.prepare_cached("INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)")?.execute((
                name,
                project,
                tenant,
                time.wall_ms(),
                expires_ms,
            ))?;
            Ok(())
        })
        .await
    }

    /// Returns the resource with this name.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn resource(&self, name: &str) -> Result<Option<Resource>, SqliteError> {
        let name = name.to_owned();
        self.read(move |connection, shared| {
            let read = "SELECT * FROM resources WHERE name = ? AND ifnull(expires_ms > ?, true)";
            let mut read = connection.prepare_cached(read)?;
            Ok(read.query_row((name, shared.time.wall_ms()), resource).optional()?)
        })
        .await
    }

    /// Returns resources of a tenant, or of no tenant, ordered by name: those whose names start with `prefix` and sort
    /// after `after`. `most` is their maximum number.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn resources(
        &self,
        prefix: &str,
        tenant: Option<&str>,
        after: &str,
        most: u32,
    ) -> Result<Vec<Resource>, SqliteError> {
        let (prefix, tenant, after) = (prefix.to_owned(), tenant.map(ToOwned::to_owned), after.to_owned());
        self.read(move |connection, shared| {
            let mut read = connection.prepare_cached(
                "SELECT * FROM resources WHERE name >= ?1 AND name > ?2 AND substr(name, 1, length(?1)) = ?1
                     AND tenant IS ?3 AND ifnull(expires_ms > ?4, true) ORDER BY name LIMIT ?5",
            )?;
            let rows = read.query_map((prefix, after, tenant, shared.time.wall_ms(), most), resource)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes a resource. Reports whether it existed.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn remove_resource(&self, name: &str) -> Result<bool, SqliteError> {
        let name = name.to_owned();
        self.change(move |connection, _| Ok(connection.execute("DELETE FROM resources WHERE name = ?", [name])? > 0))
            .await
    }
}

fn resource(row: &Row<'_>) -> rusqlite::Result<Resource> {
    Ok(Resource {
        name: row.get("name")?,
        project: row.get("project")?,
        tenant: row.get("tenant")?,
        expires_ms: row.get("expires_ms")?,
    })
}
