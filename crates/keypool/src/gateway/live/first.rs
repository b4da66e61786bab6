//! The first message of a session, and the client until there is a provider that listens to it.

use std::slice;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    frames::{CLOSE, Frames, POLICY, PONG, PROTOCOL, Said, TOO_BIG, asking, closing, control},
    pipe::{BUFFER, Ending},
    session::{Beginning, LONGEST, may_be_sent},
    setup::{CONNECT, CREATE, Kind},
};
use crate::gateway::{
    admit::{capability::hash_of, tenant::MODEL},
    forward::resource::named_in,
};

/// The first message.
pub(super) struct First {
    /// As it came, but for another name of its model.
    pub(super) raw: Vec<u8>,
    /// What came behind it, to be passed on.
    pub(super) behind: Vec<u8>,
    pub(super) model: Option<String>,
    /// What belongs to somebody.
    pub(super) names: Vec<String>,
    /// What came with it already, and what follows the rest.
    pub(super) more: Vec<Said>,
    pub(super) frames: Frames,
}

/// Reads the first message; `None`: the client ended before.
pub(super) async fn first(client: &mut TokioIo<Upgraded>, beginning: &Beginning) -> Option<Result<First, Ending>> {
    let (mut raw, mut begins, mut buffer) = (Vec::new(), 0, vec![0; BUFFER]);
    let mut frames = beginning.kind.frames();
    let (text, behind) = loop {
        let read = client.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        let (mut said, mut rest) = (None, &buffer[..read]);
        while said.is_none() && !rest.is_empty() {
            if frames.is_at_border() {
                begins = raw.len();
            }
            let (took, _) = frames.step(rest, &mut |one| said = Some(one));
            raw.extend_from_slice(&rest[..took]);
            rest = &rest[took..];
            // Nobody else is there yet who would answer it.
            if let Some(Said::Ping(inside)) = said {
                raw.truncate(begins);
                tell(client, &control(PONG, &inside)).await?;
                said = None;
            }
        }
        match said {
            None | Some(Said::Ping(_)) if raw.len() <= LONGEST + BUFFER => {}
            None | Some(Said::Ping(_) | Said::Long(_)) => {
                return Some(Err(Ending(TOO_BIG, format!("the first message is longer than {LONGEST} bytes"))));
            }
            Some(Said::Broken(fault)) => return Some(Err(fault.into())),
            Some(Said::Close(code, _)) => {
                take_leave(client, code).await;
                return None;
            }
            Some(Said::Data(text)) => break (text, rest.to_vec()),
        }
    };
    let mut more = Vec::new();
    frames.pass(&behind, |one| more.push(one));
    let (raw, text) = match beginning.kind {
        Kind::Setup => (raw, text),
        // Of a field that stands there twice the provider shall read what is read here.
        Kind::Event => {
            let text = serde_json::from_slice(&text).map_or(text, |said: Value| said.to_string().into_bytes());
            (asking(&text), text)
        }
    };
    Some(read_first(&text, beginning).map(|(model, names)| {
        let real = model.as_deref().and_then(|model| beginning.aliases.first(model));
        let (raw, model) = match (beginning.aliases.resolved_in(&text), real) {
            (Some(text), Some(real)) => (asking(&text), Some(real.to_string())),
            _ => (raw, model),
        };
        First { raw, behind, model, names, more, frames }
    }))
}

/// The model that the first message is for, and what it names.
fn read_first(text: &[u8], beginning: &Beginning) -> Result<(Option<String>, Vec<String>), Ending> {
    let no_json = || Ending(PROTOCOL, "the first message is no JSON".to_owned());
    let said: Value = serde_json::from_slice(text).map_err(|_| no_json())?;
    let (model, own, is_settled) = match beginning.kind {
        Kind::Setup => of_setup(&said)?,
        Kind::Event => of_event(&said)?,
    };
    let (mut names, models) = named_in(text).map_err(|_| no_json())?;
    let tenant = &beginning.opening.tenant;
    // Whoever may ask some models names one; a token of the provider's own may name it, which nobody here can read.
    if models.iter().any(|model| !tenant.may_use(model)) || (tenant.is_restricted() && model.is_none() && !is_settled) {
        return Err(MODEL.into());
    }
    names.extend(own);
    Ok((model, names))
}

/// The model of a session, what it goes on with, and whether that settles which model it is.
type Opens = (Option<String>, Vec<String>, bool);

fn of_setup(said: &Value) -> Result<Opens, Ending> {
    let setup = said.get("setup").filter(|setup| setup.is_object());
    let setup = setup.ok_or_else(|| Ending(POLICY, "the first message must be a setup".to_owned()))?;
    let resumed = ["sessionResumption", "session_resumption"].map(|field| setup[field]["handle"].as_str());
    Ok((model_in(setup), resumed.into_iter().flatten().map(name_of).collect(), false))
}

/// An event, or several of which the first one tells.
fn of_event(said: &Value) -> Result<Opens, Ending> {
    let events = said["events"].as_array().map_or(slice::from_ref(said), Vec::as_slice);
    let kind = |event: &Value| event["event_type"].as_str().unwrap_or_default().to_owned();
    let mut begin =
        events.iter().map(|event| (kind(event), event)).filter(|(kind, _)| [CONNECT, CREATE].contains(&&**kind));
    match (begin.next(), begin.next(), events.first().map(kind)) {
        // Its model was looked at when it was made.
        (Some((begun, event)), None, Some(first)) if begun == CONNECT && first == CONNECT => {
            let id = event["id"].as_str().filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| Ending(POLICY, format!("{CONNECT} must name an interaction: id")))?;
            Ok((None, vec![format!("interactions/{id}")], true))
        }
        (Some((begun, event)), None, Some(first)) if begun == CREATE && first == CREATE => {
            Ok((model_in(event), Vec::new(), false))
        }
        _ => Err(Ending(POLICY, format!("the first event, and no other, must be {CONNECT} or {CREATE}"))),
    }
}

fn model_in(fields: &Value) -> Option<String> {
    fields["model"].as_str().map(|model| model.strip_prefix("models/").unwrap_or(model).to_owned())
}

/// What a handle to resume by is called in the records, where it cannot be read.
pub(super) fn name_of(handle: &str) -> String {
    format!("sessions/{}", hash_of(handle.as_bytes()))
}

/// Until the client goes. What else it says before it has a provider is kept, up to a bound.
pub(super) async fn left(client: &mut TokioIo<Upgraded>, first: &mut First) {
    let mut buffer = vec![0; BUFFER];
    while first.behind.len() < BUFFER {
        let Ok(read @ 1..) = client.read(&mut buffer).await else { return };
        first.behind.extend_from_slice(&buffer[..read]);
        let mut said = Vec::new();
        first.frames.pass(&buffer[..read], |one| said.push(one));
        for one in said {
            match one {
                // The provider hears it, too, and says so once more.
                Said::Ping(inside) if tell(client, &control(PONG, &inside)).await.is_none() => return,
                Said::Ping(_) => {}
                Said::Close(code, _) => return take_leave(client, code).await,
                other => first.more.push(other),
            }
        }
    }
    std::future::pending::<()>().await;
}

/// Answers its goodbye.
async fn take_leave(client: &mut TokioIo<Upgraded>, code: u16) {
    let said = if may_be_sent(code) { closing(code, "") } else { control(CLOSE, b"") };
    let _ = tell(client, &said).await;
}

/// `None`: the client went.
pub(super) async fn tell(client: &mut TokioIo<Upgraded>, frame: &[u8]) -> Option<()> {
    client.write_all(frame).await.ok()?;
    client.flush().await.ok()
}
