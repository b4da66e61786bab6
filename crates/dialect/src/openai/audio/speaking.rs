//! A request to speak.

use serde::Deserialize;

use crate::{
    Asked, Fault, Form, Medium, Part, Role, Speech, Text,
    fields::{Field, Fields},
};

/// Fields that would change the answer and cannot be had, but for these values.
const ONLY_AS: [(&str, &[&str]); 2] = [("speed", &["1", "1.0"]), ("stream_format", &[r#""audio""#])];

/// The other provider's voices, and those of the upstream that come near; any other name is the upstream's own.
const VOICES: [(&str, &str); 13] = [
    ("alloy", "Kore"),
    ("ash", "Orus"),
    ("ballad", "Iapetus"),
    ("cedar", "Algieba"),
    ("coral", "Aoede"),
    ("echo", "Charon"),
    ("fable", "Puck"),
    ("marin", "Sulafat"),
    ("nova", "Leda"),
    ("onyx", "Alnilam"),
    ("sage", "Erinome"),
    ("shimmer", "Zephyr"),
    ("verse", "Fenrir"),
];

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

pub(super) fn read(body: &[u8], strict: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked::default();
    let mut speech = Speech::default();
    let (mut input, mut form) = (Text::default(), None);
    for field in Fields::read(body)?.given() {
        match &*field.name {
            "model" => asked.conversation.model = field.read()?,
            "input" => input = field.read()?,
            "voice" => speech.voice = voice(&field)?,
            "instructions" => speech.style = Some(field.read()?).filter(|style: &Text<'_>| !style.trim().is_empty()),
            "response_format" => form = Some(field.read::<Text<'_>>()?),
            _ if asked.ignored.takes(&field, &[], &ONLY_AS) => {}
            _ => asked.ignored.unless(strict, field.refused())?,
        }
    }
    let missing = |what: &str| Fault::invalid(format!("{what} is missing")).at(what);
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    if input.trim().is_empty() {
        return Err(missing("input"));
    }
    if speech.voice.is_empty() {
        return Err(missing("voice"));
    }
    asked.form = match form.as_deref() {
        Some("wav") => Form::Wav,
        Some("pcm") => Form::Pcm,
        // That provider gives mp3 where none is named, and some clients name that to all: what it is stands in the answer's
        // head, and in its first bytes, by which they tell.
        None | Some("mp3") => {
            asked.ignored.add("response_format");
            Form::Wav
        }
        Some(given) => {
            let given: String = given.chars().take(20).collect();
            let why = format!("response_format: {given} cannot be had from this upstream; ask for wav or pcm");
            asked.ignored.unless(strict, Fault::invalid(why).at("response_format"))?;
            Form::Wav
        }
    };
    asked.conversation.medium = Medium::Speech(speech);
    asked.conversation.say(Role::User, Part::Text(input));
    Ok(asked)
}

fn voice<'a>(field: &Field<'a>) -> Result<Text<'a>, Fault> {
    let name = if field.value.get().starts_with('{') { field.read::<Named<'a>>()?.id } else { field.read()? };
    let known = VOICES.iter().find(|(theirs, _)| *theirs == &*name);
    Ok(known.map_or(name, |(_, ours)| Text::from(*ours)))
}
