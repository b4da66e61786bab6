//! Images drawn from others: `/v1/images/edits`, a form with files. All else in it says what a request for images by a
//! description says in JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Number, Value};

use super::file::mime_of;
use crate::{Fault, Picture, multipart};

/// Bytes of a description: what it is written as in JSON may be six times as long.
const MOST_WORDS: usize = 256 << 10;

/// Reads the form: the same as a request for images by a description, and what they are drawn from.
///
/// # Errors
/// What is wrong with it.
pub fn editing(form: &[u8]) -> Result<(Vec<u8>, Vec<Picture>), Fault> {
    let (mut wish, mut originals) = (Map::new(), Vec::new());
    for field in multipart::fields(form)? {
        if field.name.split('[').next() == Some("image") {
            originals.push(original(&field)?);
            continue;
        }
        // What a mask leaves as it is the upstream cannot be told.
        let value = if field.file_name.is_some() { Value::Bool(true) } else { value(&field)? };
        if wish.insert(field.name.to_owned(), value).is_some() {
            return Err(Fault::invalid(format!("{} stands there twice", field.name)).at(field.name));
        }
    }
    if originals.is_empty() {
        return Err(Fault::invalid("image is missing").at("image"));
    }
    Ok((Value::Object(wish).to_string().into_bytes(), originals))
}

fn original(field: &multipart::Field<'_>) -> Result<Picture, Fault> {
    let is_image =
        |mime: &&str| !mime.ends_with('*') && mime.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/"));
    let mime = field.mime.filter(is_image).or_else(|| mime_of(field.file_name?).filter(is_image));
    match mime {
        _ if field.value.is_empty() => Err(Fault::invalid("image is empty").at("image")),
        Some(mime) => Ok(Picture { mime: mime.to_owned(), data: STANDARD.encode(field.value) }),
        None => Err(Fault::invalid("image: its type is not known; name it as png, jpg or webp").at("image")),
    }
}

/// A form has texts alone: those that are words stay what they are, others are what they would be in JSON.
fn value(field: &multipart::Field<'_>) -> Result<Value, Fault> {
    let text = field.text()?;
    if text.len() > MOST_WORDS {
        let why = format!("{}: expected {} KiB at most", field.name, MOST_WORDS >> 10);
        return Err(Fault::invalid(why).at(field.name));
    }
    if matches!(field.name, "model" | "prompt" | "size" | "user") {
        return Ok(text.into());
    }
    Ok(match text.trim() {
        "true" => true.into(),
        "false" => false.into(),
        text => text.parse::<Number>().map_or_else(|_| text.into(), Value::Number),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(parts: &[(&str, &str)]) -> Result<(Value, Vec<Picture>), Fault> {
        let part =
            |(head, value): &(&str, &str)| format!("--xx\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
        let body = parts.iter().map(part).collect::<String>() + "--xx--\r\n";
        editing(body.as_bytes()).map(|(wish, originals)| (serde_json::from_slice(&wish).unwrap(), originals))
    }

    const IMAGE: (&str, &str) = ("name=\"image\"; filename=\"a.png\"", "hello");

    #[test]
    fn it_is_what_a_description_says_and_images() {
        let webp = ("name=\"image[]\"; filename=\"a\"\r\nContent-Type: image/webp", "x");
        let fields = [("name=\"prompt\"", "7"), ("name=\"n\"", "2"), ("name=\"stream\"", "false"), IMAGE, webp];
        let (wish, originals) = form(&fields).unwrap();
        assert_eq!(wish, json!({ "prompt": "7", "n": 2, "stream": false }));
        let picture = |mime: &str, data: &str| Picture { mime: mime.to_owned(), data: data.to_owned() };
        assert_eq!(originals, [picture("image/png", "aGVsbG8="), picture("image/webp", "eA==")]);
        let mask = ("name=\"mask\"; filename=\"m.png\"", "x");
        assert_eq!(form(&[IMAGE, mask]).unwrap().0, json!({ "mask": true }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let octets = "name=\"image\"; filename=\"a\"\r\nContent-Type: application/octet-stream";
        for (parts, place) in [
            (vec![("name=\"prompt\"", "p")], "image"),
            (vec![("name=\"image\"; filename=\"a.png\"", "")], "image"),
            (vec![("name=\"image\"; filename=\"a.wav\"", "x")], "image"),
            (vec![(octets, "x")], "image"),
            (vec![("name=\"n\"", "1"), ("name=\"n\"", "1"), IMAGE], "n"),
            (vec![("name=\"prompt\"", &*"p".repeat(MOST_WORDS + 1)), IMAGE], "prompt"),
        ] {
            assert_eq!(form(&parts).unwrap_err().param.as_deref(), Some(place), "{parts:?}");
        }
        assert!(editing(b"{}").is_err());
        // One that cannot be read whole is not left out.
        let odd =
            b"--xx\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\xe9.png\"\r\n\r\nx\r\n--xx--\r\n";
        assert_eq!(editing(odd).unwrap_err().param.as_deref(), Some("image"));
    }
}
