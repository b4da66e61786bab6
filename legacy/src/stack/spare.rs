//! A request that is kept to be sent again.

use std::{cell::Cell, mem};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    request::Parts,
    uri::{self, Authority, PathAndQuery, Scheme, Uri},
};

use crate::rotation::Names;

/// A request that most likely nobody asks for. Its head stands in one piece of text until then: that is written, and
/// dropped, at a third of the cost of a map.
pub(super) enum Spare<B> {
    Folded { head: Folded, body: B },
    Whole(Box<Request<B>>),
}

/// A head with its headers in the map's order. Of 128 bytes with its body at the most: what is larger is moved by a call.
pub(super) struct Folded {
    method: Method,
    version: Version,
    /// How long each part of the address is; zero where there is none.
    scheme: u32,
    authority: u32,
    path: u32,
    text: Text,
    extensions: Extensions,
}

/// Scheme, authority and path, then of each header how long its name and value are, and both.
struct Text {
    room: Box<[u8]>,
    /// So much of it is written.
    bytes: u32,
}

thread_local! {
    /// Room for texts that somebody is done with, so that most requests allocate none.
    static ROOM: Cell<Box<[u8]>> = Cell::default();
}

/// The first text of a thread has so much room.
const USUAL_ROOM: usize = 512;
/// Larger rooms are not kept.
const LARGEST_ROOM: usize = 8 << 10;

impl Text {
    #[inline]
    fn new() -> Self {
        // While a thread ends it has none.
        Self { room: ROOM.try_with(Cell::take).unwrap_or_default(), bytes: 0 }
    }

    /// Room for twice as much.
    #[cold]
    fn grow(&mut self) {
        self.room = vec![0; (self.room.len() * 2).max(USUAL_ROOM)].into();
    }

    fn written(&self) -> &[u8] {
        &self.room[..self.bytes as usize]
    }
}

impl Drop for Text {
    #[inline]
    fn drop(&mut self) {
        if (1..=LARGEST_ROOM).contains(&self.room.len()) {
            let room = mem::take(&mut self.room);
            let _ = ROOM.try_with(|kept| kept.set(room));
        }
    }
}

/// What is left of a room. Whoever writes and finds none left writes all anew into a larger one: a look at the room for
/// each piece is cheaper so.
struct Left<'a>(&'a mut [u8]);

impl Left<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let (here, left) = mem::take(&mut self.0).split_at_mut_checked(bytes.len())?;
        here.copy_from_slice(bytes);
        self.0 = left;
        Some(())
    }

    #[inline]
    fn put_part(&mut self, part: Option<&str>) -> Option<u32> {
        let part = part.unwrap_or_default();
        self.put(part.as_bytes())?;
        Some(part.len() as u32)
    }

    #[inline]
    fn put_header(&mut self, name: &str, value: &HeaderValue) -> Option<()> {
        let (mark, left) = mem::take(&mut self.0).split_first_chunk_mut()?;
        *mark = Mark::of(name, value).0.to_ne_bytes();
        self.0 = left;
        self.put(name.as_bytes())?;
        self.put(value.as_bytes())
    }
}

/// What stands before a header: the length of its value, whether that is sensitive, and the length of its name.
#[derive(Clone, Copy)]
struct Mark(u64);

impl Mark {
    const BYTES: usize = size_of::<u64>();
    const SENSITIVE: u64 = 1 << 16;

    #[inline]
    fn of(name: &str, value: &HeaderValue) -> Self {
        // No name is longer than 16 bits can tell.
        let sensitive = if value.is_sensitive() { Self::SENSITIVE } else { 0 };
        Self((value.len() as u64) << 17 | sensitive | name.len() as u64)
    }

    fn name(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    fn value(self) -> usize {
        (self.0 >> 17) as usize
    }
}

impl Folded {
    #[inline]
    fn of(head: &Parts, names: &mut Names) -> Self {
        let mut text = Text::new();
        let [scheme, authority, path] = loop {
            match Self::write(head, &mut text, names) {
                Some(parts) => break parts,
                None => text.grow(),
            }
        };
        // What a demand travelled in is empty by now, and would be cloned with all its room.
        let extensions = if head.extensions.is_empty() { Extensions::new() } else { head.extensions.clone() };
        let method = head.method.clone();
        Self { method, version: head.version, scheme, authority, path, text, extensions }
    }

    /// Writes it all, where there is room: how long the parts of the address are.
    #[inline]
    fn write(head: &Parts, text: &mut Text, names: &mut Names) -> Option<[u32; 3]> {
        let room = text.room.len();
        let mut left = Left(&mut text.room);
        let parts = [
            left.put_part(head.uri.scheme_str())?,
            left.put_part(head.uri.authority().map(Authority::as_str))?,
            left.put_part(head.uri.path_and_query().map(PathAndQuery::as_str))?,
        ];
        let mut seen = Names::default();
        for (name, value) in &head.headers {
            let name = name.as_str();
            seen.see(name);
            left.put_header(name, value)?;
        }
        *names = seen;
        text.bytes = (room - left.0.len()) as u32;
        Some(parts)
    }

    /// What it was made of. It was all valid then.
    #[cold]
    fn unfold(&self) -> (Uri, HeaderMap) {
        let mut rest = self.text.written();
        let mut next = |bytes: u32| {
            let (next, behind) = rest.split_at(bytes as usize);
            rest = behind;
            (!next.is_empty()).then_some(next)
        };
        let mut parts = uri::Parts::default();
        parts.scheme = next(self.scheme).and_then(|text| Scheme::try_from(text).ok());
        parts.authority = next(self.authority).and_then(|text| Authority::try_from(text).ok());
        parts.path_and_query = next(self.path).and_then(|text| PathAndQuery::try_from(text).ok());
        let mut headers = HeaderMap::new();
        while let Some((mark, behind)) = rest.split_first_chunk::<{ Mark::BYTES }>() {
            let mark = Mark(u64::from_ne_bytes(*mark));
            let (name, behind) = behind.split_at(mark.name());
            let (value, behind) = behind.split_at(mark.value());
            if let (Ok(name), Ok(mut value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                value.set_sensitive(mark.0 & Mark::SENSITIVE != 0);
                headers.append(name, value);
            }
            rest = behind;
        }
        (Uri::from_parts(parts).unwrap_or_default(), headers)
    }
}

impl<B> Spare<B> {
    /// Of a request with this head, and with this body of its own. Tells what headers it has, since it passes them anyway.
    #[inline]
    pub(super) fn of(head: &Parts, body: B, names: &mut Names) -> Self {
        Self::Folded { head: Folded::of(head, names), body }
    }

    /// The request itself.
    #[cold]
    pub(super) fn into_request(self) -> Request<B> {
        let (head, body) = match self {
            Self::Folded { head, body } => (head, body),
            Self::Whole(request) => return *request,
        };
        let mut request = Request::new(body);
        (*request.uri_mut(), *request.headers_mut()) = head.unfold();
        *request.method_mut() = head.method;
        *request.version_mut() = head.version;
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
    fn every_form_of_address_is_the_same_again() {
        for address in ["/", "/a?b=c", "*", "http://h", "https://u@h:1/%41?x", "h:443", "http://h?q"] {
            let (head, ()) = Request::get(address).body(()).unwrap().into_parts();
            let again = Spare::of(&head, (), &mut Names::default()).into_request();
            assert_eq!(again.uri(), &head.uri);
            assert_eq!(again.uri().to_string(), head.uri.to_string());
        }
    }

    #[test]
    fn room_is_used_again_and_shows_nothing_of_before() {
        for length in [1, 3_000, 20_000, 7] {
            let (head, ()) = Request::get("/").header("a", "x".repeat(length)).body(()).unwrap().into_parts();
            let again = Spare::of(&head, (), &mut Names::default()).into_request();
            assert_eq!(again.headers(), &head.headers);
        }
    }

    #[test]
    fn what_was_folded_is_the_same_request() {
        let request = Request::put("http://127.0.0.1:1/v1?a=b")
            .version(Version::HTTP_2)
            .header("a", "1")
            .header("b", "2")
            .header("a", "3")
            .header("content-type", "application/json")
            .header("c", "")
            .header("d", HeaderValue::from_bytes(b"\xe9\t").unwrap())
            .extension(7_u8)
            .body("body")
            .unwrap();
        let (mut head, body) = request.into_parts();
        head.headers.get_mut("b").unwrap().set_sensitive(true);
        let (again, body) = Spare::of(&head, body, &mut Names::default()).into_request().into_parts();
        assert_eq!((&again.method, &again.uri, again.version), (&head.method, &head.uri, head.version));
        assert_eq!((&again.headers, again.extensions.get::<u8>(), body), (&head.headers, Some(&7), "body"));
        assert_eq!(again.headers.iter().collect::<Vec<_>>(), head.headers.iter().collect::<Vec<_>>());
    }
}
