//! Databases that were set aside since they were damaged: they lie beside the one that was begun then.

use std::path::{Path, PathBuf};

/// What is said when it happens.
pub(super) fn said(database: &Path, aside: &Path) -> String {
    format!(
        "the database {} is broken: it was set aside as {}, and a new one is begun (keys that were only there are to be added \
         again; `keypool db check --db {}` says what is wrong with it)",
        database.display(),
        aside.display(),
        aside.display()
    )
}

/// What of this database was set aside, the oldest first.
pub fn set_aside(database: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return Vec::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let begin = format!("{}.corrupt-", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let is_one = |name: &str| name.starts_with(&begin) && !name.ends_with("-wal") && !name.ends_with("-shm");
    let mut found: Vec<PathBuf> =
        names.filter(|name| is_one(&name.to_string_lossy())).map(|name| database.with_file_name(name)).collect();
    found.sort();
    found
}

/// Where keys may be that are missed: a sentence, where anything was set aside.
pub fn keys_may_be_in(database: &Path) -> Option<String> {
    let found = set_aside(database);
    let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    let (last, were) = (names.last()?, if names.len() == 1 { "was" } else { "were" });
    Some(format!(
        "{} {were} set aside since it was damaged: keys may be in there that nobody has any more (`keypool db check --db \
         {last}` says what is wrong with it)",
        names.join(", ")
    ))
}
