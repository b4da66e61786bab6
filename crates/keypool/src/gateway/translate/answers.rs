//! The room that answers take that are told once all of them is there: from their first bytes, which the stack holds, until
//! their translation is sent.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use keypool_dialect::{Fault, Kind};
use tower_keypool::{BoxError, Demand};

use super::room::{Held, Room, Whose};

/// A longer answer that comes whole is refused: it is held until it is translated, and images come in it.
const MOST_ANSWERED: usize = 64 << 20;
const TOO_LONG: &str = "the upstream's answer is longer than 64 MiB, which is all that is translated";
const BROKEN: &str = "the upstream's answer broke off";
const MARK: &[u8] = "\u{feff}".as_bytes();
const FULL: &str = "the gateway holds as many long answers as it has room for: send the request again in a second";

/// What the answers to one request take of the room. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Answers(Arc<Mutex<Taken>>);

#[derive(Debug)]
struct Taken {
    held: Held,
    /// Bytes of the answers before the one that is read.
    before: usize,
}

impl Answers {
    /// None so far.
    pub(in crate::gateway) fn in_room(room: &Room, whose: &Whose) -> Self {
        Self(Arc::new(Mutex::new(Taken { held: room.enter(whose), before: 0 })))
    }

    /// The stack holds no more of an answer than there is room for.
    pub(super) fn bound(&self, demand: Demand) -> Demand {
        let answers = self.clone();
        demand.retold_whole().held_while(move |bytes| answers.hold(bytes))
    }

    /// Whether so many bytes of the answer that is read may be held.
    fn hold(&self, bytes: usize) -> bool {
        let Taken { held, before } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.takes(before.saturating_add(bytes))
    }

    /// All of an answer.
    ///
    /// # Errors
    /// Where it breaks off, is too long, or others hold too much now.
    pub(super) async fn read<B>(&self, body: B) -> Result<Bytes, Fault>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut body = std::pin::pin!(body);
        let (mut pieces, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::new(Kind::BadGateway, BROKEN))?;
            let Ok(piece) = frame.into_data() else { continue };
            length += piece.len();
            if length > MOST_ANSWERED {
                return Err(Fault::new(Kind::BadGateway, TOO_LONG));
            }
            if !self.hold(length) {
                return Err(Fault::new(Kind::Overloaded, FULL));
            }
            pieces.push(piece);
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).before += length;
        if pieces.len() == 1 {
            return Ok(unmarked(pieces.remove(0)));
        }
        let mut whole = BytesMut::with_capacity(length);
        // Each goes once it is copied.
        for piece in pieces {
            whole.extend_from_slice(&piece);
        }
        Ok(unmarked(whole.freeze()))
    }

    /// What they are told as, which has their room until it is sent.
    pub(super) fn until_sent(&self, told: Vec<u8>) -> Bytes {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).held.take();
        if held.is_nothing() { told.into() } else { Bytes::from_owner(Told { told, _held: held }) }
    }
}

/// Without the byte order mark that some write in front of JSON, which has none.
fn unmarked(answer: Bytes) -> Bytes {
    if answer.starts_with(MARK) { answer.slice(MARK.len()..) } else { answer }
}

struct Told {
    told: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.told
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::iter;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    async fn read(answers: &Answers, pieces: usize, broken: bool) -> Result<usize, String> {
        let piece = Bytes::from(vec![b' '; 1 << 20]);
        let pieces = (0..pieces).map(move |_| Ok(Frame::data(piece.clone())));
        let end = broken.then(|| Err(BoxError::from("broken off")));
        answers
            .read(StreamBody::new(iter(pieces.chain(end))))
            .await
            .map(|read| read.len())
            .map_err(|fault| fault.message)
    }

    #[tokio::test]
    async fn what_is_longer_than_is_translated_is_called_so() {
        let room = Room::default();
        let told = async |pieces, broken| read(&Answers::in_room(&room, &None), pieces, broken).await;
        assert_eq!(told(1, false).await, Ok(1 << 20));
        assert_eq!(told(64, false).await, Ok(64 << 20));
        assert_eq!(told(65, false).await.unwrap_err(), TOO_LONG);
        assert_eq!(told(1, true).await.unwrap_err(), BROKEN);
    }

    #[tokio::test]
    async fn they_share_a_bound_until_they_are_sent() {
        let room = Room::of(10 << 20);
        let (one, other) = (Answers::in_room(&room, &None), Answers::in_room(&room, &None));
        assert_eq!(read(&one, 3, false).await, Ok(3 << 20));
        // Those of one request add up.
        assert_eq!(read(&one, 3, false).await, Ok(3 << 20));
        assert_eq!(read(&other, 5, false).await.unwrap_err(), FULL);
        let told = one.until_sent(vec![b' '; 1 << 20]);
        drop((one, other));
        assert_eq!(read(&Answers::in_room(&room, &None), 5, false).await.unwrap_err(), FULL);
        let part = told.slice(..10);
        drop(told);
        assert_eq!(read(&Answers::in_room(&room, &None), 5, false).await.unwrap_err(), FULL);
        drop(part);
        assert_eq!(read(&Answers::in_room(&room, &None), 5, false).await, Ok(5 << 20));
    }
}
