//! A request that came packed. It takes its room while it grows, and few grow at a time: a small one may become 32 MiB.

use std::io::Read;

use bytes::{Buf, Bytes, buf::Reader};
use flate2::read::MultiGzDecoder;
use keypool_dialect::Fault;

use super::{
    asked::{MOST_ASKED, too_large},
    room::Held,
};

/// What is longer takes a while.
const LONG: usize = 64 << 10;

/// The body as it was before it was packed.
pub(super) async fn unpacked(packed: Bytes, held: &mut Held) -> Result<Bytes, Fault> {
    let mut unpacking =
        Unpacking { packed: packed.len(), from: MultiGzDecoder::new(packed.reader()), plain: Vec::new() };
    if !unpacking.is_done_at(LONG, held)? {
        // Others of this thread would wait behind it.
        let (turn, mut taken) = (held.turn().await, held.take());
        let rest = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let done = unpacking.rest(&mut taken);
            (done.map(|()| unpacking), taken)
        });
        let (done, taken) = rest.await.map_err(|_| broken())?;
        *held = taken;
        unpacking = done?;
    }
    let plain = Bytes::from(unpacking.plain);
    held.keep(plain.len());
    Ok(plain)
}

fn broken() -> Fault {
    Fault::invalid("the request's body is no gzip, though its head says so")
}

struct Unpacking {
    packed: usize,
    from: MultiGzDecoder<Reader<Bytes>>,
    plain: Vec<u8>,
}

impl Unpacking {
    /// Whether it ends before so many bytes of it are here.
    fn is_done_at(&mut self, most: usize, held: &mut Held) -> Result<bool, Fault> {
        let more = most - self.plain.len();
        held.hold(self.packed + most)?;
        // Else it would be grown to twice its length.
        self.plain.reserve_exact(more);
        let came = self.from.by_ref().take(more as u64).read_to_end(&mut self.plain).map_err(|_| broken())?;
        Ok(came < more)
    }

    fn rest(&mut self, held: &mut Held) -> Result<(), Fault> {
        loop {
            let most = (self.plain.len() * 2).min(MOST_ASKED + 1);
            if self.is_done_at(most, held)? {
                return Ok(());
            }
            if most > MOST_ASKED {
                return Err(too_large());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use futures_util::poll;
    use keypool_dialect::Kind;

    use super::{super::room::Room, *};

    fn packed(length: usize) -> Vec<u8> {
        let mut to = GzEncoder::new(Vec::new(), Compression::fast());
        to.write_all(&vec![b' '; length]).unwrap();
        to.finish().unwrap()
    }

    async fn kind_of(body: Vec<u8>, held: &mut Held) -> Result<usize, Kind> {
        unpacked(body.into(), held).await.map(|plain| plain.len()).map_err(|fault| fault.kind)
    }

    #[tokio::test]
    async fn it_takes_room_while_it_grows() {
        let room = Room::of(9 << 20);
        let mut other = room.enter(&None);
        other.hold(4 << 20).unwrap();
        // Nobody reads on to where it breaks.
        let mut broken = packed(20 << 20);
        broken.truncate(broken.len() - 20);
        assert_eq!(kind_of(broken.clone(), &mut room.enter(&None)).await, Err(Kind::Overloaded));
        drop(other);
        broken.truncate(20 << 10);
        assert_eq!(kind_of(broken, &mut room.enter(&None)).await, Err(Kind::Invalid));

        let mut held = room.enter(&None);
        assert_eq!(kind_of(packed(3 << 20), &mut held).await, Ok(3 << 20));
        // What it needs no more others may have.
        room.enter(&None).hold(6 << 20).unwrap();
        assert_eq!(kind_of(packed(60 << 10), &mut held).await, Ok(60 << 10));
        assert!(held.is_nothing());
    }

    #[tokio::test]
    async fn what_is_longer_than_anything_may_be_is_too_large() {
        let room = Room::default();
        assert_eq!(kind_of(packed(MOST_ASKED), &mut room.enter(&None)).await, Ok(MOST_ASKED));
        assert_eq!(kind_of(packed(MOST_ASKED + 1), &mut room.enter(&None)).await, Err(Kind::TooLarge));
    }

    #[tokio::test]
    async fn few_long_ones_are_unpacked_at_a_time() {
        let (room, mut turns) = (Room::default(), Vec::new());
        while let Some(Some(turn)) = futures_util::FutureExt::now_or_never(room.enter(&None).turn()) {
            turns.push(turn);
        }
        assert_eq!(turns.len(), 4);
        assert_eq!(kind_of(packed(60 << 10), &mut room.enter(&None)).await, Ok(60 << 10));
        let mut held = room.enter(&None);
        let mut waits = std::pin::pin!(kind_of(packed(1 << 20), &mut held));
        assert!(poll!(&mut waits).is_pending());
        turns.pop();
        assert_eq!(waits.await, Ok(1 << 20));
    }
}
