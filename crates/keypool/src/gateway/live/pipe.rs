//! The pipe that a socket is once it is open: bytes both ways, followed as they pass.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::{sleep, timeout},
};

use super::frames::{Frames, Said};
use super::mask::Blot;

/// A socket over which nothing came for so long is closed: who is alive pings more often.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// After one side's end the other gets so long for its own.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// Bytes under way each way.
pub(super) const BUFFER: usize = 16 << 10;

/// Is told what the provider says. Answers of the Live API are far longer: nobody reads them.
pub(super) trait Listener {
    /// It said this.
    fn heard(&self, said: Said) -> impl Future<Output = ()> + Send;
}

/// Messages that a listener reads, in bytes.
const READ: usize = 8 << 10;

/// Carries bytes both ways until one side has ended, and the other has had its time; or until nobody says anything.
pub(super) async fn pipe(
    client: impl AsyncRead + AsyncWrite,
    provider: impl AsyncRead + AsyncWrite,
    blot: Blot,
    listener: &impl Listener,
) {
    let (client_in, client_out) = split(client);
    let (provider_in, provider_out) = split(provider);
    let heard = AtomicU64::new(0);
    let up = one_way((client_in, provider_out), Blot::nothing(), &heard, None::<&Nobody>);
    let down = one_way((provider_in, client_out), blot, &heard, Some(listener));
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut up => { let _ = timeout(LINGER, down).await; }
        () = &mut down => { let _ = timeout(LINGER, up).await; }
        () = silence(&heard) => {}
    }
}

/// Until nothing was heard for so long.
async fn silence(heard: &AtomicU64) {
    let mut before = u64::MAX;
    loop {
        let now = heard.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(IDLE).await;
    }
}

/// Listens to nothing.
struct Nobody;

impl Listener for Nobody {
    async fn heard(&self, _: Said) {}
}

async fn one_way<L: Listener>(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut blot: Blot,
    heard: &AtomicU64,
    listener: Option<&L>,
) {
    let mut buffer = vec![0; BUFFER];
    let mut frames = Frames::new(READ);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        heard.fetch_add(1, Ordering::Relaxed);
        if let Some(listener) = listener {
            let mut said = Vec::new();
            frames.pass(&buffer[..read], |one| said.push(one));
            for one in said {
                listener.heard(one).await;
            }
        }
        let out = blot.pass(&mut buffer[..read]);
        if to.write_all(&out).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.write_all(&blot.rest()).await;
    let _ = to.shutdown().await;
}
