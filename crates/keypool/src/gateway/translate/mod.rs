//! A request in another dialect than the provider's: understood, asked anew, and answered in its own.

pub(in crate::gateway) mod answers;
mod asked;
mod catalogue;
mod counting;
mod drawing;
mod elsewhere;
mod embedding;
mod fitted;
pub(in crate::gateway) mod holdings;
mod ignored;
pub(in crate::gateway) mod kept;
mod packed;
pub(in crate::gateway) mod recall;
mod refusal;
pub(in crate::gateway) mod room;
mod telling;
mod upstream;
pub(in crate::gateway) mod usage_wish;

pub(in crate::gateway) use asked::can_be_read;

use std::{pin::Pin, sync::Arc, time::UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use keypool_dialect::{Asked, Caller, Conversation, Exchange, Fault, Ignored, Kind, Shape, Text, gemini, openai};
use tower::Service;
use tower_keypool::{BoxError, Clock, Demand, Error, KeyMask, KeyPool, ServedBy};

use self::{
    answers::Answers,
    asked::{Unread, read, request},
    elsewhere::{Handed, Onward, hinted},
    fitted::{Fitted, LeftOut},
    holdings::{Holdings, Named},
    recall::Memory,
    refusal::{Failed, bad_model, mask, refused, unread, upstream_fault},
    room::Held,
    upstream::{check, send},
    usage_wish::Unasked,
};
use crate::{
    fetch::Fetcher,
    gateway::{
        admit::tenant::{NOT_THIS_MODEL, Tenant},
        aliases::Aliases,
        answer::{body::Said, unpacked::Unpacked},
        connection::pace::Arriving,
        dialect::Dialect,
        farewell::Farewell,
        forward::{
            affinity::{Numbers, PROMPT_CACHE_KEY},
            catalogue::{Catalogues, Shelves},
            resource,
            wishes::Wish,
        },
        route::{deployment::Deployment, providers::Beside, task::Task, way::Own},
    },
    outgoing::Outgoing,
    status::{Outcome, Traffic},
};

/// Translates for one request.
pub(super) struct Translator<S> {
    pub(super) stack: S,
    pub(super) caller: &'static dyn Caller,
    pub(super) strict: bool,
    pub(super) tenant: Arc<Tenant>,
    /// How it is to be served, and who is told what it costs.
    pub(super) wish: Wish,
    /// What tells requests apart that had better meet different owners.
    pub(super) numbers: Option<Numbers>,
    /// `None`: nothing is fetched.
    pub(super) fetcher: Option<Fetcher>,
    pub(super) clock: Clock,
    pub(super) farewell: Arc<Farewell>,
    pub(super) traffic: Arc<Traffic>,
    /// The caller's.
    pub(super) dialect: Dialect,
    /// How the gateway's own provider is met.
    pub(super) own: Own,
    /// Other names of the models of whoever it goes to.
    pub(super) aliases: Aliases,
    /// Providers beside it.
    pub(super) others: Vec<Beside<S>>,
    /// The one of them that takes what nobody names.
    pub(super) home: Option<Beside<S>>,
    /// It takes all, since the path names it.
    pub(super) only: bool,
    /// The model that is asked for, where no provider was named for it.
    pub(super) nobodys: Option<String>,
    /// What was answered before.
    pub(super) memory: Memory,
    /// Whose what is that requests name.
    pub(super) holdings: Holdings,
    /// The pool of the gateway's own provider.
    pub(super) pool: Option<KeyPool>,
    /// What it has of the room for requests' bodies.
    pub(super) held: Held,
    /// The same of the room for answers.
    pub(super) answers: Answers,
    /// Who is not asked what streams cost.
    pub(super) unasked: Unasked,
    /// It is read only to count it: nothing is refused for how its body is written.
    pub(super) may_go_unread: bool,
    /// What was heard of the models of providers beside it.
    pub(super) catalogues: Arc<Catalogues>,
    /// What knows the models of the gateway's own provider, where it is asked for them.
    pub(super) shelves: Option<Shelves>,
}

type Answered<B> = (Outcome, Response<Said<B>>);
/// A translation under way.
pub(super) type Translation<B> = Pin<Box<dyn Future<Output = Answered<B>> + Send>>;

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers it, whatever happens.
    pub(super) async fn answer(self, task: Task, parts: Parts, body: Arriving) -> Answered<B> {
        let (caller, pool) = (self.caller, self.pool.clone());
        let answered = if parts.method == task.method() {
            self.perform(task, parts, body).await
        } else {
            Err(Fault::new(Kind::NotSupported, format!("{} is not for this path", parts.method)).into())
        };
        answered.unwrap_or_else(|mut failed| {
            mask(&mut failed.fault, pool.as_ref());
            (failed.outcome, refused(caller, failed))
        })
    }

    async fn perform(mut self, task: Task, mut parts: Parts, body: Arriving) -> Result<Answered<B>, Failed> {
        match &task {
            Task::Models => return self.models(parts).await,
            Task::Model(name) => return self.model(name, parts).await,
            _ => {}
        }
        let path = task.path(self.dialect);
        let bytes = match read(&parts.headers, body, &mut self.held).await {
            Ok(bytes) => bytes,
            Err(Unread { packed: Some(packed), .. }) if self.may_go_unread => {
                return self.hand_on_unread(path, parts, packed).await;
            }
            Err(Unread { fault, .. }) => return Err(unread(self.pointing_past(fault))),
        };
        let bytes = match parts.extensions.remove::<Deployment>() {
            Some(deployment) => deployment.named_in(bytes),
            None => bytes,
        };
        if let Onward::HandedOn(stack, path) = self.onward(path, &parts.headers, &bytes)? {
            let compatible = path.starts_with("/v1beta/openai");
            let mut named =
                if compatible { self.way_of_compatible(&parts.headers, &bytes).await? } else { Named::default() };
            if !compatible {
                named.0 = self.way_to_its_own(&task, &bytes).await?;
            }
            return self.hand_on(stack, &path, (parts, named), Some(Handed::Read(bytes))).await;
        }
        let (nobodys, dialect) = (self.nobodys.take(), self.dialect);
        let done = match task {
            Task::Other(path) => {
                Err(Fault::new(Kind::NotSupported, format!("{path} is not translated for the provider of this model"))
                    .into())
            }
            Task::Count => self.count(parts, bytes).await,
            Task::Embeddings => {
                learn_tokens(&bytes).await;
                self.embed(parts, bytes).await
            }
            Task::Complete => {
                learn_tokens(&bytes).await;
                self.chat(parts, bytes, (false, None)).await
            }
            Task::Draw => self.draw(parts, bytes, Vec::new()).await,
            Task::Redraw => {
                let (wish, originals) = openai::editing(&bytes)?;
                drop(bytes);
                self.draw(parts, wish.into(), originals).await
            }
            Task::CountResponse => {
                let (bytes, _) = self.memory.recall(self.tenant.name(), bytes, self.clock.tick())?;
                self.count(parts, bytes).await
            }
            Task::Respond => {
                let (bytes, before) = self.memory.recall(self.tenant.name(), bytes, self.clock.tick())?;
                self.chat(parts, bytes, (true, before)).await
            }
            _ => self.chat(parts, bytes, (false, None)).await,
        };
        match nobodys {
            Some(model) => done.map_err(|failed| hinted(failed, &model, dialect)),
            None => done,
        }
    }

    /// Whether it is remembered, and the id of the response that it goes on from, if any.
    async fn chat(
        mut self,
        parts: Parts,
        bytes: Bytes,
        (remembered, before): (bool, Option<String>),
    ) -> Result<Answered<B>, Failed> {
        let asked = self.caller.conversation(&bytes, self.strict)?;
        let Asked { mut conversation, mut ignored, usage_wanted, form, mut repeated } = asked;
        repeated.before = before;
        self.mask(&mut ignored);
        self.may_use(&conversation.model)?;
        let requested = self.resolve(&mut conversation.model);
        let always = ignored.clone();
        gemini::fit(&mut conversation, &mut ignored, self.strict)?;
        if let Some(numbers) = &self.numbers {
            let keyed = ignored.may_have(PROMPT_CACHE_KEY).then_some(&bytes[..]);
            self.wish.near(|| numbers.conversation(&conversation, keyed));
        }
        let nothing = resource::names_nothing(&conversation);
        let names = resource::names_of(&conversation);
        let way = self.way_to(&names).await?;
        let near = self.bring(&mut conversation).await?;
        let stream = conversation.stream;
        let verb = if stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
        // By the name that was asked for: the stack finds the best that it stands for.
        let path = gemini::path_of(&requested, verb).ok_or_else(bad_model)?;
        let pieces = gemini::generate(&conversation, bytes.clone())?;
        let demand = Demand::any_model().about_tokens(gemini::about_tokens(&conversation, &pieces));
        let left_out = LeftOut::of(always, ignored);
        let fitted = Fitted::of(&conversation, (self.caller, self.strict), bytes.clone(), near, &left_out);
        let demand = demand.written_for(gemini::name(&conversation.model), move |model| fitted.write(model));
        let demand = resource::naming(Self::led(self.wish.on(demand), way), &names);
        let demand = if nothing { demand.names_nothing() } else { demand };
        let shape = Shape {
            model: requested,
            stream,
            usage: usage_wanted,
            unique: recall::unique()?,
            created: self.created(),
            form,
            repeated,
        };
        let listener = gemini::Listener::of(&conversation);
        let mut voice = self.caller.voice(shape);
        if remembered {
            let whose = (Arc::clone(self.tenant.name()), self.clock.clone());
            voice = self.memory.listening(voice, &bytes, whose);
        }
        let exchange = Exchange::new(Box::new(listener), voice);
        drop(conversation);
        if stream {
            let request = request(Method::POST, &path, &parts, pieces, Some(demand));
            return self.tell(request, exchange, &left_out).await;
        }
        let again = || request(Method::POST, &path, &parts, pieces.clone(), Some(demand.clone()));
        self.whole(again, exchange, &left_out).await
    }

    /// Fetches what stands elsewhere; where that is off, whoever writes the request refuses it.
    async fn bring(&mut self, conversation: &mut Conversation<'_>) -> Result<Vec<(&'static str, Bytes)>, Fault> {
        match &self.fetcher {
            Some(fetcher) if conversation.far().next().is_some() => fetcher.bring(conversation).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Puts a model in the place of its other name; the name that was asked for.
    fn resolve(&self, model: &mut Text<'_>) -> String {
        let requested = model.to_string();
        if let Some(first) = self.aliases.first(&requested) {
            *model = first.to_string().into();
        }
        requested
    }

    /// A good answer, read to its end.
    async fn fetch(&mut self, request: Request<Outgoing>) -> Result<(Option<ServedBy>, Bytes), Failed> {
        fetch(self.stack.clone(), &self.traffic, &self.answers, request).await
    }

    /// Whether the tenant may ask this model.
    fn may_use(&self, model: &str) -> Result<(), Fault> {
        let own = self.tenant.may_use(model).then_some(());
        own.ok_or_else(|| Fault::of_status(StatusCode::FORBIDDEN, NOT_THIS_MODEL).at("model"))
    }

    fn created(&self) -> i64 {
        self.clock.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
    }
}

/// Whoever reads texts that come as ids of tokens has learnt these: others of this thread would wait behind it.
async fn learn_tokens(body: &[u8]) {
    if openai::has_unlearnt_tokens(body) {
        let _ = tokio::task::spawn_blocking(openai::learn_tokens).await;
    }
}

/// A stack's good answer, read to its end.
async fn fetch<S, B>(
    stack: S,
    traffic: &Traffic,
    answers: &Answers,
    request: Request<Outgoing>,
) -> Result<(Option<ServedBy>, Bytes), Failed>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // The stack holds it to its end: one that breaks off is asked for again there.
    let request = demanding(request, |demand| answers.bound(demand));
    let response = check(send(stack, traffic, request).await?).await?;
    let (mut head, body) = response.into_parts();
    let (served_by, mask) = (head.extensions.remove::<ServedBy>(), head.extensions.remove::<KeyMask>());
    match answers.read(Unpacked::of(&head, body)).await {
        Ok(body) => Ok((served_by, if let Some(mask) = mask { mask.hide_escaped(body) } else { body })),
        Err(fault) if fault.kind == Kind::Overloaded => Err(Failed { served_by, ..unread(fault) }),
        Err(fault) => Err(upstream_fault(fault, served_by)),
    }
}

/// A request that demands this, too.
fn demanding(mut request: Request<Outgoing>, more: impl FnOnce(Demand) -> Demand) -> Request<Outgoing> {
    let demand = request.extensions_mut().remove().unwrap_or_else(Demand::any_model);
    request.extensions_mut().insert(more(demand));
    request
}

fn answer<B>(body: impl Into<Bytes>, served_by: Option<ServedBy>, ignored: &Ignored) -> Answered<B> {
    let mut response = Response::new(Said::from(Full::new(body.into())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ignored::name(&mut response, served_by, ignored);
    (Outcome::Answered, response)
}

#[cfg(test)]
mod tests;
