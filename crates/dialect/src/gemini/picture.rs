//! Images by a description: `:predict` of the models that do nothing else, `:generateContent` of the others.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{about_tokens, generate, name, nonsense};
use crate::{
    Canvas, Conversation, Drawing, Drawn, Event, Fault, Finish, Kind, Medium, Part, Picture, Role,
    exchange::Listener as _,
};

/// Images that one `:predict` gives at most.
const MOST_PREDICTED: u32 = 4;

fn predicts(model: &str) -> bool {
    name(model).starts_with("imagen")
}

/// The verb for a model, and how many images of so many one request gives.
pub fn verb_of_drawing(model: &str, count: u32) -> (&'static str, u32) {
    if predicts(model) { (":predict", count.min(MOST_PREDICTED)) } else { (":generateContent", count.min(1)) }
}

/// Whether a model has this form of images.
pub fn has_aspect(model: &str, aspect: &str) -> bool {
    matches!(aspect, "1:1" | "3:4" | "4:3" | "9:16" | "16:9")
        || !predicts(model) && matches!(aspect, "2:3" | "3:2" | "4:5" | "5:4" | "21:9")
}

/// The body for `count` of the images, and about how many tokens it is.
///
/// # Errors
/// Where the model draws from no images.
pub fn drawing(asked: &Drawing<'_>, count: u32) -> Result<(Vec<Bytes>, u64), Fault> {
    #[derive(Serialize)]
    struct Predict<'r> {
        instances: [Instance<'r>; 1],
        parameters: Parameters,
    }
    #[derive(Serialize)]
    struct Instance<'r> {
        prompt: &'r str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        sample_count: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        aspect_ratio: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sample_image_size: Option<&'static str>,
    }
    let Drawing { model, prompt, canvas, originals, .. } = asked;
    if predicts(model) {
        if !originals.is_empty() {
            let why = "image: this model draws by a description alone; ask one of Gemini's that draws, such as gemini-2.5-flash-image";
            return Err(Fault::invalid(why).at("image"));
        }
        let Canvas { aspect: aspect_ratio, size: sample_image_size } = *canvas;
        let parameters = Parameters { sample_count: count, aspect_ratio, sample_image_size };
        let predict = Predict { instances: [Instance { prompt }], parameters };
        let body = serde_json::to_vec(&predict).map_err(|_| nonsense())?;
        let about = body.len() as u64 / 4;
        return Ok((vec![body.into()], about));
    }
    let mut conversation =
        Conversation { model: model.clone(), medium: Medium::Images(*canvas), ..Conversation::default() };
    for Picture { mime, data } in originals {
        let (mime, data) = (mime.as_str().into(), data.as_str().into());
        conversation.say(Role::User, Part::Blob { mime, data });
    }
    conversation.say(Role::User, Part::Text(prompt.clone()));
    let pieces = generate(&conversation, Bytes::new())?;
    let about = about_tokens(&conversation, &pieces);
    Ok((pieces, about))
}

/// The images of an answer.
///
/// # Errors
/// When there is none, or the answer makes no sense.
pub fn drawn(model: &str, body: &[u8]) -> Result<Drawn, Fault> {
    let (drawn, instead) = if predicts(model) { (predicted(body)?, Instead::default()) } else { said(body)? };
    if drawn.pictures.is_empty() { Err(instead.fault()) } else { Ok(drawn) }
}

/// What came in the place of images.
#[derive(Default)]
struct Instead {
    words: String,
    why: Option<Finish>,
}

/// So many of a model's words are told.
const MOST_WORDS: usize = 400;

impl Instead {
    fn fault(self) -> Fault {
        let words: String = self.words.trim().chars().take(MOST_WORDS).collect();
        let (kind, why) = match self.why {
            // Of those that do nothing else no reason is known.
            None | Some(Finish::Filtered) => {
                (Kind::Filtered, "the model drew nothing: the description may be against its rules")
            }
            Some(Finish::Length) => {
                (Kind::BadGateway, "the answer was cut at the model's limit before anything was drawn")
            }
            // What it said instead it would say again.
            Some(Finish::Stop | Finish::Calls) if !words.is_empty() => (Kind::Invalid, "the model drew nothing"),
            Some(Finish::Stop | Finish::Calls) => {
                (Kind::BadGateway, "the model drew nothing: ask again, or say it otherwise")
            }
        };
        let fault =
            if words.is_empty() { Fault::new(kind, why) } else { Fault::new(kind, format!("{why}. It said: {words}")) };
        if kind == Kind::BadGateway { fault } else { fault.at("prompt") }
    }
}

fn predicted(body: &[u8]) -> Result<Drawn, Fault> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        predictions: Vec<Prediction>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Prediction {
        mime_type: Option<String>,
        bytes_base64_encoded: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| nonsense())?;
    let pictures = answer.predictions.into_iter().filter_map(|prediction| {
        let mime = prediction.mime_type.unwrap_or_else(|| "image/png".to_owned());
        Some(Picture { mime, data: prediction.bytes_base64_encoded? })
    });
    Ok(Drawn { pictures: pictures.collect(), ..Drawn::default() })
}

fn said(body: &[u8]) -> Result<(Drawn, Instead), Fault> {
    let (mut drawn, mut instead) = (Drawn::default(), Instead::default());
    let mut listener = super::Listener::new(false);
    let mut say = |event: Event<'_>| match event {
        Event::Blob { mime, data, .. } if mime.starts_with("image/") => {
            drawn.pictures.push(Picture { mime: mime.to_string(), data: data.to_string() });
        }
        Event::Usage(usage) => drawn.usage = usage,
        Event::Text { text, .. } => instead.words.push_str(&text),
        Event::Finish { why, .. } => instead.why = Some(why),
        _ => {}
    };
    listener.hear(body, &mut say)?;
    listener.end_of_whole(&mut say)?;
    Ok((drawn, instead))
}
