//! What becomes of memory that large bodies took.

use std::time::Duration;

/// What a start took and does not need any more goes back first.
const STARTED: Duration = Duration::from_secs(5);

/// Has glibc keep up to 32 MiB of it for the next ones, once the gateway has started.
///
/// It gives back what lies free at its end beyond twice the largest piece that it had from the system apart, and has pieces
/// of 128 KiB so at first: bodies of megabytes that come and go then cost as many pages anew, cleared by the kernel (600 for a
/// chat of 5 MiB that is translated). Whoever asks once for a larger piece moves both bounds
/// (mallopt(3), `M_MMAP_THRESHOLD`). Nothing of that piece is touched.
pub(super) async fn keep_for_large_bodies() {
    tokio::time::sleep(STARTED).await;
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(16 << 20)));
    }
}
