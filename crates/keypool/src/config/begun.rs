//! When a configuration began to be read, by the clock that files are stamped with.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::way::Way;

/// A moment of the clock by which the system stamps files, in seconds and nanoseconds; none where nothing tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun(Option<(i64, i64)>);

impl Begun {
    /// Now.
    pub fn now() -> Self {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::time::{ClockId, clock_gettime};
            // Files get no finer one: who is stamped earlier by it was changed before.
            let now = clock_gettime(ClockId::RealtimeCoarse);
            Self(Some((now.tv_sec, now.tv_nsec)))
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        Self(None)
    }

    /// Whether each of these files is for sure as it was by then: neither it was written since, nor anything put in its
    /// place. One that is not there was not there by then either, where nothing changed in its folder.
    pub fn found(self, files: &BTreeSet<PathBuf>) -> bool {
        files.iter().all(|file| self.is_after(file).unwrap_or(false))
    }

    fn is_after(self, file: &Path) -> io::Result<bool> {
        // Whatever gets its name, or that of a link on the way to it, changes a folder.
        let mut way = Way::default();
        way.lead_to(file);
        let mut all = [file.to_owned()].into_iter().chain(way.needed);
        all.try_fold(true, |after, path| {
            let stamp = match stamp(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && path == file => return Ok(after),
                stamp => stamp?,
            };
            Ok(after && stamp.zip(self.0).is_some_and(|(at, begun)| at < begun))
        })
    }
}

/// When it was changed last, in whichever way.
fn stamp(path: &Path) -> io::Result<Option<(i64, i64)>> {
    let data = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Some((data.ctime(), data.ctime_nsec())))
    }
    #[cfg(not(unix))]
    Ok(data.is_file().then_some((i64::MAX, 0)))
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    /// A moment at which all that was done is over by the clock of files, which goes in steps.
    fn later(than: &Path) -> Begun {
        let files = BTreeSet::from([than.to_owned()]);
        std::iter::repeat_with(Begun::now).find(|now| now.found(&files)).unwrap()
    }

    #[test]
    fn what_was_written_or_put_in_its_place_since_is_not_as_it_was() {
        let begun = Begun::now();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = BTreeSet::from([at("keys.txt")]);
        assert!(!begun.found(&files), "it may have gone since");
        let quiet = std::iter::repeat_with(Begun::now).take(10_000_000).any(|now| now.found(&files));
        assert!(quiet, "nothing has changed where it would be");
        fs::write(at("keys.txt"), "one").unwrap();
        fs::write(at("other"), "two").unwrap();

        let begun = later(&at("keys.txt"));
        assert!(begun.found(&files));
        fs::write(at("keys.txt"), "two").unwrap();
        assert!(!begun.found(&files), "it was written");

        let begun = later(&at("keys.txt"));
        fs::rename(at("other"), at("keys.txt")).unwrap();
        assert!(!begun.found(&files), "an older one took its place");
        assert!(!Begun(None).found(&files), "nobody knows");
    }

    #[test]
    fn a_link_that_leads_elsewhere_since_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for release in ["..1", "..2"] {
            fs::create_dir(at(release)).unwrap();
            fs::write(at(release).join("keys.txt"), release).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/keys.txt", at("keys.txt")).unwrap();
        std::os::unix::fs::symlink("..2", at("..new")).unwrap();
        let files = BTreeSet::from([at("keys.txt")]);
        let begun = later(&at("keys.txt"));
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(!begun.found(&files));
    }
}
