//! SIGHUP.

use std::io::IsTerminal;

/// SIGHUPs, where there are such. None ends the process from then on.
pub struct Hangups {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// From now on. Within tokio's runtime.
    pub fn heard() -> Self {
        Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals
            && signals.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Resolves when the terminal that this was started on is gone, of which SIGHUP tells as well; never where hang-ups were
/// ignored (`nohup`).
pub fn terminal_gone() -> impl Future<Output = ()> {
    let matters = is_on_terminal() && !are_ignored();
    let mut hangups = matters.then(Hangups::heard);
    async move {
        let Some(hangups) = &mut hangups else { return std::future::pending().await };
        hangups.next().await;
        while is_on_terminal() {
            hangups.next().await;
        }
    }
}

/// One that has hung up is none any more.
fn is_on_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

/// Whether whoever started this had it ignore them, where the system says so.
fn are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first bit is the first signal's, which is this one.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
