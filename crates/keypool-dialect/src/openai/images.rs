//! `/v1/images/generations` and `/v1/images/edits`, through `generateContent` of an image model.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    Conversation, Error, ErrorKind, Event, Finish, Media, Modality, Mode, NativeRequest, Part, Role, Turn, Usage,
    fields::{Fields, Notes},
    gemini::Decoder,
    media, multipart,
};

/// Maximum number of images in one request, the same as at OpenAI.
const MAX: i64 = 10;
/// Aspect ratios (width to height) that Gemini's models support.
const ASPECTS: [&str; 10] = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"];

/// A request for images.
#[derive(Clone, Debug)]
pub struct Images {
    /// The conversation that asks for one image. Its model may be replaced.
    pub conversation: Conversation,
    count: u32,
    ignored: Vec<String>,
}

impl Images {
    /// Parses a request for images from a description.
    ///
    /// # Errors
    /// 400 for a field that is invalid or cannot be served.
    pub fn parse(body: &[u8], mode: Mode) -> Result<Self, Error> {
        Self::read(Fields::read(body)?, Vec::new(), mode)
    }

    /// Parses a form with images to edit.
    ///
    /// # Errors
    /// 400 for a field that is invalid or cannot be served.
    pub fn parse_edit(form: &[u8], mode: Mode) -> Result<Self, Error> {
        let (mut request, mut originals) = (Map::new(), Vec::new());
        for field in multipart::fields(form)? {
            if field.name.split('[').next() == Some("image") {
                originals.push(original(&field)?);
                continue;
            }
            // Gemini has no masks: another file is passed on as a field, which is then refused by its name.
            let value = if field.file_name.is_some() { Value::Bool(true) } else { value(&field)? };
            request.insert(field.name.to_owned(), value);
        }
        if originals.is_empty() {
            return Err(Error::invalid("image", "is missing"));
        }
        let request = Value::Object(request).to_string();
        Self::read(Fields::read(request.as_bytes())?, originals, mode)
    }

    fn read(mut fields: Fields, originals: Vec<Media>, mode: Mode) -> Result<Self, Error> {
        let mut notes = Notes::new(mode == Mode::Strict);
        let model = fields.text("model", "the name of a model is required")?;
        let prompt = fields.text("prompt", "is missing")?;
        let count = match fields.integer("n")? {
            None => 1,
            Some(count) if (1..=MAX).contains(&count) => count as u32,
            Some(_) => return Err(Error::invalid("n", format_args!("expected 1 to {MAX}"))),
        };
        let (mut aspect_ratio, mut size) = (None, None);
        if let Some(pixels) = fields.take::<String>("size")?.filter(|size| size != "auto") {
            match canvas(&pixels) {
                Ok(canvas) => (aspect_ratio, size) = canvas,
                Err(error) => notes.refuse(error)?,
            }
        }
        fields.finish("", &mut notes)?;
        let parts = originals.into_iter().map(Part::Media).chain([Part::Text(prompt)]).collect();
        let turns = vec![Turn { role: Role::User, parts }];
        let modality = Modality::Image { aspect_ratio, size };
        let conversation = Conversation { model, turns, modality, ..Conversation::default() };
        Ok(Self { conversation, count, ignored: notes.into_ignored() })
    }

    /// Returns the names of fields that were accepted but have no effect.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Encodes Gemini's requests, one for each image.
    ///
    /// # Errors
    /// 400 for an invalid model name.
    pub fn encode(&self) -> Result<Vec<NativeRequest>, Error> {
        Ok(vec![NativeRequest::generate(&self.conversation)?; self.count as usize])
    }

    /// Converts Gemini's responses to all requests into one response. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// If one of them is an error or cannot be parsed, or none contains an image.
    pub fn answer(&self, bodies: &[impl AsRef<[u8]>], created: i64) -> Result<Bytes, Error> {
        let mut drawn = Drawn::default();
        for body in bodies {
            drawn.read(&self.conversation, body.as_ref())?;
        }
        if drawn.images.is_empty() {
            return Err(drawn.error());
        }
        let Drawn { images, usage, .. } = drawn;
        let format = images[0].0.strip_prefix("image/").unwrap_or("png").to_owned();
        let data: Vec<Value> =
            images.into_iter().take(self.count as usize).map(|(_, data)| json!({ "b64_json": data })).collect();
        let mut value = json!({ "created": created, "data": data, "output_format": format });
        if usage != Usage::default() {
            value["usage"] = json!({
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "total_tokens": usage.input.saturating_add(usage.output),
                "input_tokens_details": { "text_tokens": usage.input, "image_tokens": 0 },
            });
        }
        Ok(value.to_string().into())
    }
}

/// The images of the responses, or the text instead of images.
#[derive(Default)]
struct Drawn {
    /// Media types and data in base64.
    images: Vec<(String, String)>,
    usage: Usage,
    words: String,
    finish: Option<Finish>,
}

impl Drawn {
    fn read(&mut self, conversation: &Conversation, body: &[u8]) -> Result<(), Error> {
        let mut events = Vec::new();
        let mut decoder = Decoder::new(conversation, "", "");
        decoder.decode_whole(body, &mut events)?;
        decoder.finish(&mut events);
        for event in events {
            match event {
                Event::Media { mime, data, .. } if mime.starts_with("image/") => self.images.push((mime, data)),
                Event::Usage(usage) => {
                    self.usage.input += usage.input;
                    self.usage.output += usage.output;
                }
                Event::Text { text, .. } => self.words.push_str(&text),
                Event::Finish { reason, .. } => self.finish = Some(reason),
                _ => {}
            }
        }
        Ok(())
    }

    fn error(self) -> Error {
        let words: String = self.words.trim().chars().take(400).collect();
        let (kind, why) = match self.finish {
            // A model that replied with text would do so again.
            Some(Finish::Stop) if !words.is_empty() => (ErrorKind::InvalidRequest, "the model returned no image"),
            Some(Finish::Stop | Finish::Length) => (ErrorKind::BadUpstream, "the model returned no image: try again"),
            _ => (ErrorKind::ContentFiltered, "the model returned no image: the prompt may violate its rules"),
        };
        Error::new(kind, format!("{why}. Its text: {words:?}")).with_param("prompt")
    }
}

/// Converts a size in pixels to an aspect ratio and one of Gemini's sizes.
fn canvas(pixels: &str) -> Result<(Option<&'static str>, Option<&'static str>), Error> {
    let pair = |text: &str, between: char| {
        let (x, y) = text.split_once(between)?;
        Some((x.parse::<u32>().ok()?, y.parse::<u32>().ok()?))
    };
    let (width, height) = pair(pixels, 'x')
        .filter(|(width, height)| (1..=8_192).contains(width) && (1..=8_192).contains(height))
        .ok_or_else(|| Error::invalid("size", "expected a width and a height, such as 1024x1024, or auto"))?;
    // A ratio may differ by 2 %: 1792x1024 is meant as 16:9.
    let is_near = |(x, y): (u32, u32)| (width * y).abs_diff(height * x) * 50 <= width * y;
    let aspect = ASPECTS.into_iter().find(|aspect| pair(aspect, ':').is_some_and(is_near));
    let why = || format!("Gemini models only support the ratios {}", ASPECTS.join(", "));
    let aspect = aspect.ok_or_else(|| Error::invalid("size", why()))?;
    let size = match width.max(height) {
        0..=1_792 => None,
        1_793..=3_072 => Some("2K"),
        _ => Some("4K"),
    };
    Ok((Some(aspect), size))
}

fn original(field: &multipart::Field<'_>) -> Result<Media, Error> {
    let is_image = |mime: &String| mime.starts_with("image/") && !mime.ends_with('*');
    let given = field.mime.map(str::to_owned).filter(is_image);
    let mime = given.or_else(|| media::mime_of_name(field.file_name?).filter(is_image));
    let mime = mime.ok_or_else(|| Error::invalid("image", "its type is not known; name it as png, jpg or webp"))?;
    if field.value.is_empty() {
        return Err(Error::invalid("image", "is empty"));
    }
    Ok(media::base64(mime, STANDARD.encode(field.value)))
}

/// Converts a form field, which is always text, to JSON: known text fields stay strings, other values are parsed.
fn value(field: &multipart::Field<'_>) -> Result<Value, Error> {
    let text = field.text()?;
    let is_text = matches!(field.name, "model" | "prompt" | "size" | "user");
    Ok(if is_text { text.into() } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) })
}
