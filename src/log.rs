//! The log: where it goes, in which form, and what is left out. Panics are lines of it too.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{config::LogFormat, panics};

/// Starts the log at `level`, unless `RUST_LOG` says otherwise. It goes to the standard error; a line
/// that cannot be written there is lost.
pub fn start(format: LogFormat, level: LevelFilter) {
    let directive = |text: &str| text.parse().expect("it is a well-formed directive");
    // Whatever else is left out: a line of a request names it.
    let ids = directive("marketplace::request=error");
    // The pool's library warns of each connection that an outage has closed.
    let pool = directive("deadpool=error");
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy()
        .add_directive(ids)
        .add_directive(pool);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // It would say so on the standard error, and panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    panic::set_hook(Box::new(panicked));
}

/// Whether the log understands all of a `RUST_LOG`. It leaves out the parts that it does not understand.
///
/// # Errors
/// One sentence.
pub fn check(filter: &str) -> Result<(), String> {
    match EnvFilter::builder().parse(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "{filter} is not a log filter, such as info or marketplace=debug ({error})"
        )),
    }
}

/// Logs a panic, with a backtrace where `RUST_BACKTRACE` asks for one. Without a backtrace, whoever
/// catches it writes the line.
fn panicked(panic: &PanicHookInfo<'_>) {
    let is_caught = panics::is_caught(panic);
    let why = panic
        .payload_as_str()
        .unwrap_or("for a reason that is no text");
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if is_caught && backtrace.is_none() {
        return;
    }
    tracing::error!(
        why,
        location,
        thread = thread.name(),
        backtrace,
        "a part of the program panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_json_object_on_one_line() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(panicked));
        let result = tracing::subscriber::with_default(log, || {
            panic::catch_unwind(|| panic!("row {} is\nunreadable", 7))
        });
        panic::set_hook(earlier);
        assert!(result.is_err());
        let written = lines.0.lock().unwrap().clone();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["why"], "row 7 is\nunreadable");
        assert!(
            line["location"].as_str().unwrap().contains("log.rs"),
            "{line}"
        );
    }
}
