//! What all accounts of a provider of `OpenAI`'s or Anthropic's dialect have of a collection (files, batches and the like),
//! as one list. It is asked of them each time, since it changes.
//!
//! Items come by when they were made, those of the same moment by their accounts, and those of one account as it has them. Where
//! each account's list goes on behind a page is remembered with its last item, or stands in a cursor. Where neither is known an
//! account that has the item behind which a page begins is asked for what is behind it; the others' lists are read from their
//! beginning until they are past it.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde_json::value::RawValue;
use tower::Service;
use tower_keypool::{BoxError, Error, KeyId};

use super::{
    page::{Asked, Form, Item, Side},
    place::{Cursor, Mark, Place},
    reading::{Lack, Reading, heard},
    resource::{Gives, Holder, Listed, Reach, Resources, Unlisted, ids},
};
use crate::{gateway::dialect::Refusal, outgoing::Outgoing};

/// So many accounts are asked, and so many at once.
const OWNERS: usize = 64;
const AT_ONCE: usize = 8;
/// So much of what they say is held for one answer, in equal shares.
const HELD: usize = 32 << 20;

/// A page of what all accounts of a provider have.
///
/// # Errors
/// Where no account's list could be had, or none that is needed: what it said. Where one cannot be had just now: a page without
/// its items would look like one of a list that has none of them.
pub(in crate::gateway) async fn list<S, B>(
    resources: &Resources,
    stack: S,
    gives: &Gives,
    asked: Asked,
) -> Result<Listed, Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let pool = gives.pool.as_ref();
    let asked = Arc::new(asked);
    let place = asked.place().map_err(Unlisted::Refused)?;
    let cursor = asked.cursor().map_err(Unlisted::Refused)?;
    let is_asked = |holder: &Holder| cursor.as_ref().is_none_or(|cursor| cursor.places.contains_key(&holder.tag));
    let Reach { mut here, mut away, later } = Reach::of(pool, (OWNERS, asked.wait), is_asked).await;
    if let Some(after) = later {
        return Err(Unlisted::Later(after));
    }
    if here.is_empty() && !away.is_empty() {
        // It says why.
        here.push(away.remove(0));
    }
    let (mut anchor, mut side) = (None, Side::After);
    if let Some((at, id)) = place {
        let (mark, holder) = self::anchor(resources, stack.clone(), (gives, &asked), id, &here).await?;
        if here.iter().all(|other| other.tag != holder.tag) {
            // Whoever has the item is needed: it says why it cannot be asked.
            away.retain(|other| other.tag != holder.tag);
            here.push(holder);
        }
        (anchor, side) = (Some(Arc::new(mark)), at);
    }
    let mut merged = Merged::default();
    if let Some(cursor) = &cursor {
        // Nor is there anything of those who have gone since.
        let gone = cursor.places.len().saturating_sub(here.len() + away.len());
        merged.left_out = usize::from(cursor.left_out) + gone;
    }
    merged.left_out += away.len();
    let share = HELD / here.len().max(1);
    let known = anchor
        .as_ref()
        .filter(|_| side == Side::After)
        .and_then(|anchor| resources.goes_on(&asked.place_of(&ids::kept_as(&gives.provider, &anchor.id))));
    let begin = |holder: Holder| {
        let known = known.as_ref().and_then(|known| known.get(&holder.tag));
        let began = match (&cursor, &anchor, known) {
            (Some(cursor), ..) => cursor.places.get(&holder.tag).cloned().unwrap_or(Place::BEGINNING),
            (None, None, _) => Place::BEGINNING,
            (_, _, Some(known @ Place::Behind(_))) => known.clone(),
            (_, Some(anchor), _) if anchor.tag == holder.tag => Place::Behind(Mark::clone(anchor)),
            (_, Some(anchor), _) => Place::From { page: None, past: Some(Mark::clone(anchor)) },
        };
        Reading::of(&asked, holder, (began, anchor.as_ref()), share)
    };
    let mut readings: Vec<Reading> = here.into_iter().map(begin).collect();
    match anchor.filter(|_| side == Side::Before) {
        Some(anchor) => {
            let read = of_each(readings, |reading| reading.read_before(stack.clone(), &anchor)).await;
            readings = merged.whole(read).map_err(|why| *why)?;
            merged.take_nearest(&mut readings, &asked);
        }
        None => loop {
            let (dry, others) = readings.into_iter().partition(Reading::is_dry);
            let read = of_each(dry, |reading| reading.read_on(stack.clone())).await;
            readings = merged.whole(read).map_err(|why| *why)?;
            readings.extend(others);
            readings.sort_unstable_by(|one, other| one.holder.tag.cmp(&other.holder.tag));
            if merged.take_first(&mut readings, &asked) {
                break;
            }
        },
    }
    if let Some(failed) = merged.failed.take_if(|_| readings.is_empty()) {
        return Err(failed);
    }
    if merged.left_out > 0 {
        tracing::info!(
            provider = &*gives.provider,
            left_out = merged.left_out,
            "a list of what accounts have is told without those that give none"
        );
    }
    merged.told((resources, gives), &asked, (&readings, cursor.is_some())).map_err(Unlisted::Refused)
}

/// What each of them says, in their order.
fn of_each<A, F: Future>(all: Vec<A>, ask: impl Fn(A) -> F) -> impl Future<Output = Vec<F::Output>> {
    let asking: Vec<F> = all.into_iter().map(ask).collect();
    stream::iter(asking).buffered(AT_ONCE).collect()
}

/// Who has the item that a page begins or ends at, and when it was made: as a list showed it, else as whoever has it says.
async fn anchor<S, B>(
    resources: &Resources,
    stack: S,
    (gives, asked): (&Gives, &Asked),
    id: &str,
    holders: &[Holder],
) -> Result<(Mark, Holder), Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (id, name) = (id.to_owned(), ids::kept_as(&gives.provider, id));
    if let Some((way, made)) = resources.shown(&name, gives.pool.as_ref()) {
        let holder = Holder::to(way);
        return Ok((Mark { id, made, tag: holder.tag.clone() }, holder));
    }
    let maker = resources.way_to_maker(&[name], gives.pool.as_ref()).await;
    let maker: Vec<Holder> = maker.map(Holder::to).into_iter().collect();
    let holders = if maker.is_empty() { holders } else { &maker };
    let target = asked.target_of(&id);
    let answers = of_each(holders.to_vec(), |holder| {
        let (stack, target) = (stack.clone(), &target);
        async move {
            let answer = heard(stack, asked, target, &holder).await;
            (holder, answer)
        }
    });
    let mut unheard = Unlisted::Failed("there is nobody to ask".into());
    for (holder, answer) in answers.await {
        match answer {
            Ok(answer) if answer.status().is_success() => {
                let item = serde_json::from_slice::<Box<RawValue>>(answer.body()).ok().and_then(Item::read);
                if let Some(Item { made, .. }) = item.filter(|item| item.id == id) {
                    return Ok((Mark { id, made, tag: holder.tag.clone() }, holder));
                }
            }
            // That one has none says less than that another could not be asked.
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                if matches!(&unheard, Unlisted::Failed(error) if !error.is::<Error>()) {
                    unheard = Unlisted::Answered(answer);
                }
            }
            Ok(answer) => unheard = Unlisted::Answered(answer),
            Err(why) => unheard = why,
        }
    }
    Err(match Lack::of(unheard) {
        Lack::Passing(after) => Unlisted::Later(after),
        Lack::Lasting(why) | Lack::Needed(why) => why,
    })
}

/// A page of all of them.
#[derive(Debug, Default)]
struct Merged {
    /// Each with the key that it came over.
    items: Vec<(Option<KeyId>, Item)>,
    seen: HashSet<String>,
    /// Several say that they have these: keys of one account that is not known to be one.
    shared: HashSet<String>,
    /// There is more besides what the accounts' lists go on with.
    more: bool,
    left_out: usize,
    /// What the last of those said.
    failed: Option<Unlisted>,
}

impl Merged {
    /// Those that gave a list, where no page is missing by chance.
    fn whole(&mut self, read: Vec<Result<Reading, Lack>>) -> Result<Vec<Reading>, Box<Unlisted>> {
        let (mut readings, mut later) = (Vec::new(), None);
        for read in read {
            match read {
                Ok(reading) => readings.push(reading),
                Err(Lack::Passing(after)) => later = later.max(Some(after)),
                Err(Lack::Needed(why)) => return Err(why.into()),
                Err(Lack::Lasting(why)) => {
                    self.left_out += 1;
                    self.failed = Some(why);
                }
            }
        }
        later.map_or(Ok(readings), |after| Err(Unlisted::Later(after).into()))
    }

    /// Takes the first of what was read; whether the page is full, or nothing is left. Else a list must be read on first: what
    /// comes next may be there.
    fn take_first(&mut self, readings: &mut [Reading], asked: &Asked) -> bool {
        while self.items.len() < asked.size() {
            if readings.iter().any(Reading::is_dry) {
                return false;
            }
            let made = |reading: &Reading| reading.items.front().map(|item| item.made.clone());
            let heads = readings.iter_mut().filter(|reading| !reading.items.is_empty());
            let first = heads.min_by(|one, other| match (made(one), made(other)) {
                (Some(one), Some(other)) => asked.order(&one, &other),
                _ => std::cmp::Ordering::Equal,
            });
            let Some(first) = first else { break };
            if let Some(item) = first.take() {
                self.add(first.key.clone(), item);
            }
        }
        // What another key of the same account shows as well is behind it, too.
        for reading in readings {
            while reading.items.front().is_some_and(|item| self.seen.contains(&item.id)) {
                self.shared.extend(reading.take().map(|item| item.id));
            }
        }
        true
    }

    /// Takes the last of what was read: it is the nearest to the item that the page ends at.
    fn take_nearest(&mut self, readings: &mut [Reading], asked: &Asked) {
        let mut items = Vec::new();
        for reading in readings {
            let key = reading.key.clone();
            items.extend(reading.items.drain(..).map(|item| (key.clone(), item)));
        }
        // Each account's own are in order already.
        items.sort_by(|(_, one), (_, other)| asked.order(&one.made, &other.made));
        for (key, item) in items {
            self.add(key, item);
        }
        let surplus = self.items.len().saturating_sub(asked.size());
        self.more = surplus > 0;
        self.items.drain(..surplus);
    }

    fn add(&mut self, key: Option<KeyId>, item: Item) {
        if self.seen.insert(item.id.clone()) {
            self.items.push((key, item));
        } else {
            self.shared.insert(item.id);
        }
    }

    /// The page. What is on it is known from now on, and where the accounts' lists go on behind it.
    fn told(
        self,
        (resources, gives): (&Resources, &Gives),
        asked: &Asked,
        (readings, by_token): (&[Reading], bool),
    ) -> Result<Listed, Refusal> {
        let Self { items, shared, more, left_out, .. } = self;
        let keys: HashSet<&KeyId> = items.iter().filter_map(|(key, _)| key.as_ref()).collect();
        for key in keys {
            let own = items.iter().filter(|(by, item)| by.as_ref() == Some(key) && !shared.contains(&item.id));
            let named = own.map(|(_, item)| (ids::kept_as(&gives.provider, &item.id), item.made.clone()));
            resources.was_shown(named, (gives.pool.as_ref(), key));
        }
        let form = Form {
            tokens: by_token || readings.iter().any(|reading| reading.form.tokens),
            items: readings.iter().any(|reading| reading.form.items),
        };
        let places = |readings: &mut dyn Iterator<Item = &Reading>| {
            readings.map(|reading| (reading.holder.tag.clone(), reading.place())).collect()
        };
        let going_on = readings.iter().filter(|reading| reading.goes_on());
        let more = more || going_on.clone().next().is_some();
        let next = if form.tokens && more {
            let left_out = u16::try_from(left_out).unwrap_or(u16::MAX);
            let cursor = Cursor { left_out, places: places(&mut { going_on }) };
            Some(asked.cursor_text(&cursor)?)
        } else {
            None
        };
        if let (false, Some((_, last))) = (form.tokens, items.last()) {
            let at = asked.place_of(&ids::kept_as(&gives.provider, &last.id));
            resources.page_ended(at, places(&mut readings.iter()));
        }
        let items: Vec<Item> = items.into_iter().map(|(_, item)| item).collect();
        Ok(Listed { text: asked.told(&items, more, (form, next.as_deref())), left_out })
    }
}
