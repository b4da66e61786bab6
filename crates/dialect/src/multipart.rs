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

/// How many tokens a form is about: its words by their length, and each file as a picture. `None`: it is no such form.
pub fn about_tokens_of_form(body: &[u8]) -> Option<u64> {
    let about = |field: &Field<'_>| if field.file_name.is_some() { OF_A_FILE } else { field.value.len() as u64 / 4 };
    Some(fields(body).ok()?.iter().map(about).sum())
}

/// What a file counts, whose length says nothing of what is in it.
const OF_A_FILE: u64 = 258;

/// Whether a form is written so that every reader finds the same fields in it, and one model at most. Others forgive more
/// than this one does: folded lines, single ends of lines, parameters in other cases or with escapes.
pub fn is_plain_form(body: &[u8]) -> bool {
    let Some((border, mut rest)) = split(body, b"\r\n").filter(|(first, _)| is_border(first)) else { return false };
    let next = [b"\r\n", border].concat();
    let (mut parts, mut models) = (0, 0);
    loop {
        let Some((head, behind)) = split(rest, b"\r\n\r\n") else { return false };
        let Some((_, behind)) = split(behind, &next) else { return false };
        let Some(name) = std::str::from_utf8(head).ok().and_then(plain_name) else { return false };
        parts += 1;
        models += usize::from(name.trim_end_matches("[]").eq_ignore_ascii_case("model"));
        match (behind, behind.strip_prefix(b"\r\n")) {
            (_, Some(behind)) if parts < MOST => rest = behind,
            // No reader finds a border where this one found none.
            (b"--" | b"--\r\n", _) => {
                return models < 2 && memchr::memmem::find_iter(body, border).count() == parts + 1;
            }
            _ => return false,
        }
    }
}

/// The name in a part's head, where nobody could read another one.
fn plain_name(head: &str) -> Option<&str> {
    let mut name = None;
    for line in head.split("\r\n") {
        let (header, value) = line.split_once(':')?;
        let value = value.trim_matches(' ');
        if header.eq_ignore_ascii_case("content-disposition") && name.is_none() {
            name = Some(plain_disposition(value)?);
        } else if header.eq_ignore_ascii_case("content-transfer-encoding") {
            ["binary", "7bit", "8bit"].iter().find(|plain| value.eq_ignore_ascii_case(plain))?;
        } else if !["content-type", "content-length"].iter().any(|known| header.eq_ignore_ascii_case(known)) {
            return None;
        }
        if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return None;
        }
    }
    name
}

/// `form-data; name="…"`, and what a file is called.
fn plain_disposition(value: &str) -> Option<&str> {
    let (mut name, mut file) = (None, 0);
    let mut rest = value.get("form-data".len()..).filter(|_| value[..9].eq_ignore_ascii_case("form-data"))?;
    while let Some(parameter) = rest.strip_prefix(';') {
        let (called, behind) = parameter.trim_start_matches(' ').split_once('=')?;
        let (text, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(';').unwrap_or(behind.len())),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]".contains(&byte);
        match called {
            "name" if name.is_none() && text.bytes().all(plain) => name = Some(text),
            "filename" | "filename*" if file < 2 && !text.contains('\\') => file += 1,
            _ => return None,
        }
        rest = behind;
    }
    name.filter(|_| rest.is_empty())
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
    // One that is written in another way is known by what stands in front of that.
    let head = std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()])).ok()?;
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    Some(Field {
        name: parameter(disposition, "name")?,
        file_name: file_name(disposition),
        mime: header("content-type"),
        value,
    })
}

/// What a file is called, as it stands there. Where a name is not plain some clients write it in the form of RFC 5987 alone.
fn file_name(disposition: &str) -> Option<&str> {
    let extended = parameter(disposition, "filename*").and_then(|value| value.splitn(3, '\'').nth(2));
    extended.or_else(|| parameter(disposition, "filename"))
}

fn parameter<'a>(header: &'a str, wanted: &str) -> Option<&'a str> {
    parameters(header).find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

/// The parameters of a header's value, in quotes or without, as they stand there.
fn parameters(header: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (before, behind) = rest.split_once('=')?;
        let name = before.rsplit(';').next().unwrap_or_default().trim();
        let behind = behind.trim_start();
        let (value, behind) = if let Some(quoted) = behind.strip_prefix('"') {
            let end = end_of_quoted(quoted);
            (&quoted[..end], quoted.get(end + 1..).unwrap_or_default())
        } else {
            let (value, behind) = behind.split_at(behind.find(';').unwrap_or(behind.len()));
            (value.trim(), behind)
        };
        rest = behind;
        Some((name, value))
    })
}

/// Where the quote is that ends a text. A backslash escapes a quote and its like alone: some write paths with it.
fn end_of_quoted(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'"' {
            return at;
        }
        if byte == b'\\' && matches!(text.as_bytes().get(at + 1), Some(b'"' | b'\\')) {
            bytes.next();
        }
    }
    text.len()
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
    fn parameters_end_where_their_quotes_do() {
        let read = |disposition: &'static str| {
            let name = parameter(disposition, "name");
            (name, file_name(disposition))
        };
        for (disposition, name, file) in [
            (r#"form-data; name="file"; filename="a\"b.wav""#, "file", Some(r#"a\"b.wav"#)),
            (r#"form-data; filename="x; name=\"model\"; y"; name="file""#, "file", Some(r#"x; name=\"model\"; y"#)),
            (r#"form-data; filename="x; name=model; y"; name=file"#, "file", Some("x; name=model; y")),
            (r#"form-data; name="file"; filename="a\\"; x=y"#, "file", Some(r"a\\")),
            (r#"form-data; name="file"; filename="C:\a\b.wav""#, "file", Some(r"C:\a\b.wav")),
            (r#"form-data; Name = "file" ;FileName=a.wav"#, "file", Some("a.wav")),
            ("form-data; name=file; filename*=UTF-8''na%C3%AFve.wav", "file", Some("na%C3%AFve.wav")),
            ("form-data; name=file; filename*=utf-8'en'a.wav; filename=b", "file", Some("a.wav")),
            // It says nothing: the other one does.
            ("form-data; name=file; filename=b.wav; filename*=a", "file", Some("b.wav")),
            ("form-data; name=\"file", "file", None),
            ("form-data; name=file; x", "file", None),
        ] {
            assert_eq!(read(disposition), (Some(name), file), "{disposition}");
        }
        assert_eq!(read("form-data; xname=a"), (None, None));
    }

    #[test]
    fn a_file_is_about_as_many_tokens_however_long_it_is() {
        let form = FORM.replace("\r\nm\r\n", &format!("\r\n{}\r\n", "m".repeat(40))).replace("RI", &"R".repeat(9_000));
        assert_eq!(about_tokens_of_form(form.as_bytes()), Some(10 + OF_A_FILE));
        assert_eq!(about_tokens_of_form(b"{}"), None);
    }

    #[test]
    fn plain_is_what_clients_write() {
        let written = |heads: &[&str]| -> String {
            heads.iter().fold(String::new(), |form, head| form + "--xYz\r\n" + head + "\r\n\r\nm\r\n") + "--xYz--\r\n"
        };
        let model = "Content-Disposition: form-data; name=\"model\"";
        for file in [
            "Content-Disposition: form-data; name=\"file\"; filename=\"a b;=.wav\"\r\nContent-Type: audio/wav",
            "content-disposition: form-data; name=file; filename=a.wav; filename*=utf-8''a.wav\r\nContent-Length: 1",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"",
            "Content-Disposition: form-data; name=\"x\"\r\nContent-Transfer-Encoding: binary",
        ] {
            assert!(is_plain_form(written(&[model, file]).as_bytes()), "{file}");
        }
        assert!(is_plain_form(written(&[model]).trim_end().as_bytes()));
        for other in [
            model,
            "Content-Disposition: form-data; name=\"Model\"",
            "Content-Disposition: form-data; name=\"model[]\"",
            "Content-Disposition: form-data; name=\"mo%64el\"",
            "Content-Disposition: form-data; name=\"mo\\del\"",
            "Content-Disposition: form-data;name =\"model\"",
            "Content-Disposition: form-data; Name=\"model\"",
            "Content-Disposition: form-data; name=\"x\"\n name=\"model\"",
            "Content-Disposition: form-data; name=\"x\"\r\n ; name=\"model\"",
            "Content-Disposition: form-data; name=\"x\"; filename=\"a\\\"; name=\"model\"",
            "Content-Disposition: attachment; name=\"x\"",
            "Content-Type: text/plain",
            "X-Other: 1\r\nContent-Disposition: form-data; name=\"x\"",
            "Content-Disposition: form-data; name=\"x\"\r\n\r\n\n--xYz\nContent-Disposition: form-data; name=\"model\"\n",
            "Content-Disposition: form-data; name=\"x\"\r\n\r\n--xYz",
        ] {
            assert!(!is_plain_form(written(&[model, other]).as_bytes()), "{other}");
        }
        for end in 0..FORM.len() - 4 {
            assert!(!is_plain_form(&FORM.as_bytes()[..end]));
        }
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
