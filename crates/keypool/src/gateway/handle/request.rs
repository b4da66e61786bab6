//! A request's way through the gateway: let in, told apart, sent over the stack, answered.

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, uri::PathAndQuery};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy, StreamEnd};
use tracing::Instrument;

use super::{
    course::{Course, OverStack, Quarter, attend, chunk_on},
    entrance::Entrance,
    translated::Reading,
};
use crate::{
    gateway::{
        Answer,
        admit::{headers::Seen, reserved::charged},
        answer::{
            body::{Said, Usage, identify, passed_on},
            exhausted::as_limited,
            failure,
            reworded::{is_compatible, reworded},
        },
        connection::pace::Arriving,
        dialect::{Dialect, Refusal},
        forward::{
            affinity::{By, Numbers},
            head::Tidy,
            resource::made,
            results,
            upload::Passage,
            wishes::Wish,
        },
        log::{line::RequestLine, span},
        route::{
            Beside, base_url,
            choice::{self, Chosen},
            way::Way,
        },
        translate::{Translation, can_be_read, kept::Kept},
    },
    outgoing::Outgoing,
    status::{Counted, Heard, Outcome, Traffic, Visit, class_of},
};

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers a request. Every failure is an answer, too. Whatever most requests do not need lies behind a pointer: all that is
    /// inside of this future is copied whole on its way to hyper.
    ///
    /// # Errors
    /// None: hyper asks for the form.
    pub async fn answer(self: Arc<Self>, request: Request<Arriving>) -> Result<Answer<B>, Infallible> {
        let gateway = &*self.gateway;
        let mut turn = self.turn();
        let mut line = RequestLine::begin(&request, turn.setup.names, &gateway.traffic, gateway.pool());
        if let Some(admin) = gateway.administers(&self, request.uri().path()) {
            let response = Box::pin(gateway.administer(admin, &self, &turn.setup, request)).await;
            self.leave(turn);
            let mut response = response.map(Said::administered);
            line.of_page().end(&mut response, &gateway.traffic);
            return Ok(response.map(Counted::uncounted));
        }
        let (mut parts, body) = request.into_parts();
        base_url::complete(&mut parts, turn.setup.dialects.provider, gateway.own.uploads.has_front());
        let (dialect, way) = (Dialect::of(&parts), Way::of(turn.setup.dialects, &parts));
        body.speaks(dialect);
        let seen = Seen::of(&parts.headers);
        let path = way.target().map_or(parts.uri.path(), PathAndQuery::path);
        if let Some(own) = gateway.own(path, (&parts, &seen), &self.local, self.door) {
            let mut response = own.answer().await;
            self.leave(turn);
            line.of_page().end(&mut response, &gateway.traffic);
            return Ok(response.map(Counted::uncounted));
        }
        let mut chosen = gateway.others.choose(turn.setup.dialects, (&parts.headers, &parts.uri), dialect, way);
        let batches = results::collection(&parts);
        chosen.direct(&mut parts.uri);
        let Chosen { dialect, mut way, home, mut named, .. } = chosen;
        line.speaks(dialect);
        // As it is, whatever it is about.
        let (mut other, mut home) = if way == Way::Through { (home, None) } else { (None, home) };
        let mut visit = Visit::begin(&gateway.traffic, body.size_hint().exact(), span::of(&parts, gateway.pool()));
        visit.called(line.called());
        let (tidy, socket) = (Tidy::after(&seen), seen.websocket && other.is_none());
        let elsewhere = seen.websocket && !socket;
        let limited = turn.setup.waiting.as_limited.then_some(dialect);
        // What tenants have there, where it is another pool of Gemini's.
        let belongings = other.as_ref().and_then(|other| gateway.belongings_at(&other.name));
        let front = other.as_ref().filter(|_| named && belongings.is_some()).map(Beside::front).unwrap_or_default();
        let at = (belongings.as_deref().unwrap_or(&gateway.own), &*front, batches);
        let admitted = gateway.admit(&turn.setup, (&parts, &seen), &self.local, at).await;
        // Asked only of those who were let in: a stranger can neither try tokens here nor fill the throttle of them.
        let surveyed = seen.administers && admitted.is_ok() && gateway.wants_trace(&parts, self.peer);
        let wish = match &admitted {
            Ok((tenant, _)) => {
                let setup = &turn.setup;
                Wish::of((&parts.headers, &seen), tenant, &setup.waiting, (&setup.nearness, &setup.token))
            }
            Err(_) => Ok(Wish::default()),
        };
        tidy.keep_ours(&mut parts);
        if let Ok((tenant, _)) = &admitted {
            line.of_tenant(tenant);
            if gateway.trails.is_on() {
                line.followed(gateway.trails.follow(&parts.method, parts.uri.path(), line.began(), surveyed));
            }
        }
        if socket && admitted.as_ref().err().is_none_or(|refusal| refusal.status() == StatusCode::UNAUTHORIZED) {
            let setup = Arc::clone(&turn.setup);
            self.leave(turn);
            let tenant = admitted.map(|(tenant, _)| tenant);
            let told = line.of_socket(&gateway.traffic);
            let opener = (parts, self.place.clone(), told);
            let (outcome, mut response) = Box::pin(gateway.socket(&setup, opener, tenant, dialect)).await;
            line.end(&mut response, &gateway.traffic);
            return Ok(counted(visit, outcome, limited, response));
        }
        if let Ok((tenant, _)) = &admitted
            && !tenant.is_default()
        {
            let own = turn.setup.dialects.provider;
            let task = choice::for_tenants(other.as_ref().map_or(own, |other| other.dialect), parts.uri.path());
            match (task, &other) {
                (Some(task), Some(_)) => (home, way) = (other.take(), Way::Translated(dialect, task)),
                (task, None) if own != Dialect::Gemini && matches!(way, Way::Through | Way::Moved(_)) => {
                    // As at providers beside it: whose anything else is, nobody knows there.
                    way = task.map_or(Way::Nobodys(own), |task| Way::Translated(own, task));
                }
                _ => {}
            }
        }
        let (mut met, mut may_go_unread) = (turn.setup.dialects.own(), false);
        let at = (turn.setup.dialects.provider, gateway.own.uploads.pool.as_ref(), other.as_ref());
        if can_be_read(&parts.headers, &body)
            && let Ok((tenant, _)) = &admitted
            && let Some((dialect, task, own)) = choice::is_read_on_its_way(&way, at, &parts)
            && (!tenant.is_default() || gateway.room.has(body.size_hint().lower(), &gateway.share(tenant)))
        {
            (way, met, named) = (Way::Translated(dialect, task), own, true);
            (home, may_go_unread) = (other.take().or(home), tenant.is_default());
        }
        if let Ok((tenant, _)) = &admitted
            && let Some(kept) = Kept::named(&parts.method, &parts.uri)
            && let Some(response) = gateway.memory.answer(tenant.name(), &kept, gateway.traffic.now())
        {
            self.leave(turn);
            let mut response = response.map(Said::from);
            line.end(&mut response, &gateway.traffic);
            return Ok(counted(visit, Outcome::Answered, limited, response));
        }
        let end = match &admitted {
            // Before anything is opened there.
            Ok(_) if elsewhere => Some(dialect.socketless()),
            Ok((tenant, passage)) => way.dead_end(parts.uri.path()).or_else(|| {
                let is_kept_track_of = other.is_none() || belongings.is_some();
                match passage {
                    _ if is_kept_track_of => None,
                    // Uploads are kept track of for providers of Gemini's alone.
                    Passage::Open(_) | Passage::Chunk(_) => Some(dialect.nowhere(parts.uri.path())),
                    // What is made there is nobody's: it is for whoever has the one token.
                    _ if tenant.is_default() => None,
                    _ => Some(dialect.nobodys()),
                }
            }),
            Err(refusal) => Some(dialect.answer(*refusal)),
        };
        let admitted = match (admitted, wish) {
            (Ok(admitted), Ok(wish)) if end.is_none() => {
                let (of, bytes) = ((&admitted.0, &admitted.1), charged(&parts, &body.size_hint()));
                let let_in = gateway.let_in(of, bytes, &mut visit, dialect, line.meter()).await;
                let_in.map(|meter| (admitted, wish.metered(meter)))
            }
            (_, Err(refusal)) if end.is_none() => Err(dialect.answer(refusal)),
            _ => Err(end.unwrap_or_default()),
        };
        let ((tenant, passage), mut wish) = match admitted {
            Ok(admitted) => admitted,
            Err(response) => {
                self.leave(turn);
                let mut response = response.map(Said::from);
                line.end(&mut response, &gateway.traffic);
                return Ok(counted(visit, Outcome::Refused, limited, response));
            }
        };
        if !matches!(way, Way::Translated(..)) && !matches!(passage, Passage::Chunk(_)) {
            let provider = other.as_ref().map_or(turn.setup.dialects.provider, |other| other.dialect);
            wish = wish.once(made::makes(provider, &parts));
        }
        if let Some(other) = other {
            let (unknown, alone) = (turn.setup.unknown, gateway.tenants.is_alone());
            let compatible = is_compatible(other.pool.as_ref());
            self.leave(turn);
            tidy.apply(&mut parts);
            wish.say_in(&mut parts.extensions);
            let holder = Arc::clone(&tenant);
            let carried = async {
                let Some(belongings) = belongings else {
                    return gateway.carry_beside(other, (tenant, &passage), (parts, body), dialect).await;
                };
                let (stack, aliases) = (&other.stack, &other.aliases);
                let quarter = Quarter { stack, belongings: &belongings, aliases, unknown, alone };
                quarter.carry((tenant, &passage), (parts, body), dialect).await
            };
            let carried = match visit.span().cloned() {
                None => holder.unless_revoked(Box::pin(carried)).await,
                Some(span) => holder.unless_revoked(Box::pin(carried.instrument(span))).await,
            };
            let (outcome, mut response) = carried.unwrap_or_else(|revoked| refused(dialect, revoked));
            if response.status().as_u16() >= 400 {
                response = Box::pin(reworded(response, dialect, compatible)).await;
            }
            line.end(&mut response, &gateway.traffic);
            gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
            return Ok(counted(visit, outcome, limited, response));
        }
        if let Way::Translated(dialect, task) = &way
            && let Some(caller) = task.caller().or(dialect.caller())
        {
            let (task, dialect, holder) = (task.clone(), *dialect, Arc::clone(&tenant));
            let reading = Reading { dialect, caller, own: met, home, only: named, may_go_unread };
            let translator = gateway.translator(&turn, reading, (tenant, wish, &task));
            self.leave(turn);
            tidy.apply(&mut parts);
            // Behind a pointer: the other requests need not carry room for it.
            let translation: Translation<B> = Box::pin(translator.answer(task, parts, body));
            let translated = match visit.span().cloned() {
                None => holder.unless_revoked(translation).await,
                Some(span) => holder.unless_revoked(translation.instrument(span)).await,
            };
            let (outcome, mut response) = translated.unwrap_or_else(|revoked| refused(dialect, revoked));
            tell_or_await(line, &mut visit, &mut response, &gateway.traffic);
            return Ok(counted(visit, outcome, limited, response));
        }
        // Google's compatible endpoint has a shape of its own for what is wrong.
        let compatible = matches!(way, Way::Moved(_)) && turn.setup.dialects.provider == Dialect::Gemini;
        let compatible = dialect == Dialect::OpenAi && (compatible || is_compatible(gateway.own.uploads.pool.as_ref()));
        tidy.apply(&mut parts);
        wish.say_in(&mut parts.extensions);
        if turn.setup.nearness.by == By::Prompt && !wish.is_near() {
            parts.extensions.insert(Numbers::of(&turn.setup.nearness, &turn.setup.token, &tenant));
        }
        let course = match &passage {
            Passage::Chunk(chunk) => chunk_on(chunk, &mut parts, body),
            _ if turn.setup.dialects.provider != Dialect::Gemini => {
                match gateway.among_own(&turn.setup, (&tenant, &passage), (&mut parts, body)) {
                    Ok(among) => among.await,
                    Err(body) => Course::through(Outgoing::Came(body)),
                }
            }
            _ => match gateway.at_once(&turn.setup, &tenant, &mut parts, body) {
                Ok(body) => Course::through(body),
                Err(coming) => {
                    let quarter = gateway.quarter(&turn.setup);
                    Box::pin(quarter.course(&tenant, &mut parts, coming)).await
                }
            },
        };
        let OverStack { body, listening, broken } = match course {
            Course::On(way) => way,
            Course::Done(outcome, response) => {
                self.leave(turn);
                let mut response = response.map(Said::from);
                if response.status().as_u16() >= 400 {
                    response = Box::pin(reworded(response, dialect, compatible)).await;
                }
                line.end(&mut response, &gateway.traffic);
                return Ok(counted(visit, outcome, limited, response));
            }
        };
        // As `oneshot` does, whose future would be moved once more.
        let answered = match poll_fn(|cx| turn.stack.poll_ready(cx)).await {
            Ok(()) => match visit.span().cloned() {
                None => {
                    let walk = pin!(turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    tenant.unless_revoked(walk).await
                }
                Some(span) => {
                    let walk = span.in_scope(|| turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    tenant.unless_revoked(Box::pin(walk.instrument(span))).await
                }
            },
            Err(error) => Ok(Err(error)),
        };
        let finished = answered.map(|answered| failure::finish(answered, broken.as_ref(), dialect));
        let (outcome, mut response) = match finished.unwrap_or_else(|revoked| Err(Box::new(refused(dialect, revoked))))
        {
            Ok(response) if listening.is_none() && matches!(passage, Passage::Other) => {
                (Outcome::Answered, passed_on(response, dialect, (&gateway.farewell, &tenant), Usage::Told))
            }
            Ok(response) => match Box::pin(attend(&gateway.own, response, tenant, &passage, listening)).await {
                Ok(response) => (Outcome::Answered, response),
                Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
            },
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        };
        if response.status().as_u16() >= 400 {
            response = Box::pin(reworded(response, dialect, compatible)).await;
        }
        line.end(&mut response, &gateway.traffic);
        gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
        Ok(counted(visit, outcome, limited, response))
    }
}

/// What a gateway says by itself.
fn refused<T: From<Full<Bytes>>>(dialect: Dialect, refusal: Refusal) -> (Outcome, Response<T>) {
    (Outcome::Refused, dialect.answer(refusal).map(T::from))
}

/// Tells the line of an answer; of one that begins before the provider's head is there once it is, as that says.
fn tell_or_await<B>(line: RequestLine, visit: &mut Visit, response: &mut Response<Said<B>>, traffic: &Arc<Traffic>) {
    response.body_mut().tell_of_failure(|| visit.end());
    if !response.body().awaits_head() {
        return line.end(response, traffic);
    }
    let (heard, span, traffic) = (visit.later(), visit.span().cloned(), Arc::clone(traffic));
    let line = line.ahead(response);
    response.body_mut().tell_of_head(Box::new(move |head: &Response<()>| {
        if let Some(span) = &span {
            span::record(span, head);
        }
        let model = head.extensions().get::<ServedBy>().and_then(ServedBy::used_model).map(Box::from);
        let _ = heard.set(Heard { model, class: class_of(head.status()) });
        line.heard(head, &traffic);
    }));
}

/// An answer whose way out is followed.
///
/// An error whose text may have broken off keeps its status, and as much of the text as came: a connection that is cut
/// before its head went out would tell nothing.
///
/// `limited`: where no key may serve, this dialect calls it a limit.
fn counted<B: Body<Data = Bytes>>(
    mut visit: Visit,
    outcome: Outcome,
    limited: Option<Dialect>,
    mut response: Response<Said<B>>,
) -> Answer<B>
where
    B::Error: Into<BoxError>,
{
    if let (Outcome::Exhausted, Some(dialect)) = (outcome, limited) {
        response = as_limited(response, dialect);
    }
    identify(&mut response);
    if let Some(end) = response.extensions_mut().remove::<StreamEnd>() {
        visit.ends_as(end);
    }
    if let Some(span) = visit.span() {
        span::record(span, &response);
    }
    if visit.is_awaited() {
        visit.of_model(response.extensions().get::<ServedBy>().and_then(ServedBy::used_model));
    }
    let class = class_of(response.status());
    let cut = response.status().as_u16() >= 400 && response.body().size_hint().exact().is_none();
    if cut {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.map(|body| visit.answer(outcome, class, cut, body))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http_body_util::BodyExt;
    use keypool_dialect::{Caller, Exchange, Fault, Shape, gemini, openai::OpenAi};
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::{Clock, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody};

    use super::*;
    use crate::{
        gateway::{
            answer::translated_stream::{Awaited, Missed, Telling},
            farewell::{Farewell, Parting},
            log::trail::Trails,
        },
        status::Afterwards,
    };

    /// Of a stream whose head goes out before the provider's: what is remembered of it, and whether it counts as good.
    async fn told(status: StatusCode) -> (serde_json::Value, bool, Option<Box<str>>) {
        let key = Key::new("AIza-not-a-real-key-000").id("one");
        let pool = KeyPool::builder(Gemini::new()).key(key).build().unwrap();
        let answers = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        });
        let request = Request::post("/v1beta/models/m:generateContent").body(Full::default()).unwrap();
        let served = KeyPoolLayer::new(&pool).layer(answers).oneshot(request).await.unwrap();
        let (mut head, _) = served.into_parts();
        head.status = status;
        let awaited: Awaited<Full<Bytes>> = Box::pin(async move {
            if status.is_success() {
                let event = r#"{"candidates":[{"content":{"parts":[{"text":"late"}]},"finishReason":"STOP"}]}"#;
                return Ok(Response::from_parts(head, Full::from(format!("data: {event}\r\n\r\n"))));
            }
            Err(Missed { fault: Fault::invalid("bad"), head: Response::from_parts(head, ()) })
        });
        let shape = Shape { stream: true, ..Shape::default() };
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
        let mut response =
            Response::new(Said::told(Telling::awaiting(awaited, exchange, Parting::from(&Farewell::of_gateway()))));

        let traffic = Arc::new(Traffic::new(Clock::system()));
        let trails = Arc::new(Trails::new(Clock::system()));
        let (sender, gone) = mpsc::channel();
        let mut visit = Visit::begin(&traffic, None, None);
        visit.afterwards(Afterwards(Box::new(move |gone| sender.send((gone.good, gone.model.clone())).unwrap())));
        let mut line = RequestLine::begin(&Request::new(()), true, &traffic, None);
        line.followed(trails.follow(&http::Method::POST, "/v1/chat/completions", line.began(), false));
        tell_or_await(line, &mut visit, &mut response, &traffic);
        assert!(response.headers().contains_key("x-request-id"));
        assert!(trails.all().is_empty(), "nothing is known of it");
        let text = counted(visit, Outcome::Answered, None, response).into_body().collect().await.unwrap().to_bytes();
        assert_ne!(text, "");
        let (good, model) = gone.recv().unwrap();
        (trails.all().remove(0), good, model)
    }

    #[tokio::test]
    async fn what_was_awaited_is_told_as_it_came() {
        for (status, was_good) in [(StatusCode::OK, true), (StatusCode::BAD_REQUEST, false)] {
            let (line, good, model) = told(status).await;
            assert_eq!((&line["status"], &line["model"]), (&status.as_u16().into(), &"m".into()), "{line}");
            assert_eq!((good, model.as_deref()), (was_good, Some("m")), "{line}");
        }
    }
}
