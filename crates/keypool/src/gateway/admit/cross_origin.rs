//! What browsers are told on behalf of web pages of other origins: nothing, but for those that were named (`[gateway] origins`).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::guard::Guard;

/// For so many seconds a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ASKS_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOWS_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// A request of such a page.
pub(in crate::gateway) struct CrossOrigin {
    origin: HeaderValue,
    /// It only asks whether it may ask, and which headers it would send.
    preflight: Option<(Option<HeaderValue>, bool)>,
}

impl CrossOrigin {
    /// Of a request that names an origin which `guard` lets in.
    pub(in crate::gateway) fn of<B>(request: &Request<B>, guard: &Guard) -> Option<Self> {
        let headers = request.headers();
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        if !guard.lets_page(origin, request.uri().path()) {
            return None;
        }
        let asks = request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let wanted =
            || (headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(), headers.contains_key(ASKS_NETWORK));
        Some(Self { origin: origin.clone(), preflight: asks.then(wanted) })
    }

    /// The answer to one that only asks whether it may.
    pub(in crate::gateway) fn preflight(&self) -> Option<Response<Full<Bytes>>> {
        let (wanted, network) = self.preflight.as_ref()?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(wanted) = wanted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        if *network {
            headers.insert(ALLOWS_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Lets the page read an answer.
    pub(in crate::gateway) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}
