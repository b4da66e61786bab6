//! Where lines go: handed over in memory, and written by a thread of their own.
//!
//! A request's line may lie for a moment, so that many of them are one write; any other is written at once, with all that
//! came before it.

use std::{
    io::Write,
    iter, mem,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::Level;

use super::{files::Files, form::Form};

/// A request's line lies this long at most.
const MOMENT: Duration = Duration::from_millis(50);
/// Nor more of them than this.
const MANY: usize = 64 << 10;
/// At the end a console that stands still is waited for so long.
const LAST: Duration = Duration::from_secs(2);
/// What nobody reads (a console that stands still) is held up to here; further lines are counted only.
const MOST: usize = 4 << 20;

/// Takes lines.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    went: Condvar,
}

/// What lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of requests: they may lie for a moment.
    Request,
    /// Of anything else.
    Event,
    /// For whoever sits at the console.
    Said,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Lines,
    urgent: bool,
    /// Lines for which there was no room.
    dropped: u64,
    closed: bool,
    /// The last line is out.
    over: bool,
}

#[derive(Debug, Default)]
struct Lines {
    text: String,
    /// Where in it stands what is for the console alone.
    said: Vec<Range<usize>>,
}

/// Writes what is left when it is dropped, unless nobody reads it.
#[derive(Debug)]
pub struct Written(Sink, Duration);

impl Sink {
    /// Lines go to `console`, and to files where there are such.
    pub(super) fn start(
        form: Arc<Form>,
        console: impl Write + Send + 'static,
        files: Option<Files>,
    ) -> std::io::Result<Written> {
        let sink = Self(Arc::default());
        let mut outputs = Outputs { form, console: Box::new(console), files, failing: false };
        let shared = Arc::clone(&sink.0);
        std::thread::Builder::new().name("keypool-log".to_owned()).spawn(move || {
            let mut lines = Lines::default();
            while let Some(dropped) = shared.take(&mut lines) {
                outputs.write(&mut lines, dropped);
            }
            shared.lock().over = true;
            shared.went.notify_one();
        })?;
        Ok(Written(sink, LAST))
    }

    /// Hands over lines.
    pub(super) fn push(&self, lines: &str, kind: Kind) {
        let urgent = kind != Kind::Request;
        let mut waiting = self.0.lock();
        let begins = waiting.lines.text.len();
        if begins + lines.len() > MOST {
            waiting.dropped += 1;
            return;
        }
        waiting.lines.text.push_str(lines);
        if kind == Kind::Said {
            waiting.lines.said.push(begins..begins + lines.len());
        }
        waiting.urgent |= urgent;
        // Once: what is due stays due, and each call of this is one to the system.
        let due = urgent || begins == 0 || (begins < MANY && begins + lines.len() >= MANY);
        drop(waiting);
        if due {
            self.0.came.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines that are due, and takes them; how many there was no room for. `None` when no more will come.
    fn take(&self, lines: &mut Lines) -> Option<u64> {
        lines.text.clear();
        lines.said.clear();
        let none = |waiting: &mut Waiting| waiting.lines.text.is_empty() && !waiting.closed;
        let waiting = self.came.wait_while(self.lock(), none).unwrap_or_else(PoisonError::into_inner);
        let not_due = |waiting: &mut Waiting| !waiting.urgent && !waiting.closed && waiting.lines.text.len() < MANY;
        let waited = self.came.wait_timeout_while(waiting, MOMENT, not_due);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.lines.text.is_empty() && waiting.closed {
            return None;
        }
        waiting.urgent = false;
        mem::swap(&mut waiting.lines, lines);
        Some(mem::take(&mut waiting.dropped))
    }
}

impl Written {
    pub(super) fn sink(&self) -> Sink {
        self.0.clone()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let shared = &self.0.0;
        shared.lock().closed = true;
        shared.came.notify_one();
        let _ = shared.went.wait_timeout_while(shared.lock(), self.1, |waiting| !waiting.over);
    }
}

struct Outputs {
    form: Arc<Form>,
    console: Box<dyn Write + Send>,
    files: Option<Files>,
    /// The files took no line of late, which was said.
    failing: bool,
}

impl Outputs {
    fn write(&mut self, lines: &mut Lines, dropped: u64) {
        let Lines { text, said } = lines;
        if dropped > 0 {
            let message = format!("{dropped} lines were not written: those before were not read fast enough");
            self.form.line(Level::WARN, &message, text);
        }
        if let Some(files) = &mut self.files {
            let begins = iter::once(0).chain(said.iter().map(|said| said.end));
            let ends = said.iter().map(|said| said.start).chain([text.len()]);
            let failed = begins.zip(ends).find_map(|(begins, ends)| files.write(&text[begins..ends]).err());
            if let Some(error) = &failed
                && !self.failing
            {
                let message = format!("log files cannot be written: {error}");
                self.form.line(Level::ERROR, &message, text);
            }
            self.failing = failed.is_some();
        }
        // A closed pipe is no reason to stop.
        let _ = self.console.write_all(text.as_bytes()).and_then(|()| self.console.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use jiff::tz::TimeZone;
    use tower_keypool::Clock;

    use super::*;
    use crate::config::LogFormat;

    /// A console that tells each write, and takes the next one when it is let.
    struct Console(mpsc::Sender<String>, Option<mpsc::Receiver<()>>);

    impl Write for Console {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
            if let Some(let_go) = &self.1 {
                let _ = let_go.recv();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn form() -> Arc<Form> {
        Arc::new(Form::new(LogFormat::Text, Clock::system(), TimeZone::UTC))
    }

    #[test]
    fn lines_of_requests_are_written_together_with_what_is_urgent() {
        let (told, writes) = mpsc::channel();
        let (go, let_go) = mpsc::channel();
        let written = Sink::start(form(), Console(told, Some(let_go)), None).unwrap();
        let sink = written.sink();
        sink.push("first\n", Kind::Event);
        assert_eq!(writes.recv().unwrap(), "first\n");
        // The console stands still meanwhile.
        for line in ["a\n", "b\n"] {
            sink.push(line, Kind::Request);
        }
        sink.push("c\n", Kind::Event);
        go.send(()).unwrap();
        assert_eq!(writes.recv().unwrap(), "a\nb\nc\n");
        // Nobody else is needed to get a request's line out.
        go.send(()).unwrap();
        sink.push("d\n", Kind::Request);
        assert_eq!(writes.recv().unwrap(), "d\n");
        sink.push("last\n", Kind::Request);
        drop(go);
        drop(written);
        assert_eq!(writes.iter().collect::<String>(), "last\n");
    }

    #[test]
    fn a_console_that_stands_still_does_not_hold_up_the_end() {
        let (told, writes) = mpsc::channel();
        let (go, let_go) = mpsc::channel();
        let mut written = Sink::start(form(), Console(told, Some(let_go)), None).unwrap();
        written.1 = Duration::from_millis(5);
        written.sink().push("first\n", Kind::Event);
        assert_eq!(writes.recv().unwrap(), "first\n");
        drop(written);
        drop(go);
    }

    #[test]
    fn what_is_said_stands_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::begin(folder.path(), 1 << 20, 7, Clock::system(), TimeZone::UTC).unwrap();
        let (told, writes) = mpsc::channel();
        let written = Sink::start(form(), Console(told, None), Some(files)).unwrap();
        let sink = written.sink();
        for (line, kind) in
            [("a\n", Kind::Request), ("said\n", Kind::Said), ("b\n", Kind::Event), ("end\n", Kind::Said)]
        {
            sink.push(line, kind);
        }
        drop(written);
        assert_eq!(writes.iter().collect::<String>(), "a\nsaid\nb\nend\n");
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a\nb\n");
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let (told, writes) = mpsc::channel();
        let (go, let_go) = mpsc::channel();
        let written = Sink::start(form(), Console(told, Some(let_go)), None).unwrap();
        let sink = written.sink();
        sink.push("first\n", Kind::Event);
        assert_eq!(writes.recv().unwrap(), "first\n");
        let line = "x".repeat(MOST / 4 - 1) + "\n";
        for _ in 0..6 {
            sink.push(&line, Kind::Event);
        }
        drop(go);
        drop(written);
        let rest: String = writes.iter().collect();
        assert!(rest.ends_with("WARN 2 lines were not written: those before were not read fast enough\n"));
        assert_eq!(rest.lines().filter(|line| line.starts_with('x')).count(), 4);
    }
}
