//! A file that several processes work on, when somebody deletes it, puts another in its place or it breaks: all of them end
//! up on one file again. One mends it, under a lock of its own; the others find it mended.
//!
//! What the new file says of who holds what is old, or nothing. It is another file, which the board takes for another
//! server: for one lease it only hears who holds what, and what nobody tells of counts as used.

use std::{path::PathBuf, time::Duration};

use rusqlite::config::DbConfig;

use super::{
    Connection, begin, care,
    desk::{BESIDE, Desk},
    failure::Failure,
    file,
    presence::{Identity, identity},
};
use crate::store::StoreError;

/// So often a file is looked through that is worked on: a file of some megabytes takes some milliseconds.
pub(super) const LOOKED_THROUGH: Duration = Duration::from_secs(60);

impl Desk {
    /// The board's name for the file.
    pub(super) fn file_name(&self) -> String {
        self.identity.map(Identity::name).unwrap_or_default()
    }

    /// Before each look: is it still the file that others work on? `broken`: it turned out not to be whole. Whether this is
    /// another file from now on.
    ///
    /// # Errors
    /// When it cannot be mended: it is tried again with the next look.
    pub(super) fn look_after(&mut self, broken: Option<&rusqlite::Error>) -> Result<bool, Failure> {
        if broken.is_none() && identity(&self.path) == self.identity && self.has_sides() {
            return match self.look_through() {
                Some(found) => self.mend(Some(&found)),
                None => Ok(false),
            };
        }
        self.mend(broken)
    }

    /// What is wrong with a file that seems to be as it was: pages that are held in memory are not read again, and others
    /// maybe by the next process alone.
    fn look_through(&mut self) -> Option<rusqlite::Error> {
        let now = self.clock.tick();
        if now < self.looks_through {
            return None;
        }
        self.looks_through = now.plus(LOOKED_THROUGH);
        match care::look_through(&self.path) {
            Err(Failure::Broken(error)) => Some(error),
            // Somebody is at work on it.
            Ok(()) | Err(_) => None,
        }
    }

    fn mend(&mut self, broken: Option<&rusqlite::Error>) -> Result<bool, Failure> {
        let has_sides = self.has_sides();
        let _turn = file::mending(&self.path)?;
        let there = identity(&self.path);
        let shown = self.path.display().to_string();
        let what = match (there, broken) {
            (Some(other), _) if Some(other) != self.identity => match self.take_other() {
                Ok(()) => "is another file by now, which is worked on from here on".to_owned(),
                Err(Failure::Broken(_)) => {
                    let aside = self.anew()?;
                    format!("was replaced by what is none: that was set aside as {}", aside.display())
                }
                Err(failure) => return Err(failure),
            },
            (None, None) => {
                self.make_again()?;
                "was deleted: it is made again, with all that was in it".to_owned()
            }
            (Some(_), None) if !has_sides => {
                self.make_again()?;
                "lost its journal (-wal) or the index of that (-shm), which somebody deleted: it is made again, with all that was in it"
                    .to_owned()
            }
            _ => {
                let aside = self.anew()?;
                format!("broke: it was set aside as {}, and a new one is begun", aside.display())
            }
        };
        let error = broken.map(ToString::to_string);
        tracing::error!(
            name: "keypool.file_changed",
            target: "tower_keypool::sharing",
            error,
            "the database {shown} {what}; what processes hold they say again, and the rest counts as used"
        );
        Ok(true)
    }

    /// Another process made it again, or somebody put another there.
    fn take_other(&mut self) -> Result<(), Failure> {
        self.leave()?;
        file::prepare_in_turn(&self.path)?;
        let begun = match begin(&self.path) {
            Err(Failure::Broken(_)) if !self.own_sides().is_empty() => {
                // Together they are nothing; alone it may be whole.
                self.remove_own_sides();
                begin(&self.path)
            }
            begun => begun,
        };
        self.go_on_with(begun?);
        Ok(())
    }

    /// Lets go of what is open before anything is opened under its name. A process that has the index beside it open twice
    /// and closes it once has no locks on it any more (POSIX); whoever opens it next cuts it short, and those die who
    /// have it in their memory.
    fn leave(&mut self) -> Result<(), Failure> {
        // Others may work with what has the journal's name by now: it is neither written back nor taken away.
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.connection = Connection::open_in_memory()?;
        Ok(())
    }

    /// What is open is whole: all of it under the name that is free, at once.
    fn make_again(&mut self) -> Result<(), Failure> {
        let copy = file::beside(&self.path, &format!(".copy-{}", std::process::id()));
        let _ = std::fs::remove_file(&copy);
        let copied = care::copy(&self.connection, &copy);
        if copied.is_ok() {
            // Its own, or what lies there by now: it is of the file that this one comes in the place of.
            for end in BESIDE {
                let _ = std::fs::remove_file(file::beside(&self.path, end));
            }
            let failed = |error| StoreError::because(format!("cannot make {} again", self.path.display()), error);
            std::fs::rename(&copy, &self.path).map_err(failed)?;
        } else {
            // Nothing is to be had from it.
            let _ = std::fs::remove_file(&copy);
            self.remove_own_sides();
        }
        file::prepare_in_turn(&self.path)?;
        let connection = begin(&self.path)?;
        self.go_on_with(connection);
        Ok(())
    }

    /// A new file; where the old one is now.
    fn anew(&mut self) -> Result<PathBuf, Failure> {
        let aside = if identity(&self.path).is_some() {
            file::set_aside(&self.path, file::CORRUPT)?
        } else {
            self.remove_own_sides();
            self.path.clone()
        };
        file::prepare_in_turn(&self.path)?;
        let connection = begin(&self.path)?;
        self.go_on_with(connection);
        Ok(aside)
    }

    fn remove_own_sides(&self) {
        for path in self.own_sides() {
            let _ = std::fs::remove_file(path);
        }
    }

    fn go_on_with(&mut self, connection: Connection) {
        self.connection = connection;
        self.begin_file();
    }
}
