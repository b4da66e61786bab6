//! Requests and answers as values.

use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, Fault, Form, Kind, Shape, gemini};
use serde_json::Value;

/// What the upstream gets for a request.
pub(crate) fn asked(caller: &dyn Caller, body: &Value) -> Result<Value, Fault> {
    let bytes = Bytes::from(body.to_string());
    let asked = caller.conversation(&bytes, true)?;
    let pieces = gemini::generate(&asked.conversation, bytes.clone())?;
    Ok(serde_json::from_slice(&pieces.concat()).unwrap())
}

pub(crate) fn shape(stream: bool) -> Shape {
    Shape {
        model: "gemini-3.8-flash".into(),
        stream,
        usage: true,
        unique: "0abc".into(),
        created: 1_800_000_000,
        form: Form::Object,
        ..Shape::default()
    }
}

/// What the caller gets for a whole answer.
pub(crate) fn whole(caller: &dyn Caller, answer: &Value) -> Result<Value, Fault> {
    let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(false)));
    exchange.answers("gemini-3.8-flash");
    Ok(serde_json::from_slice(&exchange.whole(answer.to_string().as_bytes())?).unwrap())
}

/// What the caller gets for a stream that comes in chunks of this size.
pub(crate) fn streamed(caller: &dyn Caller, stream: &str, size: usize) -> String {
    let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(true)));
    exchange.answers("gemini-3.8-flash");
    let mut out = Vec::new();
    for chunk in stream.as_bytes().chunks(size) {
        exchange.hear(Bytes::copy_from_slice(chunk), &mut out);
    }
    exchange.end(&mut out);
    assert!(exchange.is_over());
    String::from_utf8(out).unwrap()
}

/// Events as the upstream writes them.
pub(crate) fn events(values: &[Value]) -> String {
    values.iter().map(|value| format!("data: {value}\r\n\r\n")).collect()
}

/// The data of each event.
pub(crate) fn data(stream: &str) -> Vec<String> {
    stream.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

pub(crate) fn kind(fault: &Fault) -> (Kind, &str) {
    (fault.kind, fault.param.as_deref().unwrap_or_default())
}
