//! How an event reads: as a line for a person, or as an object for a program.

use std::{
    fmt::{self, Debug, Write},
    sync::{Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use jiff::{Timestamp, tz::TimeZone};
use tower_keypool::Clock;
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use super::plain::{Plain, acts};
use crate::config::LogFormat;

/// The target of texts that stand on the console as they are, over several lines.
pub(super) const SAID: &str = "keypool::said";

/// Writes events as lines.
#[derive(Debug)]
pub(super) struct Form {
    format: LogFormat,
    clock: Clock,
    zone: TimeZone,
    /// The second that the line before was written in, as text: many lines share it.
    second: Mutex<(i64, String)>,
}

impl Form {
    pub(super) fn new(format: LogFormat, clock: Clock, zone: TimeZone) -> Self {
        Self { format, clock, zone, second: Mutex::new((i64::MIN, String::new())) }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == LogFormat::Json
    }

    /// The line of an event.
    pub(super) fn event(&self, event: &Event<'_>, out: &mut String) {
        let level = *event.metadata().level();
        if event.metadata().target() == SAID {
            let mut said = Said(String::new());
            event.record(&mut said);
            match self.format {
                LogFormat::Text => {
                    out.push_str(&said.0);
                    out.push('\n');
                }
                LogFormat::Json => said.0.lines().for_each(|line| self.line(level, line, out)),
            }
            return;
        }
        self.begin(level, out);
        match self.format {
            LogFormat::Text => event.record(&mut Words(out)),
            LogFormat::Json => event.record(&mut Object(out)),
        }
        self.end(out);
    }

    /// The line of a message.
    pub(super) fn line(&self, level: Level, message: &str, out: &mut String) {
        self.begin(level, out);
        match self.format {
            LogFormat::Text => Words(out).part(None, format_args!("{message}")),
            LogFormat::Json => Object(out).text("message", format_args!("{message}")),
        }
        self.end(out);
    }

    fn begin(&self, level: Level, out: &mut String) {
        let [before, behind] = match self.format {
            LogFormat::Text => {
                self.time("%Y-%m-%d %H:%M:%S", None, out);
                [" ", ""]
            }
            LogFormat::Json => {
                out.push_str("{\"time\":\"");
                self.time("%Y-%m-%dT%H:%M:%S", Some("%:z"), out);
                ["\",\"level\":\"", "\""]
            }
        };
        for part in [before, level.as_str(), behind] {
            out.push_str(part);
        }
    }

    fn end(&self, out: &mut String) {
        out.push_str(match self.format {
            LogFormat::Text => "\n",
            LogFormat::Json => "}\n",
        });
    }

    /// The time up to the second and, where something follows, its thousandths and that.
    fn time(&self, form: &str, after: Option<&str>, out: &mut String) {
        // Before 1970 no line was written.
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let written = |form: &str| {
            let now = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
            now.to_zoned(self.zone.clone()).strftime(form).to_string()
        };
        {
            let mut last = self.second.lock().unwrap_or_else(PoisonError::into_inner);
            if last.0 != second {
                *last = (second, written(form));
            }
            out.push_str(&last.1);
        }
        if let Some(after) = after {
            let _ = write!(out, ".{:03}{}", since.subsec_millis(), written(after));
        }
    }
}

/// A message alone, as it is.
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{value:?}");
    }
}

/// ` message name=value name="a value"`
struct Words<'a>(&'a mut String);

impl Words<'_> {
    fn part(&mut self, name: Option<&str>, value: fmt::Arguments<'_>) {
        self.0.push(' ');
        if let Some(name) = name {
            self.0.push_str(name);
            self.0.push('=');
        }
        let begins = self.0.len();
        // Models and reasons are what clients and providers wrote.
        let _ = Plain(&mut *self.0).write_fmt(value);
        let written = &self.0[begins..];
        let parts = |byte: u8| matches!(byte, b' ' | b'"' | b'=' | b'\\');
        if name.is_some() && (written.is_empty() || written.bytes().any(parts)) {
            // Else a value could look like the next field.
            let written = self.0.split_off(begins);
            self.0.push('"');
            for character in written.chars() {
                if character == '"' {
                    self.0.push('\\');
                }
                self.0.push(character);
            }
            self.0.push('"');
        }
    }
}

/// What needs neither quotes nor another look, by bytes.
static PLAIN: [bool; 256] = {
    let (mut plain, mut byte) = ([false; 256], 0u8);
    while byte < 128 {
        plain[byte as usize] = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        byte += 1;
    }
    plain
};

/// In ten, without a formatter: a request's line has three of them.
fn push_number(mut number: u64, out: &mut String) {
    let (mut digits, mut begins) = ([0; 20], 20);
    loop {
        begins -= 1;
        digits[begins] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[begins..].iter().map(|digit| char::from(*digit)));
}

/// `message` has no name in a line.
fn name_of(field: &Field) -> Option<&'static str> {
    Some(field.name()).filter(|name| *name != "message")
}

impl Visit for Words<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let Some(name) = name_of(field) else { return self.part(None, format_args!("{value}")) };
        for part in [" ", name, "="] {
            self.0.push_str(part);
        }
        push_number(value, self.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = |byte: u8| PLAIN[usize::from(byte)];
        if let Some(name) = name_of(field).filter(|_| !value.is_empty() && value.bytes().all(plain)) {
            // Nearly all that a request's line says.
            for part in [" ", name, "=", value] {
                self.0.push_str(part);
            }
            return;
        }
        self.part(name_of(field), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.part(name_of(field), format_args!("{value:?}"));
    }
}

/// `,"name":"value","name":1`
struct Object<'a>(&'a mut String);

impl Object<'_> {
    fn name(&mut self, name: &str) {
        // Names of fields are identifiers, with dots at most.
        let _ = write!(self.0, ",\"{name}\":");
    }

    fn text(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.name(name);
        self.0.push('"');
        let _ = Escaped(&mut *self.0).write_fmt(value);
        self.0.push('"');
    }

    fn number(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field.name());
        let _ = self.0.write_fmt(value);
    }
}

impl Visit for Object<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), format_args!("{value:?}"));
    }
}

/// A JSON string's inside, in which nothing acts on a terminal either.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                // All of these are of Unicode's first plane.
                acting if acts(acting) => write!(self.0, "\\u{:04x}", u32::from(acting))?,
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration, time::SystemTime};

    use tower_keypool::ManualClock;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps the lines.
    struct Lines(Form, Arc<Mutex<String>>);

    impl<S: tracing::Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.event(event, &mut self.1.lock().unwrap());
        }
    }

    /// What is written of what happens in `then`, at 10:30:45 on a November day.
    fn written(format: LogFormat, then: impl FnOnce()) -> String {
        let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_170_645_042));
        let lines = Arc::new(Mutex::new(String::new()));
        let form = Form::new(format, time.clock(), TimeZone::UTC);
        let subscriber = tracing_subscriber::registry().with(Lines(form, Arc::clone(&lines)));
        // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
        // other tests' threads have none.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(subscriber, then);
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    fn request(model: &str) {
        tracing::info!(request = "r-1", key = %"k-1f09", model, status = 200_u16, ttfb_ms = 312_u64, note = None::<&str>);
    }

    #[test]
    fn a_line_is_time_level_message_and_fields() {
        let text = written(LogFormat::Text, || {
            request("gemini-2.5-flash");
            tracing::warn!(of = "it", most = u64::MAX, none = 0_u64, "a {}", "note");
        });
        assert_eq!(
            text,
            "2026-11-20 10:30:45 INFO request=r-1 key=k-1f09 model=gemini-2.5-flash status=200 ttfb_ms=312\n\
             2026-11-20 10:30:45 WARN a note of=it most=18446744073709551615 none=0\n"
        );
    }

    #[test]
    fn a_value_neither_begins_a_field_nor_a_line() {
        let text = written(LogFormat::Text, || request("m\n2026 INFO \"status=200\u{1b}[2J\u{202e}"));
        assert!(text.contains(r#" model="m\u{a}2026 INFO \"status=200\u{1b}[2J\u{202e}" status=200"#), "{text}");
        assert_eq!(text.lines().count(), 1);
        let text = written(LogFormat::Text, || request(""));
        assert!(text.contains(r#" model="" status"#), "{text}");
    }

    #[test]
    fn as_json_each_line_is_an_object() {
        let text = written(LogFormat::Json, || {
            request("m\"\\\n\u{1b}\u{9b}\u{202e}模");
            tracing::info!(target: SAID, "one\ntwo");
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            lines[0],
            serde_json::json!({
                "time": "2026-11-20T10:30:45.042+00:00", "level": "INFO", "request": "r-1", "key": "k-1f09",
                "model": "m\"\\\n\u{1b}\u{9b}\u{202e}模", "status": 200, "ttfb_ms": 312
            })
        );
        assert_eq!((&lines[1]["message"], &lines[2]["message"]), (&"one".into(), &"two".into()));
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
    }

    #[test]
    fn what_is_said_stands_as_it_is() {
        assert_eq!(written(LogFormat::Text, || tracing::info!(target: SAID, "one\n  two")), "one\n  two\n");
    }
}
