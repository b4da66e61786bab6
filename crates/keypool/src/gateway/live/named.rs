//! A tenant's socket at a provider of another dialect than Gemini's: what its messages name must be the tenant's own.

use std::sync::Arc;

use memchr::memmem;
use tower_keypool::Lease;

use super::{
    frames::{Frames, POLICY, PROTOCOL, Said, TOO_BIG},
    pipe::{Ending, Listener},
    reason::Judge,
    session::LONGEST,
    spelling::plain,
};
use crate::gateway::{
    admit::tenant::Tenant,
    forward::resource::{
        NOT_HERE, Resources,
        ids::{self, InField},
    },
};

/// A lease that is held, and who asks over the socket.
pub(super) struct Named {
    lease: Lease,
    judge: Judge,
    /// Whose what is, and who names it; `None`: whoever has the one token may name anything.
    tenant: Option<(Resources, Arc<Tenant>)>,
}

/// In what names something one of these stands, or an escape that may hide it. None of them is in base64, of which the
/// longest messages are.
const WORDS: [&str; 8] =
    ["\"prompt\"", "\"voice\"", "\"container", "\"conversation", "file_id", "vector_store_id", "response_id", "\\u00"];
/// What `conversation` says there that is no id.
const WHERE: [&str; 2] = ["auto", "none"];

fn may_name(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    WORDS.iter().any(|word| memmem::find(&lower, word.as_bytes()).is_some())
}

impl Named {
    /// `None`: its messages name nothing of anybody's.
    pub(super) fn new(lease: Lease, judge: Judge, resources: Option<Resources>, tenant: &Arc<Tenant>) -> Self {
        let tenant = resources.filter(|_| !tenant.is_default()).map(|resources| (resources, Arc::clone(tenant)));
        Self { lease, judge, tenant }
    }

    /// What follows the client's side.
    pub(super) fn frames(&self) -> Frames {
        let frames = if self.tenant.is_some() {
            Frames::new(LONGEST, |piece| may_name(&plain(piece)))
        } else {
            Frames::new(0, |_| false)
        };
        frames.of_client()
    }

    /// Its lease.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }
}

impl Listener for Named {
    async fn heard(&self, said: Said) {
        self.judge.hears(&said, &self.lease);
    }

    async fn asked(&self, said: Said) -> Result<(), Ending> {
        let Some((resources, tenant)) = &self.tenant else { return Ok(()) };
        let text = match said {
            Said::Close(..) | Said::Ping(_) | Said::Long(false) => return Ok(()),
            Said::Broken(fault) => return Err(fault.into()),
            Said::Long(true) => {
                let why = format!("a message of more than {LONGEST} bytes may not name what belongs to somebody");
                return Err(Ending(TOO_BIG, why));
            }
            Said::Data(text) => text,
        };
        if !may_name(&text) {
            return Ok(());
        }
        let named = ids::named_in(&text)
            .map_err(|_| Ending(PROTOCOL, "a message that may name what belongs to somebody is no JSON".to_owned()))?;
        let is_id = |id: &InField| !(id.field.ends_with("conversation") && WHERE.contains(&&*id.text));
        let ids: Vec<InField> = named.ids.into_iter().filter(is_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // The gateway's own provider has no name.
        let names: Vec<String> = ids.iter().map(|id| ids::kept_as("", &id.text)).collect();
        match resources.foreign(&names, tenant).await? {
            None => Ok(()),
            // The reason of a closing frame is short.
            Some(at) => Err(Ending(POLICY, format!("{}: {}", ids[at].field, NOT_HERE.message()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_names_nothing_wherever_it_is_cut() {
        let long = br"QUF\u002B".repeat(3);
        let hidden = [&long[..], br#"","pr\u006fmpt":"#, &long].concat();
        for at in 0..=long.len() {
            assert!(!may_name(&plain(&long[..at])) && !may_name(&plain(&long[at..])), "{at}");
        }
        for (most, step) in [(10, 1), (60, 7), (64, 64)] {
            for (text, names) in [(&long, false), (&hidden, true)] {
                let mut frames = Frames::new(most, |piece| may_name(&plain(piece)));
                let mut bytes = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
                bytes.extend_from_slice(text);
                let mut heard = Vec::new();
                bytes.chunks(step).for_each(|piece| frames.pass(piece, |said| heard.push(said)));
                let long = text.len() > most;
                assert!(!long || heard == [Said::Long(names)], "{most} {step}: {heard:?}");
            }
        }
    }
}
