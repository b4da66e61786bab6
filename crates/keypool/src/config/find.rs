//! Which file is the configuration.

use std::path::{Path, PathBuf};

use tower_keypool::config::Environment;

/// The file that is meant: the one that was named, else `keypool.toml` here, else the user's, else none.
pub(super) fn file(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let named = named.map(Path::to_owned).or_else(|| environment.get("KEYPOOL_CONFIG").map(PathBuf::from));
    if named.is_some() {
        return named;
    }
    let here = PathBuf::from("keypool.toml");
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".config"));
    // The specification: what is not absolute is ignored.
    let folder = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home);
    let users = folder.map(|folder| folder.join("keypool").join("keypool.toml"));
    [Some(here), users].into_iter().flatten().find(|path| path.is_file())
}
