//! What was answered before, for clients of `/v1/responses` that name it in the place of saying it again: an item
//! (`item_reference`, or a picture without what it looks like) or a whole response (`previous_response_id`). In this process's memory, each tenant's own, an hour long.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use keypool_dialect::{Event, Fault, Kind, Voice};
use memchr::memmem;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use tower_keypool::{Clock, Tick};

use super::kept;

/// It is forgotten after so long, or when all of it together is more, in bytes.
const LIFE: Duration = Duration::from_secs(60 * 60);
const MOST: usize = 16 << 20;
/// A conversation that is longer is not kept.
const LONGEST: usize = 2 << 20;

/// What is remembered. A cheap handle.
#[derive(Clone, Default)]
pub(in crate::gateway) struct Memory(Arc<Mutex<Held>>);

/// Whose, and how it is called.
type Name = (Arc<str>, String);

#[derive(Default)]
struct Held {
    all: HashMap<Name, Box<RawValue>>,
    /// The oldest first, and when each came.
    order: VecDeque<(Tick, Name)>,
    bytes: usize,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people said stands in it.
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Held {
    fn insert(&mut self, name: Name, value: Box<RawValue>, now: Tick) {
        self.bytes += value.get().len() + name.1.len();
        self.order.push_back((now, name.clone()));
        let length = name.1.len();
        if let Some(before) = self.all.insert(name, value) {
            self.bytes -= before.get().len() + length;
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Tick) {
        while let Some((at, _)) = self.order.front()
            && (self.bytes > MOST || now.since(*at) > LIFE)
        {
            let Some((_, name)) = self.order.pop_front() else { return };
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &Name) {
        if let Some(gone) = self.all.remove(name) {
            self.bytes -= gone.get().len() + name.1.len();
        }
    }
}

/// What of an item says whether it stands for another.
#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    /// What was drawn.
    result: Option<IgnoredAny>,
    role: Option<IgnoredAny>,
    content: Option<IgnoredAny>,
}

impl Reference {
    /// The id of the item that it stands for.
    fn named(self) -> Option<String> {
        match self.kind.as_deref() {
            Some("item_reference") => self.id,
            // So some clients name a picture.
            Some("image_generation_call") if self.result.is_none() => self.id,
            // The kind may be left out.
            None if self.role.is_none() && self.content.is_none() => self.id,
            _ => None,
        }
    }
}

/// Whether an item stands for another, in one look without a copy: of what has an `id` somewhere most refers to nothing.
fn has_reference(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        input: Vec<Reference>,
    }
    serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.input.into_iter().any(|item| item.named().is_some()))
}

impl Memory {
    pub(super) fn find(&self, tenant: &Arc<str>, id: &str, now: Tick) -> Option<Box<RawValue>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.forget(now);
        held.all.get(&(Arc::clone(tenant), id.to_owned())).cloned()
    }

    /// A request with all that it names in its place, and the response that it goes on from. Most name nothing, and stay as
    /// they are.
    ///
    /// # Errors
    /// Where it names what is not known here.
    pub(super) fn recall(&self, tenant: &Arc<str>, body: Bytes, now: Tick) -> Result<(Bytes, Option<String>), Fault> {
        let names = |word: &str| memmem::find(&body, word.as_bytes()).is_some();
        let any = [r#""item_reference""#, r#""previous_response_id""#, r#""image_generation_call""#];
        let refers = any.into_iter().any(names) || names(r#""id""#) && has_reference(&body);
        if !refers {
            return Ok((body, None));
        }
        // What is wrong with it is said by whoever reads it.
        let Ok(mut fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(&body) else {
            return Ok((body, None));
        };
        let before = fields.remove("previous_response_id").and_then(|id| text(&id));
        let Some(items) = fields.get("input").and_then(|input| items_of(input)) else { return Ok((body, None)) };
        let mut all: Vec<Box<RawValue>> = Vec::new();
        if let Some(id) = &before {
            let said = self.find(tenant, id, now).ok_or_else(|| {
                let why = format!("Previous response with id '{id}' not found: this gateway remembers one for an hour");
                Fault::new(Kind::Invalid, why).at("previous_response_id")
            })?;
            all.extend(serde_json::from_str::<Vec<Box<RawValue>>>(said.get()).unwrap_or_default());
        }
        for item in items {
            let reference: Option<Reference> = serde_json::from_str(item.get()).ok();
            all.push(match reference.and_then(Reference::named) {
                None => item,
                Some(id) => self.find(tenant, &id, now).ok_or_else(|| {
                    let why =
                        format!("Item with id '{id}' not found: send it whole (`store: false` makes clients do so)");
                    Fault::new(Kind::NotFound, why).at("input")
                })?,
            });
        }
        if let Ok(input) = serde_json::value::to_raw_value(&all) {
            fields.insert("input".to_owned(), input);
        }
        Ok((serde_json::to_vec(&fields).map_or(body, Bytes::from), before))
    }

    /// Listens to the answer of a request, which had all in its place, unless it is not to be kept.
    pub(super) fn listening(
        &self,
        voice: Box<dyn Voice>,
        body: &[u8],
        (tenant, clock): (Arc<str>, Clock),
    ) -> Box<dyn Voice> {
        #[derive(Deserialize)]
        struct Asked<'a> {
            #[serde(borrow)]
            input: &'a RawValue,
            #[serde(default)]
            store: Option<bool>,
        }
        let Ok(Asked { input, store }) = serde_json::from_slice::<Asked<'_>>(body) else { return voice };
        let kept = store != Some(false) && input.get().len() <= LONGEST;
        let Some(items) = kept.then(|| items_of(input)).flatten() else { return voice };
        Box::new(Listening { voice, items, memory: self.clone(), tenant, clock })
    }

    fn keep(&self, tenant: &Arc<str>, mut conversation: Vec<Box<RawValue>>, response: &[u8], now: Tick) {
        #[derive(Deserialize)]
        struct Response {
            id: String,
            output: Vec<Box<RawValue>>,
        }
        let Ok(Response { id, output }) = serde_json::from_slice(response) else { return };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for item in &output {
            let named = serde_json::from_str::<Reference>(item.get()).ok().and_then(|item| item.id);
            if let Some(named) = named {
                held.insert((Arc::clone(tenant), named), item.clone(), now);
            }
        }
        let head = kept::head(response, conversation.len());
        conversation.extend(output);
        if let Ok(whole) = serde_json::value::to_raw_value(&conversation)
            && whole.get().len() <= LONGEST
        {
            if let Some(head) = head {
                held.insert((Arc::clone(tenant), kept::head_of(&id)), head, now);
            }
            held.insert((Arc::clone(tenant), id), whole, now);
        }
    }

    /// Forgets these.
    pub(super) fn drop_all(&self, tenant: &Arc<str>, names: impl IntoIterator<Item = String>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            held.remove(&(Arc::clone(tenant), name));
        }
    }
}

/// What no other answer is called.
pub(super) fn unique() -> Result<String, Fault> {
    let number = getrandom::u64().map_err(|_| Fault::new(Kind::Internal, "the system has no random numbers"))?;
    Ok(format!("{number:016x}"))
}

fn text(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}

/// The items of an input, which may be a text.
fn items_of(input: &RawValue) -> Option<Vec<Box<RawValue>>> {
    if input.get().starts_with('"') {
        let said = serde_json::json!({ "role": "user", "content": text(input)? });
        return serde_json::value::to_raw_value(&said).ok().map(|item| vec![item]);
    }
    serde_json::from_str(input.get()).ok()
}

/// Says an answer, and keeps it once it is whole.
struct Listening {
    voice: Box<dyn Voice>,
    items: Vec<Box<RawValue>>,
    memory: Memory,
    tenant: Arc<str>,
    clock: Clock,
}

impl Voice for Listening {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        self.voice.say(event, out);
    }

    fn refuses(&self) -> Option<Fault> {
        self.voice.refuses()
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let from = out.len();
        self.voice.end(out);
        let said = &out[from..];
        // Of a stream's end the last event has all of it.
        let mut events = said.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data: "));
        let response = match events.next_back() {
            None => Some(said.to_vec()),
            Some(event) => {
                serde_json::from_slice::<Value>(event).ok().map(|event| event["response"].to_string().into())
            }
        };
        if let Some(response) = response {
            self.memory.keep(&self.tenant, std::mem::take(&mut self.items), &response, self.clock.tick());
        }
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.voice.fail(fault, out);
    }

    fn media_type(&self) -> &'static str {
        self.voice.media_type()
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        self.voice.pause(out);
    }
}

#[cfg(test)]
mod tests {
    use tower_keypool::ManualClock;

    use super::*;

    fn of(text: &str) -> Box<RawValue> {
        serde_json::value::to_raw_value(&text).unwrap()
    }

    #[test]
    fn the_oldest_is_forgotten_and_all_of_it_in_time() {
        let time = ManualClock::at(std::time::UNIX_EPOCH);
        let tick = time.clock().tick();
        let (memory, whose): (_, Arc<str>) = (Memory::default(), "a".into());
        let long = "x".repeat(MOST / 4);
        for n in 0..6 {
            memory.0.lock().unwrap().insert((Arc::clone(&whose), n.to_string()), of(&long), tick);
        }
        let known = |id: &str, now| memory.find(&whose, id, now).is_some();
        assert!(!known("0", tick) && !known("2", tick) && known("3", tick) && known("5", tick));
        assert!(memory.0.lock().unwrap().bytes <= MOST);
        assert!(memory.find(&"b".into(), "5", tick).is_none(), "somebody else's");
        time.advance(LIFE + Duration::from_secs(1));
        assert!(!known("5", time.clock().tick()));
        assert_eq!(memory.0.lock().unwrap().bytes, 0);
    }
}
