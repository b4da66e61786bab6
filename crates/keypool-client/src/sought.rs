//! Requests that name what only one owner's keys see: they go to that owner, and where nobody knows him he is looked for.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use tower_keypool::{Affinity, Demand, ServedBy, VerdictKind};

use crate::{
    client::{Client, RawAnswer},
    error::{Error, ErrorKind},
    holdings::{self, Names, Way},
    listened::{AnswerBody, Listening},
    names::may_mention,
};

impl Client {
    /// What a request names that is some owner's.
    pub(crate) fn names_in(&self, path: &str, body: &[u8]) -> Option<Names> {
        Names::of(path, body, self.pool().provider().name() != "gemini")
    }

    /// Sends a request to whom it is for: the owner of what it names, or else one owner after the other until one has it.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        demand: Option<Demand>,
    ) -> Result<RawAnswer, Error> {
        let Some(names) = self.names_in(path, &body) else {
            // What a refusal says of its key depends on that; other providers say what they mean.
            let nothing = self.pool().provider().name() == "gemini" && path.contains("/models/") && !may_mention(&body);
            let demand = if nothing { Some(demand.unwrap_or_default().names_nothing()) } else { demand };
            return self.send_by(method, path, body, demand).await;
        };
        let demand = demand.unwrap_or_default().of_resource();
        let demand = if names.are_of_one_model() { demand.keeps_model() } else { demand };
        let (mut tried, mut waited, mut last) = (Vec::new(), Vec::new(), None);
        loop {
            let way = self.holdings().way(&names);
            let known = matches!(way, Some(Way::To(_)));
            let ways = way.as_ref().map_or(&[][..], Way::ways);
            // Who is out is asked once all others were.
            let ready = ways.iter().find(|way| !known && ways.len() > 1 && !tried.contains(*way));
            let Some(to) = ready.or_else(|| ways.iter().find(|way| !waited.contains(*way))).cloned() else {
                return match last {
                    Some(last) => last,
                    // One key says it for all of them.
                    None => self.send_by(method, path, body, Some(demand)).await,
                };
            };
            let mut asked = demand.clone().affinity(to.clone());
            if ready.is_some() {
                asked = asked.wait(std::time::Duration::ZERO);
                tried.push(to.clone());
            } else {
                waited.push(to.clone());
            }
            let answer = self.send_by(method.clone(), path, body.clone(), Some(asked)).await;
            match self.heard_of(&names, to, &method, &answer) {
                Heard::HasIt => return answer,
                // What somebody said of it is more than that another one is out.
                Heard::IsOut if last.as_ref().is_some_and(Result::is_ok) => {}
                Heard::IsOut if known => return answer,
                Heard::IsOut | Heard::HasNot => last = Some(answer),
            }
        }
    }

    /// What an answer says of who has what was named.
    fn heard_of(&self, names: &Names, way: Affinity, method: &Method, answer: &Result<RawAnswer, Error>) -> Heard {
        let holdings = self.holdings();
        match answer {
            Err(error) if error.is_exhausted() => Heard::IsOut,
            Err(_) => Heard::HasIt,
            Ok(answer) => {
                let served = answer.extensions().get::<ServedBy>();
                if let Some(served) = served.filter(|served| served.verdict().kind() == VerdictKind::WrongOwner) {
                    holdings.refused(names, way, served.verdict().advice_of());
                    return Heard::HasNot;
                }
                if answer.status().is_success() {
                    match served.and_then(ServedBy::key) {
                        _ if *method == Method::DELETE => holdings.forget(names),
                        Some(key) => holdings.found(names, key),
                        None => {}
                    }
                }
                Heard::HasIt
            }
        }
    }

    /// Sends a request by whatever key its demand allows, and listens to what the answer tells of.
    pub(crate) async fn send_by(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        demand: Option<Demand>,
    ) -> Result<RawAnswer, Error> {
        let tells = holdings::tells(path);
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if tells {
            // What is listened to must be readable.
            request = request.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(demand) = demand {
            request = request.extension(demand);
        }
        let request =
            request.body(Full::new(body)).map_err(|error| Error::new(ErrorKind::Unmade(error.to_string())))?;
        let answer = self.call(request).await.map_err(Error::of_pool)?;
        let key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key);
        let listening = key.filter(|_| tells && answer.status().is_success()).map(|key| {
            let (holdings, collection) = (self.holdings().clone(), holdings::collection(path));
            Box::new(Listening { holdings, key: key.clone(), collection, heard: Vec::new() })
        });
        Ok(answer.map(|body| AnswerBody::new(body, listening)))
    }
}

/// What an answer says of who has what was named.
enum Heard {
    HasIt,
    HasNot,
    /// The owner's keys are, who may have it.
    IsOut,
}
