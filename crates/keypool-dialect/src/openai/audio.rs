//! Speech and transcriptions: thin mappings to a conversation.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    Error, ErrorKind, Event, Finish, Frontend, Modality, Part, Role, Usage,
    fields::{Fields, Notes},
    media, multipart,
    request::{Form, Reply, Request},
    sse,
    translator::Writer,
};

/// OpenAI's voices, each with the most similar voice of Gemini. Any other name is taken as Gemini's own.
const VOICES: &str = "alloy Kore, ash Orus, ballad Iapetus, cedar Algieba, coral Aoede, echo Charon, fable Puck, \
                      marin Sulafat, nova Leda, onyx Alnilam, sage Erinome, shimmer Zephyr, verse Fenrir";

/// Reads a request for speech.
pub(crate) fn read_speech(mut fields: Fields, request: &mut Request, notes: &mut Notes) -> Result<(), Error> {
    let Request { conversation, reply, .. } = request;
    conversation.model = fields.take("model")?.unwrap_or_default();
    let input = fields.text("input", "the text to speak is missing")?;
    let field: Value = fields.take("voice")?.unwrap_or_default();
    let name = field["id"].as_str().or(field.as_str()).unwrap_or_default();
    if name.is_empty() {
        return Err(Error::invalid("voice", "the name of a voice is missing"));
    }
    let known = VOICES.split(", ").filter_map(|pair| pair.split_once(' ')).find(|(openai, _)| *openai == name);
    let voice = known.map_or(name, |(_, gemini)| gemini).to_owned();
    let style = fields.take::<String>("instructions")?.filter(|style| !style.trim().is_empty());
    conversation.modality = Modality::Speech { voice, style };
    let format = fields.take::<String>("response_format")?;
    match format.as_deref() {
        Some("wav" | "pcm") => {}
        // OpenAI's default. The caller gets WAV instead, which the content type and first bytes show.
        None | Some("mp3") => notes.ignore("response_format"),
        Some(_) => notes.refuse(Error::invalid("response_format", "Gemini models support wav or pcm"))?,
    }
    reply.form = if format.as_deref() == Some("pcm") { Form::Pcm } else { Form::Wav };
    fields.finish("", notes)?;
    conversation.turns = vec![crate::Turn { role: Role::User, parts: vec![Part::Text(input)] }];
    Ok(())
}

/// Reads a form with a recording to transcribe, or to translate into English.
pub(crate) fn read_recording(body: &[u8], request: &mut Request, notes: &mut Notes) -> Result<(), Error> {
    let english = request.frontend() == Frontend::Translation;
    let Request { conversation, reply, .. } = request;
    let mut file = None;
    let what = if english {
        "Write down the speech in the recording in English, translated where it is in another language."
    } else {
        "Write down the speech in the recording, word for word, in the language in which it is spoken."
    };
    conversation.system.push(format!(
        "{what} Answer with that text alone: no introduction, no times, no names of speakers, no remarks. If nothing is \
         spoken, answer with nothing."
    ));
    for field in multipart::fields(body)? {
        match field.name {
            "file" => file = Some(field),
            "model" => field.text()?.trim().clone_into(&mut conversation.model),
            "language" if !english => {
                conversation.system.push(format!("The language is {} (ISO 639-1).", field.text()?));
            }
            "prompt" => {
                conversation.system.push(format!("What came before it, or how words are spelled: {}", field.text()?));
            }
            "temperature" => {
                let temperature = field.text()?.trim().parse().ok().filter(|value| (0.0..=2.0).contains(value));
                let wrong = || Error::invalid("temperature", "expected a number from 0 to 1");
                conversation.sampling.temperature = Some(temperature.ok_or_else(wrong)?);
            }
            "response_format" => match field.text()?.trim() {
                "json" => {}
                "text" => reply.form = Form::Text,
                _ => {
                    let why = "the model gives no timestamps; use json or text";
                    notes.refuse(Error::invalid("response_format", why))?;
                }
            },
            "stream" if !english => conversation.stream = field.text()?.trim() == "true",
            "user" | "chunking_strategy" => notes.ignore(field.name),
            name => notes.refuse(Error::invalid(name, "not supported for Gemini models; leave it out"))?,
        }
    }
    let file = file.filter(|file| !file.value.is_empty()).ok_or_else(|| Error::invalid("file", "is missing"))?;
    let recording = Part::Media(media::base64(recording_type(&file)?, STANDARD.encode(file.value)));
    conversation.turns = vec![crate::Turn { role: Role::User, parts: vec![recording] }];
    Ok(())
}

/// Returns the type of a recording. Some clients send application/octet-stream for every file, and video/webm for sound.
fn recording_type(file: &multipart::Field<'_>) -> Result<String, Error> {
    let given = file.mime.map(str::to_ascii_lowercase);
    match given.filter(|mime| mime.starts_with("audio/") || mime.starts_with("video/")) {
        Some(mime) if mime.starts_with("video/webm") => Ok("audio/webm".to_owned()),
        Some(mime) => Ok(mime),
        None => file.file_name.and_then(media::mime_of_name).ok_or_else(|| {
            Error::invalid("file", "its type is not known; name it as wav, mp3, ogg, flac, m4a, aiff or webm")
        }),
    }
}

/// Returns an error for a response that was filtered or truncated, because these APIs cannot express that.
fn check(finish: Option<Finish>, what: &'static str) -> Result<(), Error> {
    match finish {
        Some(Finish::Filtered) => {
            let why = format!("the provider withheld the response or its end: the {what} may violate its rules");
            Err(Error::new(ErrorKind::ContentFiltered, why).with_param(what))
        }
        Some(Finish::Length) => {
            let why = format!("the response was cut off at the model's limit: send the {what} in pieces");
            Err(Error::new(ErrorKind::ContextTooLong, why).with_param(what))
        }
        _ => Ok(()),
    }
}

/// A writer that collects speech: 16-bit little-endian samples, one channel.
pub(crate) struct Speech {
    form: Form,
    rate: u32,
    samples: Vec<u8>,
    finish: Option<Finish>,
}

impl Speech {
    pub(crate) fn new(reply: &Reply) -> Self {
        // The default sample rate of Gemini's models.
        Self { form: reply.form, rate: 24_000, samples: Vec::new(), finish: None }
    }
}

impl Writer for Speech {
    fn event(&mut self, event: &Event, _: &mut Vec<u8>) {
        match event {
            Event::Media { choice: 0, mime, data } => {
                if let Some(rate) = mime.split(';').find_map(|part| part.trim().strip_prefix("rate=")?.parse().ok()) {
                    self.rate = rate;
                }
                if let Ok(bytes) = STANDARD.decode(data) {
                    // Some models return a WAV.
                    let head = if bytes.starts_with(b"RIFF") { WAV_HEAD.min(bytes.len()) } else { 0 };
                    self.samples.extend_from_slice(&bytes[head..]);
                }
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        check(self.finish, "input")?;
        if self.samples.is_empty() {
            return Err(Error::new(ErrorKind::BadUpstream, "the model returned no speech: send the request again"));
        }
        if self.form != Form::Pcm {
            out.extend_from_slice(&wav_head(self.rate, self.samples.len()));
        }
        out.append(&mut self.samples);
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        out.extend_from_slice(&error.body(Frontend::Speech));
    }
}

/// Length of a WAV header in bytes.
const WAV_HEAD: usize = 44;

fn wav_head(rate: u32, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX - 36);
    [
        &b"RIFF"[..],
        &(36 + length).to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        // PCM format, one channel.
        &[1, 0, 1, 0],
        &rate.to_le_bytes(),
        &rate.saturating_mul(2).to_le_bytes(),
        &[2, 0, 16, 0],
        b"data",
        &length.to_le_bytes(),
    ]
    .concat()
}

/// A writer that collects a transcript, or streams it as events.
pub(crate) struct Transcript {
    form: Form,
    stream: bool,
    text: String,
    usage: Usage,
    finish: Option<Finish>,
}

impl Transcript {
    pub(crate) fn new(reply: &Reply, stream: bool) -> Self {
        Self { form: reply.form, stream, text: String::new(), usage: Usage::default(), finish: None }
    }

    fn usage(&self) -> Value {
        let Usage { input, input_audio, output, .. } = self.usage;
        json!({
            "type": "tokens",
            "input_tokens": input,
            "input_token_details": { "audio_tokens": input_audio, "text_tokens": input.saturating_sub(input_audio) },
            "output_tokens": output,
            "total_tokens": input.saturating_add(output),
        })
    }
}

impl Writer for Transcript {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Text { choice: 0, text } => {
                self.text.push_str(text);
                if self.stream {
                    sse::write_data(&json!({ "type": "transcript.text.delta", "delta": text }), out);
                }
            }
            Event::Finish { choice: 0, reason } => self.finish = Some(*reason),
            Event::Usage(usage) => self.usage = *usage,
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        check(self.finish, "file")?;
        if self.stream {
            let done = json!({ "type": "transcript.text.done", "text": self.text, "usage": self.usage() });
            sse::write_data(&done, out);
            out.extend_from_slice(b"data: [DONE]\n\n");
        } else if self.form == Form::Text {
            out.extend_from_slice(self.text.trim().as_bytes());
            out.push(b'\n');
        } else {
            let value = json!({ "text": self.text.trim(), "usage": self.usage() });
            out.extend_from_slice(value.to_string().as_bytes());
        }
        Ok(())
    }

    fn error(&mut self, error: &Error, out: &mut Vec<u8>) {
        sse::write_data(&error.value(Frontend::Transcription), out);
    }
}
