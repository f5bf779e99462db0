//! `starling check-config`, `config`, `init`: what the configuration says, and what it needs.

use super::{Failure, SourceArgs, answer, load, say, single_threaded};
use crate::{
    config::{self, Overrides},
    stores,
};

pub(super) fn check(source: &SourceArgs) -> Result<(), Failure> {
    let loaded = load(source, Overrides::default())?;
    let mistakes = loaded.certificate_mistakes();
    if !mistakes.is_empty() {
        return Err(config::Mistakes(mistakes).into());
    }
    for note in &loaded.notes {
        say(&format!("note: {note}"));
    }
    let file = match &loaded.file {
        Some(file) => file.display().to_string(),
        None if loaded.is_launched => "user data".to_owned(),
        None => "no file: a development node".to_owned(),
    };
    answer(&format!(
        "{file}: no mistakes; serves {}",
        loaded.config.domains.join(", ")
    ));
    Ok(())
}

pub(super) fn show(source: &SourceArgs) -> Result<(), Failure> {
    let loaded = load(source, Overrides::default())?;
    for origin in &loaded.origins {
        answer(&origin.to_string());
    }
    Ok(())
}

pub(super) fn init(source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    let runtime = single_threaded()?;
    Ok(runtime.block_on(stores::init(&config.storage, &answer))?)
}
