//! Tenants of a gateway.

use rusqlite::Row;
use serde_json::Value;

use super::{SqliteError, SqliteStore, keys::count_change};

/// A user of a gateway. Its limits are counted by reservations with a project of its own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tenant {
    /// The id by which it is found.
    pub id: String,
    /// The name that people see.
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
    pub fn new(id: impl Into<String>, name: impl Into<String>, token_hash: [u8; 32]) -> Self {
        Self { id: id.into(), name: name.into(), token_hash, options: Value::Null, created_ms: 0 }
    }
}

/// Methods about tenants.
impl SqliteStore {
    /// Returns all tenants, ordered by id.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, SqliteError> {
        self.read(|connection, _| {
            let mut read = connection.prepare_cached("SELECT * FROM tenants ORDER BY id")?;
            let mut rows = read.query([])?;
            let mut tenants = Vec::new();
            while let Some(row) = rows.next()? {
                tenants.push(tenant(row)?);
            }
            Ok(tenants)
        })
        .await
    }

    /// Puts a tenant, or replaces the name, token and options of the one with the same id.
    ///
    /// # Errors
    /// Errors of the file; `Invalid` if another tenant has the same token.
    pub async fn put_tenant(&self, tenant: Tenant) -> Result<(), SqliteError> {
        self.change(move |connection, time| {
            let Tenant { id, name, token_hash, options, .. } = &tenant;
            let other = "SELECT count(*) FROM tenants WHERE token_hash = ? AND id <> ?";
            if connection.query_row(other, (token_hash, id), |row| row.get::<_, i64>(0))? > 0 {
                return Err(SqliteError::invalid(format!("another tenant already has the token of tenant {id}")));
            }
            let put = "INSERT INTO tenants VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name,
                 token_hash = excluded.token_hash, options = excluded.options";
            connection.execute(put, (id, name, token_hash, options.to_string(), time.wall_ms()))?;
            count_change(connection)
        })
        .await
    }

    /// Removes a tenant. Reports whether it existed.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn remove_tenant(&self, id: &str) -> Result<bool, SqliteError> {
        let id = id.to_owned();
        self.change(move |connection, _| {
            let removed = connection.execute("DELETE FROM tenants WHERE id = ?", [id])? > 0;
            count_change(connection)?;
            Ok(removed)
        })
        .await
    }
}

fn tenant(row: &Row<'_>) -> Result<Tenant, SqliteError> {
    Ok(Tenant {
        id: row.get("id")?,
        name: row.get("name")?,
        token_hash: row.get("token_hash")?,
        options: serde_json::from_str(row.get_ref("options")?.as_str().unwrap_or_default())?,
        created_ms: row.get("created_ms")?,
    })
}
