//! `multipart/form-data`: fields and files of a form.

use crate::Fault;

/// More parts than any form has.
const MOST: usize = 64;

/// A part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    /// Where it is a file.
    pub(crate) file_name: Option<&'a str>,
    /// What the sender says that it is.
    pub(crate) mime: Option<&'a str>,
    pub(crate) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Its value, where it is text.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn text(&self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.value)
            .map_err(|_| Fault::invalid(format!("{}: expected text", self.name)).at(self.name))
    }
}

/// The parts of a form. What stands between them is known by the body's first line, as clients write it.
///
/// # Errors
/// When it is no such form, or breaks off.
pub(crate) fn fields(body: &[u8]) -> Result<Vec<Field<'_>>, Fault> {
    let wrong = || Fault::invalid("the body is not right: expected multipart/form-data, whole");
    let (border, mut rest) = split(body, b"\r\n").filter(|(first, _)| is_border(first)).ok_or_else(wrong)?;
    let next = [b"\r\n", border].concat();
    let mut fields = Vec::new();
    while fields.len() < MOST {
        // A part without any head begins with the blank line itself.
        let (head, behind) = match rest.strip_prefix(b"\r\n") {
            Some(behind) => (&b""[..], behind),
            None => split(rest, b"\r\n\r\n").ok_or_else(wrong)?,
        };
        let (value, behind) = split(behind, &next).ok_or_else(wrong)?;
        fields.extend(field(head, value));
        if behind.starts_with(b"--") {
            return Ok(fields);
        }
        rest = behind.strip_prefix(b"\r\n").ok_or_else(wrong)?;
    }
    Err(wrong())
}

/// The model that a form asks for, as those of `OpenAI`'s API do that bring a file. `None`: it is no such form, or names
/// none, or several.
pub fn model_of_form(body: &[u8]) -> Option<&str> {
    let mut named = fields(body).ok()?.into_iter().filter(|field| field.name == "model");
    let model = named.next().filter(|_| named.next().is_none())?;
    model.text().ok().map(str::trim)
}

fn is_border(line: &[u8]) -> bool {
    let printable = |byte: &u8| (b' '..=b'~').contains(byte);
    (3..=72).contains(&line.len()) && line.starts_with(b"--") && line.iter().all(printable)
}

/// What stands before the first `mark` and what behind it.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn field<'a>(head: &'a [u8], value: &'a [u8]) -> Option<Field<'a>> {
    let head = std::str::from_utf8(head).ok()?;
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    Some(Field {
        name: parameter(disposition, "name")?,
        file_name: parameter(disposition, "filename"),
        mime: header("content-type"),
        value,
    })
}

/// A parameter of a header's value, in quotes or without.
fn parameter<'a>(header: &'a str, wanted: &str) -> Option<&'a str> {
    header.match_indices(wanted).find_map(|(at, _)| {
        let stands_alone = header[..at].ends_with([' ', ';']);
        let value = header[at + wanted.len()..].strip_prefix('=').filter(|_| stands_alone)?;
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => value.split(';').next().map(str::trim),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--xYz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--xYz\r\n\
        content-disposition: form-data; filename=\"a name.wav\"; name=file\r\nContent-Type: audio/wav\r\n\r\n\
        RI\r\n--xY\0FF\r\n--xYz--\r\n";

    #[test]
    fn fields_and_files() {
        let read = fields(FORM.as_bytes()).unwrap();
        assert_eq!(read[0], Field { name: "model", file_name: None, mime: None, value: b"m" });
        assert_eq!(
            read[1],
            Field { name: "file", file_name: Some("a name.wav"), mime: Some("audio/wav"), value: b"RI\r\n--xY\0FF" }
        );
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn what_breaks_off_is_refused() {
        for end in 0..FORM.len() - 4 {
            assert!(fields(&FORM.as_bytes()[..end]).is_err(), "{end}");
        }
        for body in ["", "{}", "--\r\n", "--a", "--a\r\n--a--", "model=m&file=x"] {
            assert!(fields(body.as_bytes()).is_err(), "{body}");
        }
        let endless = format!("--a{}", "\r\n\r\nx\r\n--a".repeat(100));
        assert!(fields(endless.as_bytes()).is_err());
    }
}
