//! Setting up: `init` creates what is missing and says what it did; `check` refuses a start in one sentence.

use std::fmt;

use storage::{Error, ErrorKind};

pub use crate::{
    dynamo::setup::{check_tables, init_tables},
    s3::setup::{check_bucket, init_bucket},
};

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was made or set.
    Done,
    /// It was so before.
    Present,
    /// It could not be, and why; what it is for is missing, but nothing else.
    Skipped(String),
}

/// A step of `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it was about: `table starling-core: expiry`.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What `init` did, in order. Its text is a line for each step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Report {
    pub(crate) fn add(&mut self, what: impl Into<String>, outcome: Outcome) {
        let what = what.into();
        self.steps.push(Step { what, outcome });
    }
    /// Whether everything was there before.
    pub fn is_unchanged(&self) -> bool {
        !self.steps.iter().any(|step| step.outcome == Outcome::Done)
    }
    /// Appends another report.
    pub fn append(&mut self, mut other: Self) {
        self.steps.append(&mut other.steps);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { what, outcome } in &self.steps {
            match outcome {
                Outcome::Done => writeln!(f, "{what}: done")?,
                Outcome::Present => writeln!(f, "{what}: as it should be")?,
                Outcome::Skipped(why) => writeln!(f, "{what}: left out ({why})")?,
            }
        }
        Ok(())
    }
}

/// What keeps a server from starting.
pub(crate) fn refusal(sentence: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, sentence)
}
