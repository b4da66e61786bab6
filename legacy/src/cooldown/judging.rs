//! From an answer, a piece of a stream or an error to the verdict that is told.

use http::{HeaderMap, StatusCode, response::Parts};
use memchr::memmem;

use super::{inflate::KeyInCompressedBody, stream_watch::Found, teller::Teller};
use crate::provider::Answer;
use crate::{
    body_error::BodyError,
    error::{BoxError, Error, Kind},
    pool::{ALARMS, ERRORS, Granted},
    verdict::{Elsewhere, QuotaNews, Scope, Until, Verdict, VerdictKind, judge_error},
};

/// A good answer, by its head.
#[inline]
pub(super) fn good(granted: &Granted, head: &Parts) -> Verdict {
    let verdict = Verdict::SUCCESS.status(head.status);
    match granted.pool.provider().rate_headers(&head.headers, granted.pool.clock()) {
        Some(news) => verdict.news(news),
        None => verdict,
    }
}

/// An answer by its head alone. `page`: it is a web page where a model was asked for something.
#[inline]
pub(super) fn head(granted: &Granted, head: &Parts, page: bool) -> Verdict {
    let good = head.status.as_u16() < 300 || head.status == StatusCode::NOT_MODIFIED;
    if good && !page { self::good(granted, head) } else { no_good(granted, head) }
}

/// An error, or a web page: somebody between (a proxy, a login) answers in the provider's place.
#[cold]
fn no_good(granted: &Granted, head: &Parts) -> Verdict {
    if !head.status.is_success() {
        return answer(granted, head, &[]);
    }
    Verdict::new(VerdictKind::Transient).scope(Scope::Caller).unclear().code("HTML_PAGE").status(head.status).advice(
        "A web page came in the place of the model's answer: see which proxy or login stands between here and the provider.",
    )
}

/// An answer whose status is no success, by its head and as much of its body as could be read.
pub(super) fn answer(granted: &Granted, head: &Parts, body: &[u8]) -> Verdict {
    let wall = granted.pool.clock().wall();
    let verdict = granted.pool.provider().judge(&asked(granted, &Answer::new(head.status, &head.headers, body, wall)));
    let verdict = if is_for_good(&verdict) && granted.pool.serves_otherwise(granted.seat) {
        of_the_call(&verdict)
    } else if granted.model.is_none() {
        of_no_model(verdict, head.status)
    } else {
        verdict
    };
    let verdict = match granted {
        _ if granted.particulars.of_resource => of_resource(verdict, head.status),
        _ if granted.names_nothing => of_key(verdict, granted.model.as_deref(), head.status),
        _ => {
            if may_be_of_key(&verdict, granted.model.as_deref(), head.status) {
                granted.pool.meets_unclear_refusals();
            }
            verdict
        }
    };
    completed(granted, head, verdict)
}

/// The first object of a stream whose status is good.
pub(super) fn first_event(granted: &Granted, head: &Parts, data: &[u8], named_error: bool) -> Verdict {
    let wall = granted.pool.clock().wall();
    let judge = |data: &[u8]| {
        let answer = Answer::new(head.status, &head.headers, data, wall).event();
        granted.pool.provider().judge(&asked(granted, &answer))
    };
    let verdict = judge(data);
    let verdict = if verdict.is_success() && named_error { of_named(data, judge) } else { verdict };
    completed(granted, head, verdict)
}

/// The beginning of an answer whose status is good and that is no stream: empty unless it is an error's.
pub(super) fn beginning(granted: &Granted, head: &Parts, data: &[u8]) -> Verdict {
    if data.is_empty() {
        return good(granted, head);
    }
    let verdict = answer(granted, head, data);
    if verdict.is_success() { good(granted, head) } else { verdict }
}

/// So many others are asked at most for a model that a request counts in none for.
const MOST_ELSEWHERE: u8 = 7;

/// The most of a good answer that is judged as a whole.
pub(super) const LARGEST_WHOLE: usize = 16 << 10;

/// All of a good answer that was handed up, where it holds the word that speaks against its key, or `begins` with an
/// error. The key must not stand in it any more. `None` where it is good.
///
/// The first one went up: the next ones are held. `held`: this one is.
pub(super) fn whole(teller: &Teller, text: &[u8], begins: bool, held: bool) -> Option<Verdict> {
    if !begins {
        memmem::find(text, teller.pool().provider().alarm()?.as_bytes())?;
    }
    let (wall, headers) = (teller.pool().clock().wall(), HeaderMap::new());
    let verdict = teller.pool().provider().judge(&Answer::new(StatusCode::OK, &headers, text, wall));
    if verdict.is_success() {
        return None;
    }
    teller.pool().met_good_answer(if begins { ERRORS } else { ALARMS });
    Some(if begins && !held { broken(&verdict) } else { verdict })
}

/// The same of one that is held to its end.
pub(super) fn spoken(granted: &Granted, head: &Parts, verdict: Verdict) -> Verdict {
    completed(granted, head, verdict)
}

/// An error inside of a stream that has been handed up. `None` where the provider sees none in it.
pub(super) fn later_event(teller: &Teller, found: &Found) -> Option<Verdict> {
    let (wall, headers) = (teller.pool().clock().wall(), HeaderMap::new());
    let judge =
        |data: &[u8]| teller.pool().provider().judge(&Answer::new(StatusCode::OK, &headers, data, wall).event());
    let verdict = judge(&found.data);
    if verdict.is_success() {
        return found.named.then(|| broken(&of_named(&found.data, judge)));
    }
    Some(broken(&verdict))
}

/// The same of a request that counts for no model: a model that is missing there (a question about it, a body that nobody
/// looked into) says nothing of what else goes without one. Who has it answers, as of whatever is somebody's.
fn of_no_model(verdict: Verdict, status: StatusCode) -> Verdict {
    let missing = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    if !missing || verdict.kind() != VerdictKind::ModelUnavailable || verdict.speaks_of_a_tier() {
        return verdict;
    }
    let (code, advice) = (verdict.code_of().to_owned(), verdict.advice_of().to_owned());
    Verdict::new(VerdictKind::WrongOwner).unclear().retry_cap(MOST_ELSEWHERE).code(code).advice(advice)
}

/// Whether it would take the key from everybody.
fn is_for_good(verdict: &Verdict) -> bool {
    verdict.kind() == VerdictKind::InvalidKey && verdict.is_named() && verdict.scope_of() == Scope::Key
}

/// The same of a key that serves models, where it was asked for something else: a provider says of what an ordinary key may not
/// call (an administrator's paths, a method that it is not allowed) that it is no key. Were it none, models would be told so next.
fn of_the_call(verdict: &Verdict) -> Verdict {
    Verdict::new(VerdictKind::InvalidKey).scope(Scope::KeyLane).unclear().code(verdict.code_of().to_owned()).advice(
        "This key, which serves models, is refused for this call: it needs another kind of key, or one that is allowed it.",
    )
}

/// The same of a request for what only one owner's keys see: a refusal that names no cause is of that, not of the key.
/// No other key can be asked whether it says the same; and keys of a new form are refused with 401 on some of these paths
/// alone (PROVIDERS.md, surprise 3).
fn of_resource(verdict: Verdict, status: StatusCode) -> Verdict {
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    if !refused || (verdict.is_named() && verdict.kind() != VerdictKind::WrongOwner) {
        return verdict;
    }
    Verdict::new(VerdictKind::WrongOwner)
        .elsewhere(Elsewhere::No)
        .unclear()
        .advice("What was asked for does not exist any more, or this key may not see it.")
}

/// The same of a request that names nothing of anybody's: who refuses it as if it did may not use the model, as far as
/// anybody knows. Keys of others are asked, and what they say tells whether it was the request.
fn of_key(verdict: Verdict, model: Option<&str>, status: StatusCode) -> Verdict {
    if !may_be_of_key(&verdict, model, status) {
        return verdict;
    }
    Verdict::new(VerdictKind::InvalidKey).scope(Scope::KeyLane).unclear().code(verdict.code_of().to_owned()).advice(
        "This key may not use this model, without a clear reason: check the key's project and its restrictions.",
    )
}

/// Whether it would be the key's if the request named nothing of anybody's.
fn may_be_of_key(verdict: &Verdict, model: Option<&str>, status: StatusCode) -> bool {
    let refused = status == StatusCode::FORBIDDEN && verdict.kind() == VerdictKind::WrongOwner && !verdict.is_named();
    // One that stands in a collection (`tunedModels/x`) is somebody's.
    refused && model.is_some_and(|model| !model.contains('/'))
}

/// A body that ended in an error of the transport after its head was handed up.
pub(super) fn broken_body(error: &BoxError) -> Verdict {
    broken(&judge_error(&**error))
}

/// No answer came: the verdict is told, and the error says who tried.
pub(crate) fn failed(granted: Option<Granted>, error: BoxError) -> Error {
    // An error of ours from below tells of another pool's keys: it is not this key's.
    let Some(granted) = granted.filter(|_| Error::find(&*error).is_none()) else {
        return Error::from_box(error);
    };
    let mut verdict = judge_error(&*error);
    // Over HTTP/2 hyper does not say why a body failed. One that had to, since its key is another process's, is nobody's fault.
    if verdict.is_failed_body() && !BodyError::is_among(&*error) && !granted.started() {
        verdict = judge_error(&BodyError::void());
    }
    granted.judge(&verdict);
    Error::new(Kind::Upstream { verdict: verdict.clone(), source: error })
        .with_provider(granted.pool.provider())
        .with_served_by(granted.served_by(verdict))
}

/// A good answer that cannot be handed up: it shows the key, packed so that it could not be masked.
#[cold]
pub(super) fn stopped(granted: &Granted) -> Error {
    let advice = "The provider sent the key back in a compressed answer, in which it could not be masked.";
    withheld(granted, "key in answer", advice, KeyInCompressedBody.into())
}

/// A good answer that nobody can look into: in an encoding that nobody asked for, or not in the one that it names.
#[cold]
pub(super) fn unreadable(granted: &Granted) -> Error {
    let advice = "The provider, or something on the way, encoded the answer in a way that was not asked for, or not as its \
                  head says: it cannot be looked into, and is not passed on.";
    withheld(
        granted,
        "unreadable encoding",
        advice,
        "an answer in an encoding that was not asked for, or in none".into(),
    )
}

fn withheld(granted: &Granted, code: &'static str, advice: &'static str, source: BoxError) -> Error {
    let verdict = Verdict::new(VerdictKind::Broken).elsewhere(Elsewhere::No).code(code).advice(advice);
    Error::new(Kind::Upstream { verdict: verdict.clone(), source })
        .with_provider(granted.pool.provider())
        .with_served_by(granted.served_by(verdict))
}

/// The status, and what the headers tell of quotas, where the provider's verdict does not have them yet.
fn completed(granted: &Granted, head: &Parts, verdict: Verdict) -> Verdict {
    let verdict = if verdict.status_of().is_none() { verdict.status(head.status) } else { verdict };
    let told = verdict.news_of();
    if told.is_some_and(|news| !news.remaining.is_empty()) {
        return verdict;
    }
    let told_by_headers = granted.pool.provider().rate_headers(&head.headers, granted.pool.clock());
    let Some(headers) = told_by_headers else { return verdict };
    let news = match told.cloned() {
        Some(news) => QuotaNews { remaining: headers.remaining, ..news },
        None => headers,
    };
    verdict.news(news)
}

/// With the model that was asked for, whose name the provider may echo.
fn asked<'a>(granted: &'a Granted, answer: &Answer<'a>) -> Answer<'a> {
    Answer { named_in: granted.named_in, ..answer.asked(granted.model.as_deref()) }
}

/// Of an event that calls itself an error, and whose object does not: its members are the error's own (`DashScope`'s are).
/// Whatever is in it, it is one.
#[cold]
fn of_named(data: &[u8], judge: impl Fn(&[u8]) -> Verdict) -> Verdict {
    let wrapped = [b"{\"type\":\"error\",\"error\":", data, b"}"].concat();
    let verdict = judge(&wrapped);
    if verdict.is_success() { unknown_error() } else { verdict }
}

fn unknown_error() -> Verdict {
    Verdict::new(VerdictKind::Transient)
        .unclear()
        .code("error event")
        .advice("The provider ended the stream with an error that it did not explain: send the request again.")
}

/// The same facts about an answer that had begun: nothing of it can be sent again. One stream that broke off rests
/// nothing but what the provider blamed by name: the key, its owner or its account. What a sentence alone blamed is
/// unclear here: no other key can be asked whether it hears the same.
fn broken(verdict: &Verdict) -> Verdict {
    let anyone = matches!(verdict.scope_of(), Scope::Lane | Scope::Exit | Scope::Caller);
    let mut broken = Verdict::new(VerdictKind::Broken)
        .broken_by(verdict.fault())
        .scope(verdict.scope_of())
        .until(if anyone { Until::Now } else { verdict.until_of() })
        .code(verdict.code_of().to_owned())
        .advice(verdict.advice_of().to_owned());
    if !verdict.is_named() || verdict.is_worded() {
        broken = broken.unclear();
    }
    if let Some(status) = verdict.status_of() {
        broken = broken.status(status);
    }
    if let Some(pause) = verdict.confirm_after_of() {
        broken = broken.confirm_after(pause);
    }
    if let Some(news) = verdict.news_of() {
        broken = broken.news(news.clone());
    }
    broken
}
