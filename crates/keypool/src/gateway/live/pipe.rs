//! The pipe that a socket is once it is open: bytes both ways, followed as they pass.
//!
//! What a client says goes on as it comes, but for the end of each message: that goes on once somebody has read the whole
//! of it, and a message without its end is none.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    client_rules::Fault,
    frames::{Frames, INTERNAL, Said, closing},
    mask::Blot,
};

/// A socket over which nothing came for so long is closed: who is alive pings more often.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// After one side's end the other gets so long for its own.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// Who may go on no more gets less.
const HASTE: Duration = Duration::from_secs(1);
/// Bytes under way each way.
pub(super) const BUFFER: usize = 16 << 10;

/// Why a socket ends here: what the closing frame says, its code (RFC 6455) first.
#[derive(Debug)]
pub(super) struct Ending(pub(super) u16, pub(super) String);

impl From<Fault> for Ending {
    fn from((code, what): Fault) -> Self {
        Self(code, what.to_owned())
    }
}

/// What was heard of both sides.
#[derive(Default)]
struct Heard {
    pieces: AtomicU64,
    /// One side said that it closes.
    goodbye: AtomicBool,
}

/// Is told what both sides say.
pub(super) trait Listener {
    /// The provider said this.
    fn heard(&self, said: Said) -> impl Future<Output = ()> + Send;

    /// The client said this, of which the provider lacks the end.
    ///
    /// # Errors
    /// Why it may not have it.
    fn asked(&self, said: Said) -> impl Future<Output = Result<(), Ending>> + Send;
}

/// Messages of the provider's that a listener reads, in bytes: what the audio in them costs stands beside it.
const READ: usize = 1 << 20;

/// Carries bytes both ways until one side has ended, and the other has had its time; until nobody says anything, or until
/// it is `over`. `asked` has followed what came of the client before; `early` came of the provider.
pub(super) async fn pipe(
    (client, asked): (impl AsyncRead + AsyncWrite, Frames),
    (provider, early): (impl AsyncRead + AsyncWrite, Vec<u8>),
    blot: Blot,
    listener: &impl Listener,
    over: impl Future<Output = Ending>,
) {
    let (client_in, client_out) = split(client);
    let (provider_in, provider_out) = split(provider);
    let heard = Heard::default();
    let (stop, stopped) = oneshot::channel();
    let up = upward((client_in, provider_out), asked, &heard, (listener, stop), over);
    let down = downward((provider_in, client_out), (early, blot), &heard, (listener, stopped));
    tokio::pin!(up, down);
    tokio::select! {
        is_over = &mut up => {
            if !is_over {
                let _ = timeout(LINGER, down).await;
            }
        }
        () = &mut down => { let _ = timeout(LINGER, up).await; }
        () = silence(&heard) => {}
    }
}

/// Until nothing was heard for so long.
async fn silence(heard: &Heard) {
    let mut before = u64::MAX;
    loop {
        let now = heard.pieces.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(IDLE).await;
    }
}

/// What the client says, until it may say no more; `true`: it is over.
async fn upward(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    frames: Frames,
    heard: &Heard,
    (listener, stop): (&impl Listener, oneshot::Sender<Ending>),
    over: impl Future<Output = Ending>,
) -> bool {
    let (ending, is_over) = tokio::select! {
        ending = passing((&mut from, &mut to), frames, heard, listener) => (ending, false),
        ending = over => (Some(ending), true),
    };
    // Before the provider hears that it is over: it may close at once, and the client would not hear why.
    let tells = ending.is_some_and(|ending| stop.send(ending).is_ok());
    let _ = to.shutdown().await;
    if tells {
        // It may say goodbye.
        let (patience, mut rest) = (if is_over { HASTE } else { LINGER }, [0; 1024]);
        let _ = timeout(patience, async { while let Ok(1..) = from.read(&mut rest).await {} }).await;
    }
    is_over
}

/// Passes on what the client says until it ends, or says what it may not.
async fn passing(
    (from, to): (&mut (impl AsyncRead + Unpin), &mut (impl AsyncWrite + Unpin)),
    mut frames: Frames,
    heard: &Heard,
    listener: &impl Listener,
) -> Option<Ending> {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        heard.pieces.fetch_add(1, Ordering::Relaxed);
        let mut said = Vec::new();
        frames.pass(&buffer[..read], |one| said.push(one));
        for one in said {
            heard.goodbye.fetch_or(matches!(one, Said::Close(..)), Ordering::Relaxed);
            if let Said::Broken(fault) = one {
                return Some(fault.into());
            }
            if let Err(ending) = listener.asked(one).await {
                return Some(ending);
            }
        }
        if to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    None
}

/// What the provider says, until it ends, or until the client is told why it ends here.
async fn downward(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (early, mut blot): (Vec<u8>, Blot),
    heard: &Heard,
    (listener, stopped): (&impl Listener, oneshot::Receiver<Ending>),
) {
    let mut read = early.len();
    let mut buffer = early;
    buffer.resize(read.max(BUFFER), 0);
    let mut frames = Frames::new(READ, |_| false);
    let mut stopped = Some(stopped);
    loop {
        let mut said = Vec::new();
        let out = blot.pass(&mut frames, &buffer[..read], |one| said.push(one));
        for one in said {
            heard.goodbye.fetch_or(matches!(one, Said::Close(..)), Ordering::Relaxed);
            listener.heard(one).await;
        }
        if to.write_all(&out).await.is_err() || to.flush().await.is_err() {
            return;
        }
        // Within another frame it would be none.
        let may_end = frames.is_at_border();
        read = tokio::select! {
            biased;
            ending = stop(&mut stopped), if may_end && stopped.is_some() => match ending {
                Some(Ending(code, why)) => {
                    let _ = to.write_all(&closing(code, &why)).await;
                    break;
                }
                None => 0,
            },
            next = from.read(&mut buffer) => {
                let Ok(next @ 1..) = next else {
                    // Who asks its library what happened would hear of a connection that broke, as if it were its own.
                    if may_end && !heard.goodbye.load(Ordering::Relaxed) {
                        let _ = to.write_all(&closing(INTERNAL, "the provider's connection broke off")).await;
                    }
                    break;
                };
                next
            }
        };
        heard.pieces.fetch_add(u64::from(read > 0), Ordering::Relaxed);
    }
    // Of a frame that is not whole, nothing more: it is none, and its end may be the beginning of a key.
    let _ = to.shutdown().await;
}

/// Why it ends; `None`: nobody will say so any more.
async fn stop(stopped: &mut Option<oneshot::Receiver<Ending>>) -> Option<Ending> {
    let told = match stopped {
        Some(stopped) => stopped.await.ok(),
        None => None,
    };
    *stopped = None;
    told
}
