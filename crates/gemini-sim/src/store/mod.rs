//! What projects keep with the provider: files, caches and other things.

mod caches;
mod files;
mod paging;
mod things;
mod uploads;

pub(crate) use caches::{Cache, Caches, Lifetime};
pub(crate) use files::{Description, File, Files};
pub(crate) use paging::page;
pub(crate) use things::{Collection, Things};
pub(crate) use uploads::{Upload, Uploads};
