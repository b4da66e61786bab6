//! What projects keep with the provider: files and caches.

mod caches;
mod files;
mod paging;
mod uploads;

pub(crate) use caches::{Cache, Caches, Lifetime};
pub(crate) use files::{Description, File, Files};
pub(crate) use paging::page;
pub(crate) use uploads::{Upload, Uploads};
