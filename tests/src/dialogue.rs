//! Dialogues: scripts in which clients send and receive XML, played against a running server.
//!
//! The language is told in `tests/dialogues/README.md`. [`script`] reads it, [`template`] fills and matches text with
//! holes, [`pattern`] compares elements, [`stage`] plays. Why: a rule of an RFC is best tested by the exchange that the
//! RFC shows, and anyone who knows XMPP can judge it. Stored: nothing.

pub mod pattern;
pub mod script;
pub mod stage;
pub mod template;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use script::Script;
pub use stage::play;

/// All scripts below a directory, sorted.
///
/// # Errors
/// If a directory cannot be read.
pub fn find(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "xmpp")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
