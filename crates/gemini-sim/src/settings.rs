//! What the builder has settled, apart from projects and models.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

use crate::{AnswerText, Latency};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) wall: Option<Timestamp>,
    pub(crate) skew: SignedDuration,
    pub(crate) path_jitter: Duration,
    pub(crate) latency: Latency,
    pub(crate) chunk_latency: Latency,
    pub(crate) chunks: usize,
    pub(crate) answer: AnswerText,
    pub(crate) gzip: bool,
    pub(crate) fast: bool,
    pub(crate) any_model: bool,
    pub(crate) log_capacity: usize,
    pub(crate) max_body: usize,
    pub(crate) upload_granularity: u64,
    pub(crate) min_cache_tokens: u64,
    pub(crate) video_processing: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            wall: None,
            skew: SignedDuration::ZERO,
            path_jitter: Duration::ZERO,
            latency: Latency::None,
            chunk_latency: Latency::None,
            chunks: 5,
            answer: AnswerText::Words(24),
            gzip: true,
            fast: false,
            any_model: false,
            log_capacity: 100_000,
            max_body: 100 * 1024 * 1024,
            upload_granularity: 8 * 1024 * 1024,
            min_cache_tokens: 1_024,
            video_processing: Duration::from_secs(2),
        }
    }
}
