//! What stands in the way of a start, as far as the configuration is to blame: places that cannot be written, a key that is
//! none, an address that is another machine's. Nothing is made or changed by looking.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
};

use tower_keypool::{
    Base,
    config::{Document, StoreSection, StoreUrl, is_key_for_path},
    store::Sqlite,
};

use super::{LogSection, reading::Reading};
use crate::database::{SecretKey, Site};

/// A folder for log files: it is there and can be written, or can be made.
pub(super) fn log(log: &LogSection, document: &mut Document<'_>) {
    let Some(folder) = log.directory.as_deref().filter(|folder| !folder.as_os_str().is_empty()) else { return };
    let place = "log.directory";
    if is_key_for_path(folder) {
        document.problem(place, "expected the path of a folder, and this looks like an API key");
    } else if let Err(fault) = may_be_made(folder) {
        document.problem(place, format!("expected a folder that is there or can be made, and can be written: {fault}"));
    }
}

/// The database, and the key that secrets in it are encrypted with.
pub(super) fn store(store: &StoreSection, reading: &mut Reading<'_>) {
    let site = Site::of(store);
    reading.problems.extend(SecretKey::problems(reading.environment, site.path()));
    let Site::File { path, named } = &site else { return };
    if !named && !path.exists() {
        // Nobody asked for the usual file: where it is not to be had, that is said, and there is none.
        return;
    }
    if matches!(store.url, Some(StoreUrl::File(_))) && is_key_for_path(path) {
        // That was said.
        return;
    }
    let (had, otherwise) = if *named {
        (file(path), "name another file, or \"none\" for none")
    } else {
        let had = Sqlite::may_open(path).map_err(|error| error.to_string());
        (had, "name another file with --db, or none with --db none")
    };
    if let Err(fault) = had {
        reading.problem("store.url", format!("{fault} ({otherwise})"));
    }
}

/// Whether a database can be worked on there.
fn file(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if path.is_dir() {
        return Err(format!("the database {shown} is a folder"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    may_be_made(folder).map_err(|fault| format!("cannot make the database {shown}: {fault}"))?;
    if path.exists() {
        may_be_written(path).map_err(|error| format!("the database {shown} cannot be written: {error}"))?;
    }
    Sqlite::may_open(path).map_err(|error| error.to_string())
}

/// Whether a folder is there and can be written, or can be made.
fn may_be_made(folder: &Path) -> Result<(), String> {
    let there = folder.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.exists());
    let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(format!("{} is no folder", there.display()));
    }
    may_be_written(there).map_err(|error| format!("{} cannot be written: {error}", there.display()))
}

#[cfg(unix)]
fn may_be_written(path: &Path) -> io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?;
    // Root may write everywhere, it is told, but nobody makes files here.
    let is_of_the_kernel = ["/proc", "/sys"].iter().any(|place| path.starts_with(place));
    if is_of_the_kernel { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

#[cfg(not(unix))]
fn may_be_written(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.permissions().readonly() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

/// Whether the machine has one of these addresses, and this process may listen there. That somebody listens there is no
/// fault of the configuration.
pub(super) fn listens(place: &str, addresses: &[SocketAddr], document: &mut Document<'_>) {
    // Below 1024 the port itself is what one may not have.
    let tried = |address: &SocketAddr| {
        let port = if address.port() < 1024 { address.port() } else { 0 };
        TcpListener::bind((address.ip(), port)).map(drop)
    };
    let mut fault = None;
    for address in addresses {
        match tried(address) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => fault = Some(error),
            _ => return,
        }
    }
    if let Some(error) = fault {
        document
            .problem(place, format!("expected an address of this machine, with a port that is free to it: {error}"));
    }
}

/// Whether requests would come back here, and every key be refused as a wrong token.
pub(super) fn leads_here(base: &Base, addresses: &[SocketAddr]) -> bool {
    let host = base.authority().host().trim_matches(['[', ']']);
    let here = |address: &SocketAddr| {
        let here = match host.parse::<IpAddr>() {
            Ok(ip) => ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified()),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        here && base.authority().port_u16() == Some(address.port())
    };
    addresses.iter().any(here)
}

/// That is wrong.
pub(super) fn is_itself(base: &Base, addresses: &[SocketAddr], document: &mut Document<'_>) {
    if leads_here(base, addresses) {
        document.problem("gateway.upstream", "that is where this gateway listens itself");
    }
}
