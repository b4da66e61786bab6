//! A request that is kept to be sent again.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

/// A request that most likely nobody asks for. Its headers stand in a list until then: that is made, and dropped, at half
/// the cost of a map.
pub(super) enum Spare<B> {
    Folded { head: Folded, body: B },
    Whole(Box<Request<B>>),
}

/// A head with its headers in the map's order.
pub(super) struct Folded {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

impl Folded {
    #[inline]
    fn of(head: &Parts) -> Self {
        let mut headers = Vec::with_capacity(head.headers.len());
        headers.extend(head.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let (method, uri, extensions) = (head.method.clone(), head.uri.clone(), head.extensions.clone());
        Self { method, uri, version: head.version, headers, extensions }
    }
}

impl<B> Spare<B> {
    /// Of a request with this head, and with this body of its own.
    #[inline]
    pub(super) fn of(head: &Parts, body: B) -> Self {
        Self::Folded { head: Folded::of(head), body }
    }

    /// The request itself.
    #[cold]
    pub(super) fn into_request(self) -> Request<B> {
        let (head, body) = match self {
            Self::Folded { head, body } => (head, body),
            Self::Whole(request) => return *request,
        };
        let mut headers = HeaderMap::with_capacity(head.headers.len());
        for (name, value) in head.headers {
            headers.append(name, value);
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = head.version;
        *request.headers_mut() = headers;
        *request.extensions_mut() = head.extensions;
        request
    }
}

impl<B> From<Request<B>> for Spare<B> {
    fn from(request: Request<B>) -> Self {
        Self::Whole(Box::new(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_folded_is_the_same_request() {
        let request = Request::put("http://127.0.0.1:1/v1?a=b")
            .version(Version::HTTP_2)
            .header("a", "1")
            .header("b", "2")
            .header("a", "3")
            .header("content-type", "application/json")
            .extension(7_u8)
            .body("body")
            .unwrap();
        let (head, body) = request.into_parts();
        let (again, body) = Spare::of(&head, body).into_request().into_parts();
        assert_eq!((&again.method, &again.uri, again.version), (&head.method, &head.uri, head.version));
        assert_eq!((&again.headers, again.extensions.get::<u8>(), body), (&head.headers, Some(&7), "body"));
        assert_eq!(again.headers.iter().collect::<Vec<_>>(), head.headers.iter().collect::<Vec<_>>());
    }
}
