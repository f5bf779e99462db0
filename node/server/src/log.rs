//! Logs: text or JSON lines on standard error, filtered by target and level; panics go the same way.
//!
//! Why standard error: standard output belongs to what a command answers (`export`, `user list`, the welcome).
//! Nothing secret: messages carry conditions, sizes and addresses; bodies, passwords and tokens are never fields.

use std::{io::IsTerminal, panic};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::Log;

/// Libraries that tell at `info` what is not for operators, unless they are asked: where the SDK found credentials. Its
/// warnings that it found none quote whole requests; the start says so in a sentence. Raft warns of what elections always bring.
const QUIET: &str = "aws_config=error,aws_smithy_runtime=warn,openraft=error,sqlx=warn";

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be understood.
    #[error("the log filter cannot be understood: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else has set them up.
    #[error("logs are set up already")]
    Twice,
}

/// Sends what is traced to standard error, and panics with it.
///
/// # Errors
/// The filter is none, or this was called before.
pub fn init(log: &Log) -> Result<(), LogError> {
    // What is written later in a filter counts more: who asks for these libraries' words gets them.
    let filter = EnvFilter::builder().parse(format!("{QUIET},{}", log.filter))?;
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.json {
        true => Box::new(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_writer(std::io::stderr),
        ),
        false => Box::new(
            tracing_subscriber::fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr),
        ),
    };
    let layer = layer.with_filter(filter);
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|_| LogError::Twice)?;
    log_panics();
    Ok(())
}

/// A panic ends one task; that it happened is an error for the operator, with its place. Its message is our own text
/// (`expect` with a reason), and longer ones are cut: they may quote a value.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            location = %Location(panic.location()),
            reason = reason(panic.payload()),
            "a task panicked: this is a fault of the server, please report it"
        );
    }));
}

struct Location<'a>(Option<&'a panic::Location<'a>>);

impl std::fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(location) => write!(f, "{location}"),
            None => f.write_str("unknown"),
        }
    }
}

/// The first line of a panic's message, at most 200 characters.
fn reason(payload: &dyn std::any::Any) -> &str {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let line = text.lines().next().unwrap_or_default();
    line.char_indices()
        .nth(200)
        .map_or(line, |(end, _)| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_short_line() {
        let check = |payload: Box<dyn std::any::Any>, expected: &str| {
            assert_eq!(reason(&*payload), expected)
        };
        check(Box::new("it cannot be"), "it cannot be");
        check(Box::new("first\nsecond".to_owned()), "first");
        check(Box::new("ä".repeat(300)), &"ä".repeat(200));
        check(Box::new(7), "no message");
    }

    #[test]
    fn a_wrong_filter_is_an_error() {
        let log = Log {
            filter: "a=b=c".into(),
            json: false,
        };
        assert!(matches!(init(&log), Err(LogError::Filter(_))));
    }
}
