//! Whose the model is that a request names, and requests that go on as they are: to a provider that speaks the caller's
//! dialect.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use keypool_dialect::{Fault, Kind, about_tokens_of_form, is_plain_form};
use tower::Service;
use tower_keypool::{BoxError, Demand, Error, KeyPool, ServedBy, Tick};

use super::{
    Answered, Failed, Translator,
    holdings::Named,
    refusal::without_answer,
    upstream::count,
    usage_wish::{self, is_of_the_option, may_refuse},
};
use crate::{
    gateway::{
        answer::{
            body::{self, Said, Usage},
            reworded::{begun, is_compatible, reworded},
            unpacked::Unpacked,
        },
        dialect::Dialect,
        forward::{
            resource::{Overheard, made::outlives_its_call, naming},
            send::pass,
        },
        model_names::is_geminis,
        route::{
            providers::{Beside, model_of},
            way::{Own, known_there},
        },
    },
    outgoing::Outgoing,
    status::{Outcome, Traffic},
};

/// What becomes of a request that was read.
pub(super) enum Onward<S> {
    /// It is translated, for this translator's stack.
    Translated,
    /// It goes to a stack as it is, under another path.
    HandedOn(S, String),
}

/// A body that goes on.
pub(super) enum Handed {
    /// It was read.
    Read(Bytes),
    /// It is packed as it came, and was not.
    Packed(Bytes),
}

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// The provider beside the gateway's own that a model is asked of; `None`: the gateway's own.
    pub(super) fn whose(&self, model: Option<&str>) -> Option<Beside<S>> {
        if self.only {
            return self.home.clone().or_else(|| self.also_compatible(model?));
        }
        let claimed = model.and_then(|model| self.others.iter().find(|other| other.has(model)));
        let geminis = self.own.dialect() == Dialect::Gemini && model.is_some_and(is_geminis);
        claimed.or(self.home.as_ref().filter(|_| !geminis)).cloned()
    }

    /// Another pool of Gemini's that serves a model, where it is asked for at the compatible endpoint, which each of them has.
    fn also_compatible(&self, model: &str) -> Option<Beside<S>> {
        let (name, compatible) = (model.strip_prefix("models/").unwrap_or(model), self.own == Own::Compatible);
        let serves = |other: &&Beside<S>| other.dialect == Dialect::Gemini && other.has(name);
        self.others.iter().filter(|_| compatible).find(serves).cloned()
    }

    /// Says of a body that is too large to be read how it goes on unread.
    pub(super) fn pointing_past(&self, mut fault: Fault) -> Fault {
        let whose = self.others.iter().find(|other| other.dialect == self.dialect);
        if let Some(other) = whose.filter(|_| fault.kind == Kind::TooLarge && !self.only && self.tenant.is_default()) {
            fault.message = format!("{}; under /to/{}/… it goes to that provider as it is", fault.message, other.name);
        }
        fault
    }

    /// Where a request goes, by its body. One whose provider speaks Gemini's dialect becomes this translator's own.
    ///
    /// # Errors
    /// Where the model's provider speaks a dialect that is not translated to, or the tenant may not use the model.
    pub(super) fn onward(&mut self, path: &str, headers: &HeaderMap, bytes: &[u8]) -> Result<Onward<S>, Fault> {
        let is_handed_on = self.own == Own::Compatible && self.dialect == Dialect::OpenAi;
        if self.others.is_empty() && self.home.is_none() && self.own.dialect() == Dialect::Gemini && !is_handed_on {
            return Ok(Onward::Translated);
        }
        let model = model_of(bytes);
        let other = self.whose(model.as_deref());
        let (dialect, stack) = match &other {
            None => (self.own.dialect(), self.stack.clone()),
            Some(other) => (other.dialect, other.stack.clone()),
        };
        if let Some(other) = &other {
            self.aliases = other.aliases.clone();
        }
        let compatible = is_handed_on && dialect == Dialect::Gemini && (other.is_none() || self.only);
        if dialect != self.dialect && dialect != Dialect::Gemini {
            let why = "model: nothing is translated for its provider; ask in that one's own dialect";
            let at = other.map_or_else(String::new, |other| format!(" (/to/{}/…)", other.name));
            return Err(Fault::invalid(format!("{why}{at}")).at("model"));
        }
        if dialect == Dialect::Gemini && !compatible {
            let nobodys = model.filter(|model| other.is_none() && !is_geminis(model));
            (self.stack, self.nobodys) = (stack, nobodys);
            if let Some(other) = &other {
                self.holdings.turn_to(&other.name);
            }
            return Ok(Onward::Translated);
        }
        if bytes.starts_with(b"--") && !self.may_go_unread {
            if !is_its_border(headers, bytes) {
                return Err(Fault::invalid("the form does not begin with the boundary that its content-type names"));
            }
            if self.tenant.is_restricted() && !is_plain_form(bytes) {
                return Err(Fault::invalid("the form is written in a way that others may read as another model"));
            }
        }
        // Whoever translates looks at the model that it reads itself.
        match model {
            Some(model) => self.may_use(&model)?,
            None => self.may_use("")?,
        }
        if let Some(other) = other {
            if compatible {
                self.stack = stack.clone();
                self.holdings.turn_to(&other.name);
            }
            (self.holdings.provider, self.holdings.pool) = (other.name, other.pool);
        }
        let front = if compatible { "/v1beta/openai" } else { "/v1" };
        Ok(Onward::HandedOn(stack, path.replacen("/v1", front, 1)))
    }

    /// Hands a request on with its body as it came.
    pub(super) async fn hand_on_unread(
        mut self,
        path: &str,
        parts: Parts,
        packed: Bytes,
    ) -> Result<Answered<B>, Failed> {
        match self.onward(path, &parts.headers, &[])? {
            Onward::HandedOn(stack, path) => {
                self.hand_on(stack, &path, (parts, Named::default()), Some(Handed::Packed(packed))).await
            }
            // What is translated is read.
            Onward::Translated => Err(unread_body().into()),
        }
    }

    /// Hands a request on to a provider of its own dialect; `way` leads to whoever sees what it `names`.
    pub(super) async fn hand_on(
        self,
        stack: S,
        path: &str,
        (parts, (way, names)): (Parts, Named),
        body: Option<Handed>,
    ) -> Result<Answered<B>, Failed> {
        let packed = matches!(body, Some(Handed::Packed(_)));
        let bytes = body.map(|handed| match handed {
            // The stack looks for no model in a form.
            Handed::Read(form) if form.starts_with(b"--") => {
                self.aliases.resolved_in_form(&form).map_or(form, Bytes::from)
            }
            Handed::Read(bytes) | Handed::Packed(bytes) => bytes,
        });
        let query = match parts.uri.query() {
            Some(query) if is_compatible_path(path) => known_there(query),
            query => query.map(str::to_owned),
        };
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let now = self.traffic.now();
        let wish = bytes.as_ref().and_then(|body| self.unasked.wish(&self.holdings.provider, path, body, now));
        let mut request = Request::from_parts(parts, ());
        *request.uri_mut() = target.parse().unwrap_or_default();
        // The body says itself how long it is, and what was read is not packed any more.
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        if !packed {
            request.headers_mut().remove(header::CONTENT_ENCODING);
        }
        let mut demand = self.demand_of(path, &request, bytes.as_deref(), packed);
        if way.is_some() || !names.is_empty() {
            demand = Some(naming(Self::led(demand.unwrap_or_default(), way), &names));
        }
        if let Some(demand) = demand {
            request.extensions_mut().insert(demand);
        }
        let compatible = is_compatible_path(path);
        let listening = bytes.as_deref().filter(|_| !compatible).and_then(|body| self.listening_to(path, body));
        if listening.is_some() || wish.is_some() {
            // What is listened to, or something is taken out of, must be readable.
            request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let came = match wish {
            None => Ok((ask(stack, &self.traffic, (request, bytes)).await?, Usage::Told)),
            Some(wish) => self.ask_wishing(stack, (request, bytes), &wish, now).await?,
        };
        let mut response = match came {
            Err(error) => error,
            Ok((response, usage)) => match listening.filter(|_| response.status().is_success()) {
                None => body::passed_on(response, self.dialect, (&self.farewell, &self.tenant), usage),
                Some(listening) => {
                    let heard = Overheard::of(response, listening, Arc::clone(&self.tenant));
                    body::passed_on_heard(heard, self.dialect, (&self.farewell, &self.tenant), usage)
                }
            },
        };
        if response.status().as_u16() >= 400 {
            let compatible = compatible || is_compatible(self.makers());
            response = reworded(response, self.dialect, compatible).await;
        }
        Ok((Outcome::Answered, response))
    }

    /// What is known of a request that the stack does not find out; `None`: nothing.
    fn demand_of(&self, path: &str, head: &Request<()>, body: Option<&[u8]>, packed: bool) -> Option<Demand> {
        let form = body.filter(|body| body.starts_with(b"--") && is_its_border(head.headers(), body));
        let mut demand = match form.and_then(|body| of_form(body, self.pool.as_ref())) {
            Some(asked) => Some(self.wish.on(asked)),
            None => self.wish.demand(),
        };
        if is_compatible_path(path) && body.is_some_and(|body| self.is_to_say_nothing_is_named(body)) {
            demand = Some(demand.unwrap_or_default().names_nothing());
        }
        if !packed && path.ends_with("/responses") && body.is_some_and(outlives_its_call) {
            demand = Some(demand.unwrap_or_default().once());
        }
        demand
    }

    /// Asks with the wish to be told the usage, and without it where the provider does not know such an option. `Err`: an
    /// answer that is an error for another reason.
    async fn ask_wishing(
        &self,
        stack: S,
        (request, bytes): (Request<()>, Option<Bytes>),
        wish: &usage_wish::Wish,
        now: Tick,
    ) -> Result<Result<(Response<B>, Usage), Response<Said<B>>>, Failed> {
        let first = ask(stack.clone(), &self.traffic, (request.clone(), Some(wish.body.clone()))).await?;
        if !may_refuse(first.status()) {
            return Ok(Ok((first, Usage::Untold)));
        }
        let (head, body) = first.into_parts();
        let before = head.extensions.get::<ServedBy>().cloned();
        let mut body = Box::pin(body);
        let said = begun(body.as_mut()).await.freeze();
        if !is_of_the_option(&begun(Unpacked::of(&head, Full::from(said.clone()))).await) {
            return Ok(Err(body::of_error(head, said, body)));
        }
        self.unasked.refused(wish, now);
        let mut second = ask(stack, &self.traffic, (request, bytes)).await?;
        if let (Some(before), Some(served)) = (before, second.extensions_mut().get_mut::<ServedBy>()) {
            served.follow(&before);
        }
        if may_refuse(second.status()) {
            self.unasked.forgive(wish);
        }
        Ok(Ok((second, Usage::Told)))
    }
}

/// Whether a path is of Google's endpoint for `OpenAI`'s clients.
fn is_compatible_path(path: &str) -> bool {
    path.starts_with("/v1beta/openai")
}

async fn ask<S, B>(
    stack: S,
    traffic: &Traffic,
    (head, body): (Request<()>, Option<Bytes>),
) -> Result<Response<B>, Failed>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
{
    let answered = pass(stack, head.map(|()| Outgoing::written(body.into_iter().collect()))).await;
    count(&answered, traffic);
    answered.map_err(|error| without_answer(&error))
}

/// What a form asks for: the stack finds models in JSON alone.
fn of_form(body: &[u8], pool: Option<&KeyPool>) -> Option<Demand> {
    let tokens = about_tokens_of_form(body)?;
    let model = model_of(body)?;
    let model = pool.map_or(Cow::Borrowed(&*model), |pool| pool.masked(&model));
    Some(Demand::new(model).about_tokens(tokens))
}

/// Whether a form begins as its head says: another reader of it would find other fields, and another model.
fn is_its_border(headers: &HeaderMap, body: &[u8]) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let named = kind.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
    let mut borders = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"));
    let (Some((_, border)), None) = (borders.next(), borders.next()) else { return false };
    let border = border.trim().trim_matches('"');
    body.strip_prefix(b"--")
        .and_then(|rest| rest.strip_prefix(border.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b"\r\n"))
}

fn unread_body() -> Fault {
    Fault::invalid("the request's body cannot be read")
}

/// What is added where a model is not there that no provider was named for.
pub(super) fn hinted(mut failed: Failed, model: &str, dialect: Dialect) -> Failed {
    if failed.fault.kind == Kind::NotFound {
        let kind = match dialect {
            Dialect::Anthropic => "anthropic",
            _ => "openai",
        };
        let message = format!(
            "{}. No provider of this gateway was named for {model}: put it into models of a [[providers]] entry \
             (kind = \"{kind}\") in keypool.toml, or ask for a model of Gemini",
            failed.fault.message.trim_end_matches('.')
        );
        failed.fault.message = message;
    }
    failed
}
