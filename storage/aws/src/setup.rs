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
    /// It is otherwise than `init` makes it, how, and stays so: the operator chose it.
    Kept(String),
}

/// Who is told what `init` does: a line for each step when it is done, and some while it waits.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

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

/// A report in the making: each step is told when it is done, so that it is known also if a later one fails.
pub(crate) struct Progress<'a> {
    pub(crate) tell: Tell<'a>,
    pub(crate) report: Report,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(tell: Tell<'a>) -> Self {
        Self {
            tell,
            report: Report::default(),
        }
    }
    pub(crate) fn add(&mut self, what: impl Into<String>, outcome: Outcome) {
        let what = what.into();
        let step = Step { what, outcome };
        (self.tell)(&step.to_string());
        self.report.steps.push(step);
    }
}

impl Report {
    /// Whether everything was there before.
    pub fn is_unchanged(&self) -> bool {
        !self.steps.iter().any(|step| step.outcome == Outcome::Done)
    }
    /// Appends another report.
    pub fn append(&mut self, mut other: Self) {
        self.steps.append(&mut other.steps);
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, outcome } = self;
        match outcome {
            Outcome::Done => write!(f, "{what}: done"),
            Outcome::Present => write!(f, "{what}: as it should be"),
            Outcome::Skipped(why) => write!(f, "{what}: left out ({why})"),
            Outcome::Kept(how) => write!(f, "{what}: left as it is ({how})"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// What keeps a server from starting.
pub(crate) fn refusal(sentence: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, sentence)
}
