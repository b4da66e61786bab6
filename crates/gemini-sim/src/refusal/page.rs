//! The answers that are pages of HTML.

use super::ApiError;

pub(super) const BLOCK_PAGE: &str = "<html><head><title>Sorry...</title></head><body>We're sorry but your \
computer or network may be sending automated queries. To protect our users, we can't process your \
request right now.</body></html>";

const NOT_FOUND_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 404 (Not Found)!!1\
</title>\n  <p><b>404.</b> <ins>That's an error.</ins>\n  <p>The requested URL was not found on \
this server.  <ins>That's all we know.</ins>\n";

const METHOD_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 405 (Method Not \
Allowed)!!1</title>\n  <p><b>405.</b> <ins>That's an error.</ins>\n";

pub(super) const GATEWAY_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n  <title>Error 502 (Server Error)!!1\
</title>\n  <p><b>502.</b> <ins>That's an error.</ins>\n  <p>The server encountered a temporary \
error and could not complete your request.<p>Please try again in 30 seconds.\n";

/// The page for paths that lead nowhere, and for methods that no path has.
pub(crate) fn not_found_page(method_exists: bool) -> ApiError {
    if method_exists {
        ApiError::page(404, "unknown_path", NOT_FOUND_PAGE)
    } else {
        ApiError::page(405, "unknown_method", METHOD_PAGE)
    }
}
