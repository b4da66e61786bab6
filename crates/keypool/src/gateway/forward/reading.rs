//! An account's list while a page is made of all accounts' lists: read as far as the page needs, in the account's own order.

use std::{cmp, collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower::Service;
use tower_keypool::{BoxError, Error, KeyId, ServedBy};

use super::{
    page::{Asked, Form, Item, Made, Page, Side, Start},
    place::{Mark, Place},
    resource::{self, Holder, Unlisted},
    send,
};
use crate::{gateway::dialect::Refusal, outgoing::Outgoing};

/// So many pages of an account are read for one answer.
const PAGES: usize = 100;
/// An account that takes longer for one is as good as away, once its key was waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where nobody says when to ask again.
const SOON: u64 = 1;

const TOO_FAR: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "this page is too far from the beginning of an account's list: 100 of its pages lie before. Larger pages reach farther",
);

/// Why an account gives no list.
#[derive(Debug)]
pub(super) enum Lack {
    /// It will in so many seconds, as far as is known: until then no page is whole.
    Passing(u64),
    /// It does not, and the others' lists are told without it.
    Lasting(Unlisted),
    /// It does not, and without it there is no page.
    Needed(Unlisted),
}

impl Lack {
    /// By what came in its place.
    pub(super) fn of(why: Unlisted) -> Self {
        let passing = match &why {
            Unlisted::Later(after) => Some(*after),
            Unlisted::Refused(_) => return Self::Needed(why),
            Unlisted::Answered(answer) => {
                let is_passing = match answer.status() {
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
                    StatusCode::NOT_IMPLEMENTED => false,
                    status => status.is_server_error(),
                };
                // In whichever words, and in the pool's where it goes by others.
                let said = answer.extensions().get::<ServedBy>().and_then(|served| served.verdict().retry_after());
                is_passing.then(|| said.map_or(SOON, |after| after.as_millis().div_ceil(1_000) as u64).max(SOON))
            }
            Unlisted::Failed(error) => match error.downcast_ref::<Error>() {
                None => Some(SOON),
                Some(error) => match error.exhausted() {
                    Some(out) => resource::back_in(out),
                    None => (!error.status().is_client_error())
                        .then(|| error.retry_after().map_or(SOON, |after| after.as_secs().max(SOON))),
                },
            },
        };
        passing.map_or(Self::Lasting(why), Self::Passing)
    }
}

/// A page of an account's, or whatever else it says.
///
/// # Errors
/// Where it says nothing.
pub(super) async fn heard<S, B>(
    stack: S,
    asked: &Asked,
    target: &str,
    holder: &Holder,
) -> Result<Response<Bytes>, Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let answer = send::get_as(stack, (asked.headers.clone(), target), (holder.way.clone(), asked.wait));
    match tokio::time::timeout(PATIENCE + asked.wait.unwrap_or_default(), answer).await {
        Ok(answer) => answer.map_err(Unlisted::Failed),
        Err(_) => Err(Unlisted::Later(SOON)),
    }
}

/// What is read of an account's list.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) holder: Holder,
    asked: Arc<Asked>,
    /// Where the page begins among all lists, by an item.
    anchor: Option<Arc<Mark>>,
    /// So many bytes are held, and so many pages were read.
    share: usize,
    pages: usize,
    /// Where this one began, and where it goes on; `None`: it is at its end.
    began: Place,
    next: Option<Place>,
    /// What is not behind this is gone by.
    past: Option<Mark>,
    /// What was read and not taken, of the page of this token.
    pub(super) items: VecDeque<Item>,
    token: Option<String>,
    /// What was taken or gone by last.
    last: Option<Mark>,
    /// An item that is out of order comes where its account has it: as if it were made when the one before it was.
    made: Option<Made>,
    pub(super) form: Form,
    pub(super) key: Option<KeyId>,
}

impl Reading {
    pub(super) fn of(
        asked: &Arc<Asked>,
        holder: Holder,
        (began, anchor): (Place, Option<&Arc<Mark>>),
        share: usize,
    ) -> Self {
        Self {
            holder,
            asked: Arc::clone(asked),
            anchor: anchor.cloned(),
            share,
            pages: 0,
            next: Some(began.clone()),
            began,
            past: None,
            items: VecDeque::new(),
            token: None,
            last: None,
            made: None,
            form: Form::default(),
            key: None,
        }
    }

    /// There may be more of it, and it is not known what.
    pub(super) fn is_dry(&self) -> bool {
        self.items.is_empty() && self.next.is_some()
    }

    /// There is more of it.
    pub(super) fn goes_on(&self) -> bool {
        !self.items.is_empty() || self.next.is_some()
    }

    /// Takes the first of what was read.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.last = Some(self.mark(&item));
        Some(item)
    }

    /// Where it goes on behind what was taken.
    pub(super) fn place(&self) -> Place {
        match (&self.next, &self.last) {
            (Some(next), _) if self.items.is_empty() => next.clone(),
            (_, past) if self.form.tokens => Place::From { page: self.token.clone(), past: past.clone() },
            (_, Some(last)) => Place::Behind(last.clone()),
            (_, None) => self.began.clone(),
        }
    }

    fn mark(&self, item: &Item) -> Mark {
        Mark { id: item.id.clone(), made: item.made.clone(), tag: self.holder.tag.clone() }
    }

    /// Reads on until there is something, or no more.
    pub(super) async fn read_on<S, B>(mut self, stack: S) -> Result<Self, Lack>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        while self.pages < PAGES {
            let Some(place) = self.next.take() else { return Ok(self) };
            self.pages += 1;
            let start = match &place {
                Place::Behind(mark) => Start::Beside(Side::After, &mark.id),
                Place::From { page: Some(token), .. } => Start::Token(token),
                Place::From { page: None, .. } => Start::Beginning,
            };
            if let Place::From { past: Some(past), .. } = &place {
                self.past = Some(past.clone());
            }
            let is_far = self.past.is_some() && self.anchor.is_some();
            let target = self.asked.target(start, is_far);
            let answer =
                heard(stack.clone(), &self.asked, &target, &self.holder).await.map_err(|why| self.without(why))?;
            let is_gone = matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND);
            match &place {
                // It is there no more: the list is read as that of an account that never had it.
                Place::Behind(mark) if is_gone => {
                    let past = self.anchor.as_deref().unwrap_or(mark).clone();
                    (self.next, self.made) = (Some(Place::From { page: None, past: Some(past) }), None);
                    continue;
                }
                Place::From { page: Some(_), .. } if is_gone => return Err(Lack::Needed(Unlisted::Answered(answer))),
                _ => {}
            }
            let page = if answer.status().is_success() { Page::read(answer.body()) } else { None };
            // In another form, or none.
            let Some(page) = page else { return Err(self.without(Unlisted::Answered(answer))) };
            self.key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned();
            drop(answer);
            self.take_in(page, &place);
            if self.past.is_none() && !self.items.is_empty() {
                return Ok(self);
            }
        }
        self.past = None;
        if self.items.is_empty() { Err(Lack::Needed(Unlisted::Refused(TOO_FAR))) } else { Ok(self) }
    }

    /// Without an account that has the item a client that goes on from there would miss what is behind it.
    fn without(&self, why: Unlisted) -> Lack {
        match Lack::of(why) {
            Lack::Lasting(why) if self.has_anchor() => Lack::Needed(why),
            lack => lack,
        }
    }

    /// Whether it has the item that the page begins or ends at.
    fn has_anchor(&self) -> bool {
        self.anchor.as_ref().is_some_and(|anchor| anchor.tag == self.holder.tag)
    }

    /// What of a page is behind where it begins, and where the next one does.
    fn take_in(&mut self, page: Page, place: &Place) {
        self.form = page.form;
        let (token, mark) = match place {
            Place::Behind(mark) => (None, Some(mark)),
            Place::From { page, past } => (page.clone(), past.as_ref()),
        };
        if self.items.is_empty() {
            self.token.clone_from(&token);
            if self.form.tokens {
                self.last = None;
            }
        }
        let looked_for = self.past.as_ref().or(mark).map(|mark| mark.id.clone());
        if let (None, Place::Behind(mark)) = (&self.made, place) {
            self.made = Some(mark.made.clone());
        }
        let end = page.items.last().map(|item| item.id.clone());
        let mut held: usize = self.items.iter().map(Item::len).sum();
        let (mut is_beyond, mut is_cut) = (self.past.is_none(), false);
        for mut item in page.items {
            item.made = self.in_order(item.made);
            if looked_for.as_ref() == Some(&item.id) {
                // Another key of the same account, or one whose list begins anew wherever it is asked to.
                self.items.clear();
                (held, self.past, is_beyond) = (0, None, true);
                self.last = Some(self.mark(&item));
                continue;
            }
            if let Some(past) = &self.past
                && !is_beyond
            {
                let order = self.asked.order(&item.made, &past.made);
                if order.then_with(|| self.holder.tag.cmp(&past.tag)).is_lt() {
                    self.last = Some(self.mark(&item));
                    continue;
                }
                is_beyond = order.is_gt();
            }
            is_cut = held + item.len() > self.share && !self.items.is_empty();
            if is_cut {
                break;
            }
            held += item.len();
            self.items.push_back(item);
        }
        if is_beyond || is_cut {
            self.past = None;
        }
        self.next = match (self.items.back(), end, page.next) {
            (Some(last), ..) if is_cut && self.form.tokens => {
                Some(Place::From { page: token, past: Some(self.mark(last)) })
            }
            (Some(last), ..) if is_cut => Some(Place::Behind(self.mark(last))),
            (.., Some(next)) if token.as_ref() != Some(&next) => Some(Place::From { page: Some(next), past: None }),
            // One that ends where it began would do so for ever.
            (_, Some(id), None) if page.more && !matches!(place, Place::Behind(mark) if mark.id == id) => {
                let made = self.made.clone().unwrap_or(Made::Unsaid);
                Some(Place::Behind(Mark { id, made, tag: self.holder.tag.clone() }))
            }
            _ => None,
        };
    }

    /// When an item was made, or the one before it where that is later in this order.
    fn in_order(&mut self, made: Made) -> Made {
        let made = match self.made.take() {
            Some(before) => cmp::max_by(before, made, |before, made| self.asked.order(before, made)),
            None => made,
        };
        self.made = Some(made.clone());
        made
    }

    /// Reads what is in front of the page's item, the nearest of it.
    pub(super) async fn read_before<S, B>(mut self, stack: S, anchor: &Mark) -> Result<Self, Lack>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut is_beside = self.has_anchor();
        let (mut last, mut is_more): (Option<String>, bool) = (None, false);
        for _ in 0..PAGES {
            let start = match &last {
                Some(last) => Start::Beside(Side::After, last),
                None if is_beside => Start::Beside(Side::Before, &anchor.id),
                None => Start::Beginning,
            };
            let target = self.asked.target(start, !is_beside);
            let answer =
                heard(stack.clone(), &self.asked, &target, &self.holder).await.map_err(|why| self.without(why))?;
            if is_beside && matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
                is_beside = false;
                continue;
            }
            let page = if answer.status().is_success() { Page::read(answer.body()) } else { None };
            let Some(page) = page else { return Err(self.without(Unlisted::Answered(answer))) };
            self.key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned();
            self.form = page.form;
            let more = page.more && !is_beside;
            is_more |= page.more && is_beside;
            last = page.items.last().map(|item| item.id.clone());
            let mut is_there = false;
            for mut item in page.items {
                item.made = self.in_order(item.made);
                let order = self.asked.order(&item.made, &anchor.made);
                is_there = !is_beside && (order.is_gt() || item.id == anchor.id);
                if is_there {
                    break;
                }
                if is_beside || order.is_lt() || self.holder.tag < anchor.tag {
                    self.items.push_back(item);
                }
                if self.items.len() > self.asked.size() {
                    self.items.pop_front();
                    is_more = true;
                }
            }
            if is_there || !more || last.is_none() {
                self.next = is_more.then_some(Place::BEGINNING);
                return Ok(self);
            }
        }
        Err(Lack::Needed(Unlisted::Refused(TOO_FAR)))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tower::service_fn;

    use super::*;
    use crate::gateway::dialect::Dialect;

    #[tokio::test(start_paused = true)]
    async fn an_account_that_hangs_is_as_good_as_away() {
        type Answered = Result<Response<Full<Bytes>>, Error>;
        let hanging = service_fn(|_: Request<Outgoing>| std::future::pending::<Answered>());
        let head = Request::get("/v1/files").body(()).unwrap().into_parts().0;
        let asked = Arc::new(Asked::by(Dialect::OpenAi, &head).unwrap());
        let holder = Holder { tag: String::new(), way: None };
        let reading = Reading::of(&asked, holder, (Place::BEGINNING, None), 1 << 20);
        let lack = reading.read_on(hanging).await.unwrap_err();
        assert!(matches!(lack, Lack::Passing(SOON)), "{lack:?}");
    }
}
