//! Logging.

use std::io::{BufWriter, IsTerminal, stdout};

use anyhow::Context;
use tracing_appender::{non_blocking::WorkerGuard, rolling};
use tracing_subscriber::{EnvFilter, field::MakeExt, fmt::format};

use crate::config::{Level, Loaded};

/// Starts logging. Keep the guard until the process ends: dropping it flushes the last lines.
///
/// # Errors
/// If the log directory cannot be written.
pub fn start(loaded: &Loaded) -> anyhow::Result<WorkerGuard> {
    let log = &loaded.config.log;
    let (writer, guard) = match &log.directory {
        // The buffer is flushed whenever no line waits.
        None => tracing_appender::non_blocking(BufWriter::new(stdout())),
        Some(folder) => {
            let folder = loaded.folder().join(folder);
            // Otherwise the appender prints an error about a missing folder.
            std::fs::create_dir_all(&folder).with_context(|| format!("log.directory: {}", folder.display()))?;
            let files = rolling::Builder::new()
                .rotation(rolling::Rotation::DAILY)
                .filename_prefix("keypool")
                .filename_suffix("log")
                .max_log_files(log.keep)
                .build(&folder)
                .with_context(|| format!("log.directory: {}", folder.display()))?;
            tracing_appender::non_blocking(BufWriter::new(files))
        }
    };
    let filter = match log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        // Other crates log warnings and errors only.
        Level::Info => "warn,keypool=info,tower_keypool=info,keypool_store=info",
        Level::Debug => "info,keypool=debug,tower_keypool=debug,keypool_store=debug",
        Level::Trace => "trace",
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(writer).with_target(false);
    if loaded.is_json_log() {
        builder.json().flatten_event(true).with_current_span(false).init();
    } else {
        // The default styles each name, which costs time even without colors.
        let fields = format::debug_fn(|writer, field, value| match field.name() {
            "message" => writer.write_str(&format!("{value:?}").replace(|c: char| c.is_control() && c != '\n', " ")),
            name => write!(writer, "{name}={value:?}"),
        });
        builder.fmt_fields(fields.delimited(" ")).with_ansi(log.directory.is_none() && stdout().is_terminal()).init();
    }
    Ok(guard)
}
