//! A request to write down what is spoken: a form with a file.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::super::file::mime_of;
use crate::{Asked, Fault, Form, Ignored, Part, Role, Text, multipart};

/// Fields that change nothing about an answer here.
const NEVER_MATTER: [&str; 2] = ["user", "chunking_strategy"];

/// What the model is told to do.
const TRANSCRIBE: &str = "Write down the speech in the recording, word for word, in the language in which it is spoken. \
     Answer with that text alone: no introduction, no times, no names of speakers, no remarks. If nothing is spoken, \
     answer with nothing.";
const TRANSLATE: &str = "Write down the speech in the recording in English, translated where it is in another language. \
     Answer with that text alone: no introduction, no times, no names of speakers, no remarks. If nothing is spoken, \
     answer with nothing.";

pub(super) fn read(body: &[u8], strict: bool, in_english: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked { usage_wanted: true, ..Asked::default() };
    let mut file = None;
    let mut notes = Vec::new();
    for field in multipart::fields(body)? {
        let refused = || Fault::invalid(format!("{} cannot be had from this upstream", field.name)).at(field.name);
        match field.name {
            "file" => file = Some(field),
            "model" => asked.conversation.model = field.text()?.into(),
            "language" if !in_english => notes.push(format!("The language is {} (ISO 639-1).", field.text()?)),
            "prompt" => notes.push(format!("What came before it, or how words are spelled: {}", field.text()?)),
            "temperature" => {
                let temperature = field.text()?.trim().parse().ok().filter(|value| (0.0..=2.0).contains(value));
                let wrong = || Fault::invalid("temperature: expected a number from 0 to 1").at("temperature");
                asked.conversation.sampling.temperature = Some(temperature.ok_or_else(wrong)?);
            }
            "response_format" => asked.form = form(field.text()?, strict, &mut asked.ignored)?,
            "stream" if !in_english => asked.conversation.stream = field.text()?.trim() == "true",
            name if NEVER_MATTER.contains(&name) => asked.ignored.add(name),
            _ => asked.ignored.unless(strict, refused())?,
        }
    }
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    let file = file.filter(|file| !file.value.is_empty());
    let Some(file) = file else { return Err(Fault::invalid("file is missing").at("file")) };
    // A client that knows no better calls everything a stream of octets.
    let kind = |mime: &str| mime.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let said = file.mime.filter(|mime| matches!(&*kind(mime), "audio" | "video"));
    // Only what is spoken is asked for, and Python and browsers call every recording in that container a film.
    let said = said.map(|mime| if mime.starts_with("video/webm") { "audio/webm" } else { mime });
    let mime = said.or_else(|| mime_of(file.file_name?)).ok_or_else(|| {
        Fault::invalid("file: its type is not known; name it as wav, mp3, ogg, flac, m4a, aiff or webm").at("file")
    })?;
    let system = Text::from(if in_english { TRANSLATE } else { TRANSCRIBE });
    asked.conversation.system = std::iter::once(system).chain(notes.into_iter().map(Text::from)).collect();
    asked.conversation.say(Role::User, Part::Blob { mime: mime.into(), data: STANDARD.encode(file.value).into() });
    Ok(asked)
}

fn form(wanted: &str, strict: bool, ignored: &mut Ignored) -> Result<Form, Fault> {
    match wanted.trim() {
        "json" => Ok(Form::Object),
        "text" => Ok(Form::Bare),
        other => {
            let short: String = other.chars().take(20).collect();
            let why =
                format!("response_format: {short} cannot be had (the model tells no times); ask for json or text");
            ignored.unless(strict, Fault::invalid(why).at("response_format"))?;
            Ok(Form::Object)
        }
    }
}
