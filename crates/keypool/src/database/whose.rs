//! Whose keys it is about, as the command line says: the gateway's own, or those of a provider beside it.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{collections::BTreeSet, ops::Deref};

use clap::Args;
use tower_keypool::config::{ConfigErrors, Origin, Problem};

use super::{Database, DatabaseError, Place, Records, Site, tenants};

/// The database, and whose keys in it.
#[derive(Clone, Debug, Default, Args)]
pub struct Whose {
    #[command(flatten)]
    place: Place,

    /// The provider beside the gateway's own whose keys these are: the name of its [[providers]] entry
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
}

impl Whose {
    /// The provider that was named.
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// Where what is known of these keys lies.
    ///
    /// # Errors
    /// What is wrong with what is said of it; and when no provider is called so.
    pub fn site(&self) -> Result<Site, ConfigErrors> {
        let site = self.place.site()?;
        let Some(name) = &self.provider else { return Ok(site) };
        let known = self.place.inputs().providers().map_err(|problem| one(problem).unwrap_err())?;
        if known.contains(name) {
            return Ok(site.beside(name));
        }
        let known =
            if known.is_empty() { "there is none".to_owned() } else { format!("there is {}", known.join(", ")) };
        let what = format!("no [[providers]] entry of the configuration is called so: {known}");
        Err(one(Problem::new(Origin::flag("--provider"), "", what)).unwrap_err())
    }

    /// Opens it to change keys in it, making the file where there is none. Other processes may work on it.
    ///
    /// # Errors
    /// When there is none to be had, or it cannot be made, reached, read, or a newer version wrote it.
    pub async fn open(&self) -> Result<Database, DatabaseError> {
        self.place.open_at(self.site()?).await
    }

    /// Hashes of what opens the gateway whose keys those of `database` are, by its configuration and its tenants: none of
    /// them is a key. A configuration that is wrong tells of none; a start leaves such keys out all the same.
    ///
    /// # Errors
    /// When the tenants cannot be read.
    pub async fn tokens(&self, database: &Database) -> Result<BTreeSet<String>, DatabaseError> {
        let configured = self.inputs().load().map(|loaded| loaded.tokens()).unwrap_or_default();
        let kept = tenants::tokens(&Records::Kept(self.of_tenants(database).await?)).await?;
        Ok(configured.into_iter().chain(kept).collect())
    }

    /// Where the gateway's tenants are: in the gateway's own.
    async fn of_tenants(&self, database: &Database) -> Result<Database, DatabaseError> {
        let site = self.place.site()?;
        let is_there = site.path().is_none_or(std::path::Path::exists);
        if self.provider.is_none() || !is_there {
            return Ok(database.clone());
        }
        self.place.open_at(site).await
    }

    /// Opens it to look at it: nothing is made, changed or set aside.
    ///
    /// # Errors
    /// Those of [`Whose::open`], and when there is none, or it is damaged.
    pub async fn look(&self) -> Result<Database, DatabaseError> {
        self.place.read_at(self.there()?).await
    }

    /// Opens it to change keys in it, where it is there.
    ///
    /// # Errors
    /// Those of [`Whose::open`], and when there is none.
    pub async fn existing(&self) -> Result<Database, DatabaseError> {
        self.place.open_at(self.there()?).await
    }

    fn there(&self) -> Result<Site, DatabaseError> {
        let site = self.site()?;
        if let Some(path) = site.path().filter(|path| !path.exists()) {
            let option = self.provider.as_ref().map_or_else(String::new, |name| format!(" --provider {name}"));
            let what = format!("there is no database {} (`keypool add-key{option}` makes one)", path.display());
            return Err(DatabaseError::Missing(what));
        }
        Ok(site)
    }
}

fn one(problem: Problem) -> Result<(), ConfigErrors> {
    ConfigErrors::check(vec![problem])
}

impl Deref for Whose {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}
