//! Copies of a database that is in use.

use std::{fs, path::PathBuf};

use super::{
    SqliteError, SqliteStore, file,
    secrets::{beside, create_private, rename},
};

impl SqliteStore {
    /// Writes a copy, as of one moment, to a path where nothing is yet; requests go on meanwhile. The file appears when it is
    /// complete and on the disk. It is opened like any database; the master key is not in it, so back that up, too.
    ///
    /// # Errors
    /// `Invalid` if there is a file already; otherwise those of both files.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), SqliteError> {
        let to = to.into();
        self.read_long(move |connection, _| {
            if to.exists() {
                let what = "there is a file already where the backup is to be written";
                return Err(SqliteError::invalid(what).at(&to));
            }
            let part = beside(&to, ".part");
            let failed = |error: std::io::Error| SqliteError::io(&part, &error);
            let file_of_part = create_private(&part).map_err(failed)?;
            let copied = connection.execute("VACUUM INTO ?", [file::by_name(&part).to_string_lossy()]);
            let copied = copied.map_err(|error| SqliteError::from(error).at(&part));
            let copied = copied.and_then(|_| file_of_part.sync_all().map_err(failed)).and_then(|()| rename(&part, &to));
            if copied.is_err() {
                // The error that is told is the first one.
                let _ = fs::remove_file(&part);
            }
            copied
        })
        .await
    }
}
