//! Mistakes in a configuration: where, which key, what is wrong, what to do. They are collected, never thrown one by one.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file; line and column count from 1.
    File {
        /// Which.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column, in characters.
        column: usize,
    },
    /// In a variable of the environment.
    Environment(String),
    /// In an argument of the command.
    Flag(&'static str),
    /// Said by the instance of EC2 that the node runs on.
    Instance,
    /// Nowhere: it is missing, or a default.
    Nowhere,
}

impl Place {
    /// Where a file begins: for what is missing in it.
    pub(super) fn start_of(path: &Path) -> Self {
        Self::File {
            path: path.to_owned(),
            line: 1,
            column: 1,
        }
    }

    /// Whether both are in one line of one file.
    pub(super) fn is_on_line_of(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { path, line, .. },
                Self::File {
                    path: p, line: l, ..
                },
            ) => (path, line) == (p, l),
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Instance => f.write_str("instance"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// The key, dotted; empty if the text is no TOML at all.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.wrong, self.remedy)
    }
}

/// Every mistake of a configuration, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
