//! What all accounts of a provider of `OpenAI`'s or Anthropic's dialect have of a collection (files, batches and the like),
//! as one list. It is asked of them each time, since it changes.
//!
//! Items come by when they were made, those of the same moment by their accounts. An account that has the item behind which a
//! page begins is asked for what is behind it; the others' lists are read from their beginning until they are past it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tower::Service;
use tower_keypool::{BoxError, Error, KeyId, ServedBy};

use super::{
    page::{Asked, Item, Made, Page, Side},
    resource::{self, Gives, Holder, Resources, Unlisted, ids},
    send,
};
use crate::{gateway::dialect::Refusal, outgoing::Outgoing};

/// So many accounts are asked, and so many at once.
const OWNERS: usize = 64;
const AT_ONCE: usize = 8;
/// So many pages of an account are read for one answer.
const PAGES: usize = 100;
/// So much of what they say is held for one answer, in equal shares.
const HELD: usize = 32 << 20;

const TOO_FAR: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "this page is too far from the beginning of an account's list: 100 of its pages lie before. Larger pages reach farther",
);

/// The item at which a page begins or ends.
#[derive(Debug)]
struct Anchor {
    side: Side,
    id: String,
    made: Made,
    /// Who has it.
    tag: String,
}

/// A page of what all accounts of a provider have.
///
/// # Errors
/// Where no account's list could be had, or none that is needed: what it said.
pub(in crate::gateway) async fn list<S, B>(
    resources: &Resources,
    stack: S,
    gives: &Gives,
    asked: Asked,
) -> Result<Bytes, Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let pool = gives.pool.as_ref();
    let mut holders = resource::holders(pool).await;
    holders.truncate(OWNERS);
    let mut holders = resource::in_reach(pool, holders);
    let asked = Arc::new(asked);
    let anchor = match asked.place().map_err(Unlisted::Refused)? {
        None => None,
        Some(place) => {
            let (anchor, holder) = anchor(resources, stack.clone(), (gives, &asked), place, &holders).await?;
            if holders.iter().all(|other| other.tag != holder.tag) {
                // Whoever has the item is needed: it says why it cannot be asked.
                holders.push(holder);
                holders.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
            }
            Some(Arc::new(anchor))
        }
    };
    let share = HELD / holders.len().max(1);
    let (for_each, from) = (Arc::clone(&asked), anchor.clone());
    let heard = of_each(&holders, move |holder| {
        let reading = Reading::of(&for_each, from.as_ref(), (&holder.tag, share));
        let is_needed = reading.beside_own;
        let read = reading.read(stack.clone(), holder.clone());
        async move { read.await.map_err(|why| (is_needed, why)) }
    });
    let (mut theirs, mut failed) = (Vec::new(), None);
    for heard in heard.await {
        match heard {
            Ok(read) => theirs.push(read),
            // Without it a client that goes on from the item would miss what is behind it.
            Err((true, why) | (_, why @ Unlisted::Refused(_))) => return Err(why),
            Err((_, why)) => failed = Some(why),
        }
    }
    match failed {
        Some(failed) if theirs.is_empty() => Err(failed),
        _ => {
            let is_end = anchor.is_some_and(|anchor| anchor.side == Side::Before);
            Ok(Merged::of(&asked, theirs, is_end).told(&asked, |key, items| {
                let named = items.map(|item| (ids::kept_as(&gives.provider, &item.id), item.made.clone()));
                resources.was_shown(named, (pool, key));
            }))
        }
    }
}

/// What each of them says, in their order.
async fn of_each<T, F>(holders: &[Holder], ask: impl Fn(&Holder) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut said: Vec<Option<T>> = Vec::new();
    said.resize_with(holders.len(), || None);
    let (mut next, mut asking) = (holders.iter().enumerate(), JoinSet::new());
    loop {
        while asking.len() < AT_ONCE
            && let Some((at, holder)) = next.next()
        {
            let answer = ask(holder);
            asking.spawn(async move { (at, answer.await) });
        }
        match asking.join_next().await {
            None => break,
            Some(Ok((at, answer))) => said[at] = Some(answer),
            Some(Err(_)) => {}
        }
    }
    said.into_iter().flatten().collect()
}

/// Who has the item that a page begins or ends at, and when it was made: as a list showed it, else as whoever has it says.
async fn anchor<S, B>(
    resources: &Resources,
    stack: S,
    (gives, asked): (&Gives, &Asked),
    (side, id): (Side, &str),
    holders: &[Holder],
) -> Result<(Anchor, Holder), Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (id, name) = (id.to_owned(), ids::kept_as(&gives.provider, id));
    if let Some((way, made)) = resources.shown(&name, gives.pool.as_ref()) {
        let holder = Holder::to(way);
        return Ok((Anchor { side, id, made, tag: holder.tag.clone() }, holder));
    }
    let maker = resources.way_to_maker(&[name], gives.pool.as_ref()).await;
    let maker: Vec<Holder> = maker.map(Holder::to).into_iter().collect();
    let holders = if maker.is_empty() { holders } else { &maker };
    let (target, headers) = (asked.target_of(&id), asked.headers.clone());
    let answers = of_each(holders, move |holder| {
        let (stack, target, headers, holder) = (stack.clone(), target.clone(), headers.clone(), holder.clone());
        async move {
            let answer = send::get_as(stack, (headers, &target), holder.way.clone()).await;
            (holder, answer)
        }
    });
    let mut unheard = Unlisted::Failed("there is nobody to ask".into());
    for (holder, answer) in answers.await {
        match answer {
            Ok(answer) if answer.status().is_success() => {
                let item = serde_json::from_slice::<Box<RawValue>>(answer.body()).ok().and_then(Item::read);
                if let Some(Item { made, .. }) = item.filter(|item| item.id == id) {
                    return Ok((Anchor { side, id, made, tag: holder.tag.clone() }, holder));
                }
            }
            // That one has none says less than that another could not be asked.
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                if matches!(&unheard, Unlisted::Failed(error) if !error.is::<Error>()) {
                    unheard = Unlisted::Answered(answer);
                }
            }
            Ok(answer) => unheard = Unlisted::Answered(answer),
            Err(error) => unheard = Unlisted::Failed(error),
        }
    }
    Err(unheard)
}

/// What was read of an account's list for a page.
#[derive(Debug)]
struct Theirs {
    items: VecDeque<Item>,
    /// There is more behind these, or in front where the page ends at an item.
    more: bool,
    key: Option<KeyId>,
}

/// An account's list that is being read.
struct Reading {
    asked: Arc<Asked>,
    anchor: Option<Arc<Anchor>>,
    /// It is asked for what lies beside its own item.
    beside_own: bool,
    /// Whether it has that item, or there is none.
    is_own: bool,
    /// Where the item is behind what was read of it.
    is_past: bool,
    tag: String,
    theirs: Theirs,
    held: usize,
    share: usize,
}

impl Reading {
    fn of(asked: &Arc<Asked>, anchor: Option<&Arc<Anchor>>, (tag, share): (&str, usize)) -> Self {
        let is_own = anchor.is_none_or(|anchor| anchor.tag == tag);
        Self {
            asked: Arc::clone(asked),
            anchor: anchor.cloned(),
            beside_own: is_own && anchor.is_some(),
            is_own,
            is_past: is_own,
            tag: tag.to_owned(),
            theirs: Theirs { items: VecDeque::new(), more: false, key: None },
            held: 0,
            share,
        }
    }

    async fn read<S, B>(mut self, stack: S, holder: Holder) -> Result<Theirs, Unlisted>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut last: Option<String> = None;
        for _ in 0..PAGES {
            let place = match (&last, &self.anchor) {
                (Some(last), _) => Some((Side::After, &**last)),
                (None, Some(anchor)) if self.beside_own => Some((anchor.side, &*anchor.id)),
                _ => None,
            };
            let target = self.asked.target(place, !self.is_own);
            let headers = self.asked.headers.clone();
            let answer = send::get_as(stack.clone(), (headers, &target), holder.way.clone()).await;
            let answer = answer.map_err(Unlisted::Failed)?;
            if self.beside_own && last.is_none() && matches!(answer.status().as_u16(), 400 | 404) {
                // It is there no more: the list is read as that of an account that never had it.
                (self.beside_own, self.is_own, self.is_past) = (false, false, false);
                continue;
            }
            let page = if answer.status().is_success() { Page::read(answer.body()) } else { None };
            // In another form, or none.
            let Some(page) = page else { return Err(Unlisted::Answered(answer)) };
            self.theirs.key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned();
            drop(answer);
            last = page.items.last().map(|item| item.id.clone());
            let more = page.more && last.is_some();
            let before = self.anchor.clone().filter(|anchor| anchor.side == Side::Before);
            let is_enough = if let Some(anchor) = before {
                self.take_before(page, &anchor)
            } else {
                let is_enough = self.take_behind(page);
                self.theirs.more |= is_enough && more;
                is_enough
            };
            if is_enough || !more {
                return Ok(self.theirs);
            }
        }
        if self.theirs.items.is_empty() || self.anchor.is_some_and(|anchor| anchor.side == Side::Before) {
            return Err(Unlisted::Refused(TOO_FAR));
        }
        self.theirs.more = true;
        Ok(self.theirs)
    }

    /// Takes what is behind the item; whether that is enough.
    fn take_behind(&mut self, page: Page) -> bool {
        let anchor = self.anchor.clone();
        let mut is_beyond = self.is_past;
        for item in page.items {
            if let Some(anchor) = &anchor {
                if anchor.id == item.id {
                    // Another key of the same account, or one whose list begins anew wherever it is asked to.
                    self.theirs.items.clear();
                    (self.held, self.is_past, is_beyond) = (0, true, true);
                    continue;
                }
                if !self.is_past {
                    let place = self.asked.order(&item.made, &anchor.made);
                    if place.then_with(|| self.tag.cmp(&anchor.tag)).is_lt() {
                        continue;
                    }
                    is_beyond = place.is_gt();
                }
            }
            if self.held + item.len() > self.share && !self.theirs.items.is_empty() {
                self.theirs.more = true;
                return true;
            }
            self.held += item.len();
            self.theirs.items.push_back(item);
        }
        self.theirs.items.len() >= self.asked.size() && is_beyond
    }

    /// Takes what is in front of the item, the nearest of it; whether that is all.
    fn take_before(&mut self, page: Page, anchor: &Anchor) -> bool {
        if self.beside_own {
            self.theirs.more = page.more;
            self.theirs.items.extend(page.items);
            return true;
        }
        for item in page.items {
            let place = self.asked.order(&item.made, &anchor.made);
            if place.is_gt() || item.id == anchor.id {
                return true;
            }
            if place.is_lt() || self.tag < anchor.tag {
                self.theirs.items.push_back(item);
            }
            if self.theirs.items.len() > self.asked.size() {
                self.theirs.items.pop_front();
                self.theirs.more = true;
            }
        }
        false
    }
}

/// What all of them say, in one order.
struct Merged {
    /// Each with the place of its account among these.
    items: Vec<(usize, Item)>,
    keys: Vec<Option<KeyId>>,
    /// Several say that they have these: keys of one account that is not known to be one.
    shared: HashSet<String>,
    more: bool,
}

impl Merged {
    /// `is_end`: the page ends at an item, so that its last are the nearest.
    fn of(asked: &Asked, theirs: Vec<Theirs>, is_end: bool) -> Self {
        let mut more = theirs.iter().any(|theirs| theirs.more);
        let keys = theirs.iter().map(|theirs| theirs.key.clone()).collect();
        let mut items = Vec::new();
        for (at, theirs) in theirs.into_iter().enumerate() {
            let last = theirs.items.len().wrapping_sub(1);
            let of_these = theirs.items.into_iter().enumerate();
            items.extend(of_these.map(|(n, item)| (at, item, theirs.more && n == last)));
        }
        items.sort_by(|(_, one, _), (_, other, _)| asked.order(&one.made, &other.made));
        // Behind the last of a list that goes on may come what was not read yet.
        if !is_end && let Some(end) = items.iter().position(|(.., goes_on)| *goes_on) {
            items.truncate(end + 1);
        }
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        items.retain(|(_, item, _)| {
            seen.insert(item.id.clone()) || {
                shared.insert(item.id.clone());
                false
            }
        });
        let surplus = items.len().saturating_sub(asked.size());
        more |= surplus > 0;
        if is_end {
            items.drain(..surplus);
        } else {
            items.truncate(asked.size());
        }
        Self { items: items.into_iter().map(|(at, item, _)| (at, item)).collect(), keys, shared, more }
    }

    /// The page. `showing` is told what is on it, by the key that it came over.
    fn told(self, asked: &Asked, showing: impl Fn(&KeyId, &mut dyn Iterator<Item = &Item>)) -> Bytes {
        for (at, key) in self.keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let own = |(whose, item): &&(usize, Item)| *whose == at && !self.shared.contains(&item.id);
            showing(key, &mut self.items.iter().filter(own).map(|(_, item)| item));
        }
        let items: Vec<Item> = self.items.into_iter().map(|(_, item)| item).collect();
        asked.told(&items, self.more)
    }
}
