//! The certificate of the listening side, and its key.

use std::path::PathBuf;

use tower_keypool::config::{Document, Environment, Origin, Problem, SecretText, Setting};

use super::{
    GatewaySection,
    reading::{Reading, UNREAD},
};
use crate::gateway::tls::Certified;

/// Settings and the variables that hold them, each also with `_FILE`.
const NAMES: [(&str, &str); 2] = [("gateway.tls_cert", "KEYPOOL_TLS_CERT"), ("gateway.tls_key", "KEYPOOL_TLS_KEY")];

/// What is shown to clients; `None`: nothing is encrypted. What is wrong is noted.
pub(super) fn certified(gateway: &GatewaySection, reading: &mut Reading<'_>) -> Option<Certified> {
    const CERTIFICATE: (&str, &str) = ("gateway.tls_cert", "gateway.tls_cert_file");
    const KEY: (&str, &str) = ("gateway.tls_key", "gateway.tls_key_file");
    let mut text = |names, text: Option<&str>, file: &Option<PathBuf>| reading.secret(names, text, file.as_deref());
    let certificates = text(CERTIFICATE, gateway.tls_cert.as_deref(), &gateway.tls_cert_file);
    let key = text(KEY, gateway.tls_key.as_ref().map(SecretText::expose), &gateway.tls_key_file);
    let place = |(text, file): (&'static str, &'static str), document: &Document<'_>| {
        if matches!(document.origin(file), Origin::Default) { text } else { file }
    };
    match (certificates, key) {
        (None, None) => None,
        // That was noted.
        (certificates, key) if [certificates.as_deref(), key.as_deref()].contains(&Some(UNREAD)) => None,
        (Some(_), None) => {
            reading.problem(KEY.1, "expected the certificate's private key (--tls-key FILE), too");
            None
        }
        (None, Some(_)) => {
            reading.problem(CERTIFICATE.1, "expected the certificate of the key (--tls-cert FILE), too");
            None
        }
        (Some(certificates), Some(key)) => Certified::of(&certificates, &key)
            .map_err(|error| {
                let at = place(if error.is_of_key() { KEY } else { CERTIFICATE }, &reading.document);
                reading.problem(at, error.to_string());
            })
            .ok(),
    }
}

/// What variables say of it.
pub(super) fn variables(environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (setting, name) in NAMES {
        match environment.first_secret([name.to_owned()]) {
            Ok(Some(found)) => settings.push(Setting::new(setting, found.value.as_str(), found.origin())),
            Ok(None) => {}
            Err(problem) => problems.push(Problem { path: setting.to_owned(), ..problem }),
        }
    }
    settings
}

/// Files that those variables name.
pub(super) fn files(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    NAMES.into_iter().filter_map(|(_, name)| environment.secret_file([name.to_owned()]))
}
