//! Which backend servers under test keep their state in.
//!
//! `STARLING_TEST_STORAGE` holds the lines of `[storage]` in a server's configuration, as the program `services` sets them
//! for what it runs; `{prefix}`, `{bucket}` and `{directory}` in them are of the
//! single server. Without it each test has what it was
//! written for: memory, or the embedded store where a server must come back.
//!
//! `STARLING_TEST_NODES` is how many nodes the server of the dialogues and of the stock clients has, over the one store that
//! `STARLING_TEST_STORAGE` names (PostgreSQL or `cloud`). Clients reach them through haproxy, each connection another one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use starling::config::{self, Sources, Storage};
use starling::stores;
use storage::Place;

pub(crate) const VARIABLE: &str = "STARLING_TEST_STORAGE";
const NODES: &str = "STARLING_TEST_NODES";

/// How many nodes a server has.
///
/// # Errors
/// The environment does not say a number above 0.
pub fn nodes() -> Result<usize> {
    let Ok(nodes) = std::env::var(NODES) else {
        return Ok(1);
    };
    let nodes = nodes.parse().context(NODES)?;
    ensure!(nodes > 0, "{NODES} is 0");
    Ok(nodes)
}

/// The lines of `[storage]` for a server with this directory; the same directory has the same state.
#[must_use]
pub fn lines(directory: &Path) -> Option<String> {
    let lines = std::env::var(VARIABLE).ok()?;
    let mut hasher = DefaultHasher::new();
    directory.hash(&mut hasher);
    // The shortest limit on names is that of SQL tables, and the narrowest alphabet as well.
    let prefix = format!("t{:016x}_", hasher.finish());
    let directory = directory.display().to_string();
    // A bucket's name has neither capitals nor `_`.
    let bucket = prefix.replace('_', "b");
    let lines = lines.replace("{prefix}", &prefix);
    let lines = lines.replace("{bucket}", &bucket);
    Some(lines.replace("{directory}", &directory))
}

/// The same as a configuration.
///
/// # Errors
/// The lines are none.
pub fn storage(directory: &Path) -> Result<Option<Storage>> {
    let lines = lines(directory);
    lines
        .map(|lines| parse(&lines).context(VARIABLE))
        .transpose()
}

/// The meaning of lines of `[storage]`.
///
/// # Errors
/// They have none.
pub fn parse(lines: &str) -> Result<Storage> {
    let file = tempfile::NamedTempFile::with_suffix(".toml")?;
    let text = format!("domains = [\"localhost\"]\n[storage]\n{lines}\n");
    std::fs::write(file.path(), text)?;
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    Ok(config::load(&sources)?.config.storage)
}

/// Makes and opens the store of a server with this directory, if the environment names one.
///
/// # Errors
/// What the store says.
pub async fn place(directory: &Path) -> Result<Option<Place>> {
    let Some(storage) = storage(directory)? else {
        return Ok(None);
    };
    stores::init(&storage, &|_| ()).await?;
    Ok(Some(stores::main_place(&storage, None).await?))
}
