//! Images, asked and answered: `/v1/images/generations`, and what [edits](super::editing) are asked in.

use serde::Serialize;

use crate::{Canvas, Drawing, Drawn, Fault, Ignored, Text, fields::Fields, gemini};

/// Fields that change nothing about an answer here.
const NEVER_MATTER: [&str; 2] = ["user", "safety_identifier"];

/// Fields that would change the answer and cannot be had, but for these values.
const ONLY_AS: [(&str, &[&str]); 10] = [
    ("quality", &[r#""auto""#, r#""standard""#]),
    ("background", &[r#""auto""#, r#""opaque""#]),
    ("moderation", &[r#""auto""#]),
    ("output_format", &[r#""png""#]),
    ("output_compression", &["100"]),
    ("response_format", &[r#""b64_json""#]),
    ("partial_images", &["0"]),
    ("stream", &["false"]),
    ("style", &[]),
    ("input_fidelity", &[r#""low""#]),
];

/// Images that one request may ask for, as there.
const MOST: u32 = 10;

/// Forms by width and height; the least that fits.
const ASPECTS: [(u32, u32, &str); 10] = [
    (1, 1, "1:1"),
    (2, 3, "2:3"),
    (3, 2, "3:2"),
    (3, 4, "3:4"),
    (4, 3, "4:3"),
    (4, 5, "4:5"),
    (5, 4, "5:4"),
    (9, 16, "9:16"),
    (16, 9, "16:9"),
    (21, 9, "21:9"),
];

/// Reads a request for images, and what of it was not needed. What can be had depends on the model: `named` may put one in
/// the place of another name for it.
///
/// # Errors
/// What is wrong with it.
pub fn drawing(body: &[u8], strict: bool, named: impl FnOnce(&mut Text<'_>)) -> Result<(Drawing<'_>, Ignored), Fault> {
    let mut asked = Drawing { count: 1, ..Drawing::default() };
    let mut ignored = Ignored::default();
    let mut size = None;
    for field in Fields::read(body)?.given() {
        match &*field.name {
            "model" => asked.model = field.read()?,
            "prompt" => asked.prompt = field.read()?,
            "n" => asked.count = field.integer()?,
            "size" => size = Some(field.read::<Text<'_>>()?),
            _ if ignored.takes(&field, &NEVER_MATTER, &ONLY_AS) => {}
            _ => ignored.unless(strict, field.refused())?,
        }
    }
    if asked.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    named(&mut asked.model);
    if asked.prompt.trim().is_empty() {
        return Err(Fault::invalid("prompt is missing").at("prompt"));
    }
    if !(1..=MOST).contains(&asked.count) {
        return Err(Fault::invalid(format!("n: expected 1 to {MOST}")).at("n"));
    }
    if let Some(size) = size.filter(|size| &**size != "auto") {
        match canvas(&asked.model, &size) {
            Ok(canvas) => asked.canvas = canvas,
            Err(fault) => ignored.unless(strict, fault)?,
        }
    }
    Ok((asked, ignored))
}

/// What a size in pixels comes to: its form, and about how large.
fn canvas(model: &str, size: &str) -> Result<Canvas, Fault> {
    let wrong = |why: &str| Fault::invalid(format!("size: {why}")).at("size");
    let (width, height) = size
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse::<u32>().ok()?, height.parse::<u32>().ok()?)))
        .filter(|(width, height)| (1..=8_192).contains(width) && (1..=8_192).contains(height))
        .ok_or_else(|| wrong("expected a width and a height, such as 1024x1024, or auto"))?;
    // 1792x1024 is meant as 16:9, and is not quite.
    let is_near = |(x, y): (u32, u32)| (width * y).abs_diff(height * x) * 50 <= width * y;
    let aspect = ASPECTS.iter().find(|(x, y, _)| is_near((*x, *y))).map(|(.., name)| *name);
    let Some(aspect) = aspect.filter(|aspect| gemini::has_aspect(model, aspect)) else {
        let had: Vec<&str> =
            ASPECTS.iter().map(|(.., name)| *name).filter(|name| gemini::has_aspect(model, name)).collect();
        return Err(wrong(&format!("this model draws {} alone", had.join(", "))));
    };
    let size = match width.max(height) {
        0..=1_792 => None,
        1_793..=3_072 => Some("2K"),
        _ => Some("4K"),
    };
    Ok(Canvas { aspect: Some(aspect), size })
}

/// Writes the images.
pub fn pictures(drawn: &Drawn, created: i64) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'s> {
        created: i64,
        data: Vec<Item<'s>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output_format: Option<&'s str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    }
    #[derive(Serialize)]
    struct Item<'s> {
        b64_json: &'s str,
    }
    #[derive(Serialize)]
    struct Usage {
        input_tokens: u64,
        output_tokens: u64,
        total_tokens: u64,
        input_tokens_details: Details,
    }
    #[derive(Serialize)]
    struct Details {
        text_tokens: u64,
        image_tokens: u64,
    }
    let told = drawn.usage;
    let usage = (told.input > 0 || told.output > 0).then_some(Usage {
        input_tokens: told.input,
        output_tokens: told.output,
        total_tokens: told.input.saturating_add(told.output),
        input_tokens_details: Details { text_tokens: told.input, image_tokens: 0 },
    });
    let list = List {
        created,
        data: drawn.pictures.iter().map(|picture| Item { b64_json: &picture.data }).collect(),
        output_format: drawn.pictures.first().and_then(|picture| picture.mime.strip_prefix("image/")),
        usage,
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(model: &str, fields: &str) -> Result<Canvas, Option<String>> {
        let body = format!(r#"{{"model":"{model}","prompt":"p"{fields}}}"#);
        drawing(body.as_bytes(), true, |_| {}).map(|(asked, _)| asked.canvas).map_err(|fault| fault.param)
    }

    #[test]
    fn a_size_is_a_form_and_how_large() {
        let wished = |aspect, size| Ok(Canvas { aspect: Some(aspect), size });
        for (model, size, expected) in [
            ("gemini-2.5-flash-image", "1024x1024", wished("1:1", None)),
            ("gemini-2.5-flash-image", "1536x1024", wished("3:2", None)),
            ("gemini-2.5-flash-image", "1024x1792", wished("9:16", None)),
            ("imagen-4.0-generate-001", "2048x2048", wished("1:1", Some("2K"))),
            ("gemini-3-pro-image", "4096x4096", wished("1:1", Some("4K"))),
            ("imagen-4.0-generate-001", "1536x1024", Err(Some("size".to_owned()))),
            ("m", "auto", Ok(Canvas::default())),
            ("m", "1024x100", Err(Some("size".to_owned()))),
            ("m", "0x0", Err(Some("size".to_owned()))),
            ("m", "large", Err(Some("size".to_owned()))),
        ] {
            assert_eq!(with(model, &format!(r#","size":"{size}""#)), expected, "{model} {size}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        for (fields, place) in [
            (r#","response_format":"url""#, "response_format"),
            (r#","quality":"high""#, "quality"),
            (r#","style":"vivid""#, "style"),
            (r#","n":11"#, "n"),
            (r#","n":0"#, "n"),
            (r#","stream":true"#, "stream"),
            (r#","output_format":"webp""#, "output_format"),
            (r#","background":"transparent""#, "background"),
        ] {
            assert_eq!(with("m", fields).unwrap_err().as_deref(), Some(place), "{fields}");
        }
        assert!(
            with("m", r#","quality":"auto","response_format":"b64_json","user":"u","safety_identifier":"u","n":2"#)
                .is_ok()
        );
        assert_eq!(drawing(br#"{"model":"m"}"#, true, |_| {}).unwrap_err().param.as_deref(), Some("prompt"));
        let loose =
            drawing(br#"{"model":"imagen","prompt":"p","size":"5x1","style":"vivid"}"#, false, |_| {}).unwrap().1;
        assert_eq!(loose.listed().as_deref(), Some("style, size"));
    }
}
