//! Copies of a database that is in use.

use std::{fs, path::PathBuf};

use super::{
    SqliteError, SqliteStore, file,
    secrets::{beside, create_private, rename},
};

impl SqliteStore {
    /// Writes a consistent copy to a path that does not exist yet, while requests go on. The file appears when it is
    /// complete and on the disk. The copy can be opened like any database. It does not contain the master key, so back
    /// that up, too.
    ///
    /// # Errors
    /// `Invalid` if the path exists; otherwise errors of either file.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), SqliteError> {
        let to = to.into();
        self.read_long(move |connection, _| {
            if to.exists() {
                let what = "the file for the backup exists already";
                return Err(SqliteError::invalid(what).at(&to));
            }
            let part = beside(&to, ".part");
            let failed = |error: std::io::Error| SqliteError::io(&part, &error);
            let file_of_part = create_private(&part).map_err(failed)?;
            let copied = connection.execute("VACUUM INTO ?", [file::by_name(&part).to_string_lossy()]);
            let copied = copied.map_err(|error| SqliteError::from(error).at(&part));
            let copied = copied.and_then(|_| file_of_part.sync_all().map_err(failed)).and_then(|()| rename(&part, &to));
            if copied.is_err() {
                // The first error is the one to report.
                let _ = fs::remove_file(&part);
            }
            copied
        })
        .await
    }
}
