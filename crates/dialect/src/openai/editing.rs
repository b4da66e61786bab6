//! Images drawn from others: `/v1/images/edits`, a form with files. All else in it says what a request for images by a
//! description says in JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::file::mime_of;
use crate::{Fault, Picture, multipart};

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
    let is_image = |mime: &&str| mime.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("image/"));
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
    let is_words = matches!(field.name, "model" | "prompt" | "size" | "user");
    let read = if is_words { None } else { serde_json::from_str(text.trim()).ok() };
    Ok(read.filter(|value: &Value| value.is_number() || value.is_boolean()).unwrap_or_else(|| text.into()))
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
        ] {
            assert_eq!(form(&parts).unwrap_err().param.as_deref(), Some(place), "{parts:?}");
        }
        assert!(editing(b"{}").is_err());
    }
}
