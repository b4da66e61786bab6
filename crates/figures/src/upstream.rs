//! An upstream that counts as a provider does: exact windows for each project, by tokio's clock.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// Counts requests of each project in the last 60 s.
#[derive(Debug)]
pub struct Upstream {
    per_minute: usize,
    windows: HashMap<String, VecDeque<Instant>>,
    /// Requests that it served.
    pub served: u64,
    /// Requests that it refused.
    pub refused: u64,
}

impl Upstream {
    /// Each project may start so many requests in any 60 s.
    pub fn new(per_minute: usize) -> Self {
        Self { per_minute, windows: HashMap::new(), served: 0, refused: 0 }
    }

    /// A request of a project arrives: the delay after which it may come again where it is refused.
    ///
    /// # Errors
    /// The time until the window opens.
    pub fn request(&mut self, project: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let window = self.windows.entry(project.to_owned()).or_default();
        while window.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(60)) {
            window.pop_front();
        }
        if window.len() >= self.per_minute {
            self.refused += 1;
            return Err(Duration::from_secs(60) - now.duration_since(window[0]));
        }
        window.push_back(now);
        self.served += 1;
        Ok(())
    }
}
