//! Health: whether the store takes writes, and what keeps it from that.
//!
//! | trouble | what is known | what becomes of it |
//! |---|---|---|
//! | no room for a frame, or no file for the next log | the log ends before it, whole | refused; looked again after a pause; goes on by itself |
//! | a write or a sync failed | nothing of what came after the last sync | refused until the store is opened again |

use std::time::Instant;

use parking_lot::Mutex;

use super::disk::is_full;
use crate::error::{Error, ErrorKind};

#[derive(Default)]
enum State {
    #[default]
    Writes,
    Pausing {
        error: Error,
        /// What is looked for.
        bytes: usize,
        again: Instant,
    },
    Broken(Error),
}

/// Shared by the writer, the janitor and those who ask.
#[derive(Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

impl Health {
    /// What keeps the store from writing.
    pub(super) fn trouble(&self) -> Option<Error> {
        match &*self.state.lock() {
            State::Writes => None,
            State::Pausing { error, .. } | State::Broken(error) => Some(error.clone()),
        }
    }

    /// Nothing was written, mostly because there was no room for so many bytes; returns what writers are told.
    pub(super) fn pause(&self, cause: Error, bytes: usize, again: Instant) -> Error {
        let mut state = self.state.lock();
        match &mut *state {
            State::Broken(error) => error.clone(),
            State::Pausing {
                error, again: then, ..
            } => {
                *then = again;
                error.clone()
            }
            State::Writes => {
                let what = match lacks_room(&cause) {
                    true => "the disk is full: nothing is stored until there is room",
                    false => "nothing is stored until the disk takes it",
                };
                tracing::error!(cause = %chain(&cause), "{what}; the store then goes on by itself");
                // Not `Unavailable`: it is known that nothing was written.
                let error = Error::new(ErrorKind::Throttled, what).with_source(cause);
                *state = State::Pausing {
                    error: error.clone(),
                    bytes,
                    again,
                };
                error
            }
        }
    }

    /// There is room again.
    pub(super) fn goes_on(&self) {
        let mut state = self.state.lock();
        if let State::Pausing { .. } = &*state {
            tracing::info!("the disk takes writes again: the store goes on");
            *state = State::Writes;
        }
    }

    /// When to look for room, and for how much; `None`: it is not missing.
    pub(super) fn looks_again(&self) -> Option<(Instant, usize)> {
        match &*self.state.lock() {
            State::Pausing { again, bytes, .. } => Some((*again, *bytes)),
            _ => None,
        }
    }

    /// Nobody knows any more what the disk holds; returns what writers are told from now on.
    pub(super) fn broken(&self, cause: Error) -> Error {
        let mut state = self.state.lock();
        if let State::Broken(error) = &*state {
            return error.clone();
        }
        tracing::error!(
            cause = %chain(&cause),
            "a write to the disk failed: nothing is stored from now on; see to the disk, then start the node again: it \
             goes on from what the disk holds"
        );
        let error = Error::new(
            ErrorKind::Unavailable,
            "a write to the disk failed: see to the disk, then start the node again",
        )
        .with_source(cause);
        *state = State::Broken(error.clone());
        error
    }

    /// Whether it is broken.
    pub(super) fn is_broken(&self) -> bool {
        matches!(*self.state.lock(), State::Broken(_))
    }
}

/// Whether that is all that is wrong.
fn lacks_room(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|it| it.downcast_ref());
    cause.is_some_and(is_full)
}

/// An error with its cause.
fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
