//! A parser of `multipart/form-data`.

use crate::{Error, ErrorKind};

/// A part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) file_name: Option<&'a str>,
    pub(crate) mime: Option<&'a str>,
    pub(crate) value: &'a [u8],
}

impl<'a> Field<'a> {
    pub(crate) fn text(&self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.value).map_err(|_| Error::invalid(self.name, "expected text"))
    }
}

/// Maximum number of parts in a form.
const MAX: usize = 64;

/// Parses a form. Its first line is the boundary between the parts.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<Field<'_>>, Error> {
    let wrong = || Error::new(ErrorKind::InvalidRequest, "the body is not a complete multipart/form-data form");
    let (border, mut rest) = split(body, b"\r\n").filter(|(first, _)| first.starts_with(b"--")).ok_or_else(wrong)?;
    let next = [b"\r\n", border].concat();
    let mut fields = Vec::new();
    while fields.len() < MAX {
        let (head, behind) = split(rest, b"\r\n\r\n").ok_or_else(wrong)?;
        let (value, behind) = split(behind, &next).ok_or_else(wrong)?;
        fields.extend(field(head, value));
        if behind.starts_with(b"--") {
            return Ok(fields);
        }
        rest = behind.strip_prefix(b"\r\n").ok_or_else(wrong)?;
    }
    Err(wrong())
}

/// Returns the model that a form names; `None` if the body is not a form, or does not name exactly one model.
pub fn model_of_form(body: &[u8]) -> Option<String> {
    let fields = fields(body).ok()?;
    let mut models = fields.iter().filter(|field| field.name == "model");
    let model = models.next()?.text().ok()?.trim();
    models.next().is_none().then(|| model.to_owned())
}

/// Splits at the first `mark`.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn field<'a>(head: &'a [u8], value: &'a [u8]) -> Option<Field<'a>> {
    // A file's name may be in another encoding: the text before it is enough.
    let head = std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()])).ok()?;
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let extended = parameter(disposition, "filename*").and_then(|value| value.splitn(3, '\'').nth(2));
    Some(Field {
        name: parameter(disposition, "name")?,
        file_name: extended.or_else(|| parameter(disposition, "filename")),
        mime: header("content-type"),
        value,
    })
}

/// Returns a parameter of a header's value, with or without quotes.
fn parameter<'a>(header: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_matches([' ', ';']);
        let (value, behind) = match behind.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => behind.split_once(';').unwrap_or((behind, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value.trim());
        }
        rest = behind;
    }
}
