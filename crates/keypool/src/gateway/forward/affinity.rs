//! Requests that begin alike go to one owner, whose provider still has their beginning at hand.
//!
//! What they have in common is a session that the client names, a `prompt_cache_key`, or the prompt's own head. Of that a
//! number is made with what only this gateway and its like know, so that nobody can aim at an owner.

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use keypool_dialect::{Conversation, Part};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tower_keypool::{Affinity, Demand};

use crate::{
    gateway::admit::{
        headers::{Seen, is_ours},
        tenant::Tenant,
        token::Token,
    },
    outgoing::Outgoing,
};

/// What requests are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Nothing: any owner serves.
    Off,
    /// What the client says itself.
    #[default]
    Session,
    /// That, or else how the prompt begins.
    Prompt,
}

/// How requests find the owner that served their like.
#[derive(Clone, Debug)]
pub struct Nearness {
    /// What they are told apart by.
    pub by: By,
    /// Where a client names its session.
    pub header: HeaderName,
}

impl Default for Nearness {
    fn default() -> Self {
        Self { by: By::default(), header: HeaderName::from_static("x-keypool-session") }
    }
}

impl Nearness {
    /// The session that a client names.
    pub(in crate::gateway) fn session<'h>(&self, headers: &'h HeaderMap, seen: &Seen<'_>) -> Option<&'h HeaderValue> {
        // Most requests say nothing that is for this gateway alone.
        let may_name = self.by != By::Off && (seen.ours || !is_ours(self.header.as_str()));
        may_name.then(|| headers.get(&self.header)).flatten()
    }
}

/// A body with more is not read for a key of its own.
const LOOKED_THROUGH: usize = 1 << 20;
/// What clients of `OpenAI`'s call such a key.
pub(in crate::gateway) const PROMPT_CACHE_KEY: &str = "prompt_cache_key";

/// The number of a session that the client named, in a request's head.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Session(pub(in crate::gateway) u64);

/// Makes numbers for one request.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Numbers {
    by: By,
    salt: Sha256,
}

impl Numbers {
    /// Of a tenant's request; `None` where any owner serves.
    pub(in crate::gateway) fn of(nearness: &Nearness, token: &Token, tenant: &Tenant) -> Option<Self> {
        (nearness.by != By::Off).then(|| {
            let mut salt = Sha256::new();
            salt.update(b"keypool affinity\n");
            token.salt(&mut salt);
            salt.update(tenant.name().as_bytes());
            Self { by: nearness.by, salt }
        })
    }

    /// Of a session that the client names.
    pub(in crate::gateway) fn session(&self, name: &[u8]) -> Affinity {
        self.number(b"session", [name])
    }

    fn number<'a>(&self, kind: &[u8], texts: impl IntoIterator<Item = &'a [u8]>) -> Affinity {
        let mut hash = self.salt.clone();
        hash.update(b"\n");
        hash.update(kind);
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let digest = hash.finalize();
        let (first, _) = digest.split_first_chunk::<8>().expect("it is 32 bytes long");
        Affinity::Near(u64::from_be_bytes(*first))
    }

    /// Of a request that is translated; `keyed`: its body, where that may have a key of its own.
    pub(in crate::gateway) fn conversation(
        &self,
        conversation: &Conversation<'_>,
        keyed: Option<&[u8]>,
    ) -> Option<Affinity> {
        if let Some(key) = keyed.and_then(cache_key) {
            return Some(self.session(key.as_bytes()));
        }
        if self.by != By::Prompt {
            return None;
        }
        let first = conversation.turns.first().and_then(|turn| turn.parts.first());
        let first = match first {
            Some(Part::Text(text)) => Some(text.as_bytes()),
            _ => None,
        };
        let system = conversation.system.iter().map(|text| text.as_bytes());
        Some(self.number(b"prompt", system.chain(first)))
    }

    /// Of a native request, where its body was read already; `None` where it was not, or says nothing.
    fn native(&self, path: &str, body: &Outgoing) -> Option<Affinity> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow, alias = "system_instruction", rename = "systemInstruction")]
            system: Option<&'a serde_json::value::RawValue>,
            #[serde(borrow, default)]
            contents: Vec<&'a serde_json::value::RawValue>,
        }
        if self.by != By::Prompt || !path.contains("enerateContent") {
            return None;
        }
        let body = body.whole()?;
        let head: Head<'_> = serde_json::from_slice(body).ok()?;
        let system = head.system.map(|system| system.get().as_bytes());
        let first = head.contents.first().map(|first| first.get().as_bytes());
        first?;
        Some(self.number(b"prompt", system.into_iter().chain(first)))
    }
}

/// A native request with [`Numbers`] in its head goes by how its prompt begins, where its body was read already.
pub(in crate::gateway) fn follow(parts: &mut Parts, body: &Outgoing) {
    if let Some(numbers) = parts.extensions.remove::<Option<Numbers>>().flatten()
        && let Some(near) = numbers.native(parts.uri.path(), body)
    {
        let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
        parts.extensions.insert(demand.affinity(near));
    }
}

/// The key that a client of `OpenAI`'s gives requests that begin alike.
fn cache_key(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Keyed {
        prompt_cache_key: Option<String>,
    }
    let read = || serde_json::from_slice::<Keyed>(body).ok()?.prompt_cache_key;
    (body.len() <= LOOKED_THROUGH).then(read).flatten()
}
