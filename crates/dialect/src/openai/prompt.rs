//! A request for a text to go on from, as there was before chats. A model of chats is told the text, and its answer is what
//! comes behind it.

use super::{request::NEVER_MATTER, sampling, texts};
use crate::{
    Asked, Fault, Part, Role,
    fields::{Field, Fields},
};

/// Fields that would change the answer and cannot be had, but for these values.
const ONLY_AS: [(&str, &[&str]); 2] = [("suffix", &[r#""""#]), ("logit_bias", &["{}"])];

/// What of a request its answer repeats where `echo` is asked for.
pub(super) const PROMPT: &str = "prompt";

pub(super) fn read(body: &[u8], strict: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked::default();
    let (mut prompts, mut best_of, mut echo) = (Vec::new(), None, None);
    for field in Fields::read(body)?.given() {
        match &*field.name {
            "model" => asked.conversation.model = field.read()?,
            PROMPT => prompts = texts::read(&field)?,
            "logprobs" => asked.conversation.sampling.logprobs = Some(field.integer()?),
            "best_of" => best_of = Some(field),
            "echo" => echo = field.read::<bool>()?.then_some(field),
            _ if sampling::read(&field, &mut asked)? => {}
            _ if asked.ignored.takes(&field, &NEVER_MATTER, &ONLY_AS) => {}
            _ => asked.ignored.unless(strict, field.refused())?,
        }
    }
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    if let Some(field) = best_of {
        best(&field, &mut asked, strict)?;
    }
    let mut prompts = prompts.into_iter();
    let prompt = match (prompts.next(), prompts.next()) {
        (Some(prompt), None) if !prompt.trim().is_empty() => prompt,
        (_, None) => return Err(Fault::invalid("prompt is missing").at(PROMPT)),
        _ => {
            let why = "prompt: one text can be gone on from in a request; send each in one of its own";
            return Err(Fault::invalid(why).at(PROMPT));
        }
    };
    match echo {
        // How likely what was asked is nobody says.
        Some(field) if asked.conversation.sampling.logprobs.is_some() => {
            asked.ignored.unless(strict, field.refused())?;
        }
        Some(_) => {
            asked.repeated.echoed.insert(PROMPT.to_owned(), prompt.to_string().into());
        }
        None => {}
    }
    asked.conversation.say(Role::User, Part::Text(prompt));
    Ok(asked)
}

/// The best of as many as are wanted are these.
fn best(field: &Field<'_>, asked: &mut Asked<'_>, strict: bool) -> Result<(), Fault> {
    if field.integer::<u32>()? > asked.conversation.sampling.answers.unwrap_or(1) {
        return asked.ignored.unless(strict, field.refused());
    }
    asked.ignored.add("best_of");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Asked<'static>, Fault> {
        read(format!(r#"{{"model":"m",{fields}}}"#).leak().as_bytes(), true)
    }

    #[test]
    fn one_text_is_gone_on_from() {
        for prompt in [r#""Hello world""#, r#"["Hello world"]"#, "[9906,1917]", "[[9906,1917]]"] {
            let asked = with(&format!(r#""prompt":{prompt}"#)).unwrap();
            let said = &asked.conversation.turns[0];
            assert_eq!(said.role, Role::User);
            assert!(matches!(&said.parts[..], [Part::Text(text)] if &**text == "Hello world"), "{prompt}");
        }
        let body = r#""prompt":"x","max_tokens":256,"n":2,"best_of":2,"logprobs":3,"stop":"y","suffix":"","user":"u""#;
        let asked = with(body).unwrap();
        let sampling = asked.conversation.sampling;
        assert_eq!((sampling.most, sampling.answers, sampling.logprobs), (Some(256), Some(2), Some(3)));
        assert_eq!(asked.ignored.listed().unwrap(), "suffix, user, best_of");
    }

    #[test]
    fn what_is_wrong_or_cannot_be_had_is_named() {
        for (fields, place) in [
            (r#""n":1"#, "prompt"),
            (r#""prompt":"""#, "prompt"),
            (r#""prompt":[]"#, "prompt"),
            (r#""prompt":["a","b"]"#, "prompt"),
            (r#""prompt":["a",1]"#, "prompt[1]"),
            (r#""prompt":["a",null]"#, "prompt[1]"),
            (r#""prompt":"x","best_of":2"#, "best_of"),
            (r#""prompt":"x","suffix":"y""#, "suffix"),
            (r#""prompt":"x","echo":true,"logprobs":1"#, "echo"),
            (r#""prompt":"x","logprobs":true"#, "logprobs"),
            (r#""prompt":"x","n":0"#, "n"),
            (r#""prompt":"x","messages":[]"#, "messages"),
        ] {
            assert_eq!(with(fields).unwrap_err().param.as_deref(), Some(place), "{fields}");
        }
    }
}
