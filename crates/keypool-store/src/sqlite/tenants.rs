//! Tenants of a gateway.

use rusqlite::Row;
use serde_json::Value;

use super::{SqliteError, SqliteStore, keys::count_change};

/// A user of a gateway. Its limits are counted by reservations with a project of its own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tenant {
    /// Its name, which is unique.
    pub name: String,
    /// A hash of its token, which must be unique among tenants; the token itself is not stored.
    pub token_hash: [u8; 32],
    /// Other options, which only the caller interprets.
    pub options: Value,
    /// Time of the first put, in milliseconds since the Unix epoch; ignored by a put.
    pub created_ms: i64,
}

impl Tenant {
    /// Creates a tenant to put, without options.
    pub fn new(name: impl Into<String>, token_hash: [u8; 32]) -> Self {
        Self { name: name.into(), token_hash, options: Value::Null, created_ms: 0 }
    }
}

/// Methods about tenants.
impl SqliteStore {
    /// Returns all tenants, ordered by name.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, SqliteError> {
        self.read(|connection, _| {
            let mut read = connection.prepare_cached("SELECT * FROM tenants ORDER BY name")?;
            let mut rows = read.query([])?;
            let mut tenants = Vec::new();
            while let Some(row) = rows.next()? {
                tenants.push(tenant(row)?);
            }
            Ok(tenants)
        })
        .await
    }

    /// Puts a tenant, or replaces the token and options of the one with the same name.
    ///
    /// # Errors
    /// Errors of the file; `Invalid` if another tenant has the same token.
    pub async fn put_tenant(&self, tenant: Tenant) -> Result<(), SqliteError> {
        self.change(move |connection, time| {
            let Tenant { name, token_hash, options, .. } = &tenant;
            let other = "SELECT count(*) FROM tenants WHERE token_hash = ? AND name <> ?";
            if connection.query_row(other, (token_hash, name), |row| row.get::<_, i64>(0))? > 0 {
                return Err(SqliteError::invalid(format!("another tenant already has the token of tenant {name}")));
            }
            let put = "INSERT INTO tenants VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                 token_hash = excluded.token_hash, options = excluded.options";
            connection.execute(put, (name, token_hash, options.to_string(), time.wall_ms()))?;
            count_change(connection)
        })
        .await
    }

    /// Removes a tenant. Reports whether it existed.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn remove_tenant(&self, name: &str) -> Result<bool, SqliteError> {
        let name = name.to_owned();
        self.change(move |connection, _| {
            let removed = connection.execute("DELETE FROM tenants WHERE name = ?", [name])? > 0;
            count_change(connection)?;
            Ok(removed)
        })
        .await
    }
}

fn tenant(row: &Row<'_>) -> Result<Tenant, SqliteError> {
    Ok(Tenant {
        name: row.get("name")?,
        token_hash: row.get("token_hash")?,
        options: serde_json::from_str(row.get_ref("options")?.as_str().unwrap_or_default())?,
        created_ms: row.get("created_ms")?,
    })
}
