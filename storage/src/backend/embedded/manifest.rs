//! Manifest: which files count. Replaced whole; what it does not name is not there.
//!
//! Lines of text: `starling-store 1`, `log <least log that is still needed>`, `next <number of the next file>`, one
//! `run <number>` each, newest first, and `sum <CRC-32 of all before>`.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use super::{
    disk::{Disk, prepare_file},
    io::{corrupt, failed},
};
use crate::error::Result;

const NAME: &str = "manifest";
const TITLE: &str = "starling-store 1\n";

/// What the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Logs below this one are in runs.
    pub(super) log: u64,
    /// No run has this number or one above.
    pub(super) next: u64,
    /// The runs, newest first.
    pub(super) runs: Vec<u64>,
}

impl Manifest {
    /// Of an empty store.
    pub(super) fn new() -> Self {
        Self {
            log: 1,
            next: 1,
            runs: Vec::new(),
        }
    }

    /// Reads it; `None` where no store is yet.
    pub(super) fn load(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text)
                .map(Some)
                .ok_or_else(|| corrupt("a damaged manifest", &path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(corrupt("a damaged manifest", &path))
            }
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Writes it, durable, but not in force.
    ///
    /// # Errors
    /// `Unavailable`: the one before stays in force.
    pub(super) fn prepare(&self, disk: &dyn Disk, directory: &Path) -> Result<Prepared> {
        let path = directory.join(NAME);
        let fresh = prepare_file(disk, &path, self.to_text().as_bytes())
            .map_err(|error| failed("write", &path, error))?;
        Ok(Prepared { fresh, path })
    }

    fn to_text(&self) -> String {
        let mut text = format!("{TITLE}log {}\nnext {}\n", self.log, self.next);
        for run in &self.runs {
            let _ = writeln!(text, "run {run}");
        }
        let sum = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "sum {sum:08x}");
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.split_at_checked(text.rfind("sum ")?)?;
        if sum != format!("sum {:08x}\n", crc32fast::hash(body.as_bytes())) {
            return None;
        }
        let mut manifest = Self::new();
        for line in body.strip_prefix(TITLE)?.lines() {
            let (word, number) = line.split_once(' ')?;
            let number = number.parse().ok()?;
            match word {
                "log" => manifest.log = number,
                "next" => manifest.next = number,
                "run" => manifest.runs.push(number),
                _ => return None,
            }
        }
        Some(manifest)
    }
}

/// A manifest that waits to be put in force.
pub(super) struct Prepared {
    fresh: PathBuf,
    path: PathBuf,
}

impl Prepared {
    /// Puts it in force.
    ///
    /// # Errors
    /// `Unavailable`: nobody knows which one is.
    pub(super) fn publish(self, disk: &dyn Disk) -> Result<()> {
        let rename = || {
            disk.rename(&self.fresh, &self.path)?;
            disk.sync_directory(self.path.parent().expect("it is in the store's directory"))
        };
        rename().map_err(|error| failed("replace", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_comes_back_and_a_damaged_one_does_not() {
        let manifest = Manifest {
            log: 7,
            next: 12,
            runs: vec![11, 9, 2],
        };
        let text = manifest.to_text();
        assert_eq!(Manifest::parse(&text), Some(manifest));
        for cut in 0..text.len() {
            assert_eq!(Manifest::parse(&text[..cut]), None, "{cut}");
            let mut damaged = text.clone().into_bytes();
            damaged[cut] ^= 1;
            assert_eq!(
                String::from_utf8(damaged)
                    .ok()
                    .and_then(|text| Manifest::parse(&text)),
                None,
                "{cut}"
            );
        }
    }
}
