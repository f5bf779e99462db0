//! `starling export` and `starling import`, on the store of a node that is down.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use storage::Stores;
use tokio::runtime::Runtime;
use xmpp::BareJid;

use super::{Failure, PARTLY, REFUSED, SourceArgs, load, opened, say};
use crate::{
    config::{Config, Overrides},
    transfer::{
        export::export as write,
        import::{Imported, import as read},
    },
};

fn open(source: &SourceArgs) -> Result<(Config, Runtime, Stores), Failure> {
    let config = load(source, Overrides::default())?.config;
    let (runtime, stores) = opened::open(&config, "stop the node first")?;
    Ok((config, runtime, stores))
}

pub(super) fn export(
    domain: Option<&str>,
    user: Option<&str>,
    output: Option<&Path>,
    source: &SourceArgs,
) -> Result<(), Failure> {
    let (config, runtime, stores) = open(source)?;
    let user = match user.map(BareJid::parse).transpose() {
        Ok(user) => user,
        Err(error) => return Err(Failure::new(REFUSED, format!("starling: --user: {error}"))),
    };
    let domains = match (domain, &user) {
        (Some(domain), _) => vec![runtime.block_on(known(domain, &config, &stores))?],
        (None, Some(user)) => vec![user.domain().to_owned()],
        (None, None) => config.domains.clone(),
    };
    let out: Box<dyn Write> = match output {
        // Messages and keys: for nobody else.
        Some(path) => {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path);
            Box::new(file.with_context(|| format!("writing {}", path.display()))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let done = runtime
        .block_on(write(&stores, &domains, user.as_ref(), &mut out))
        .map_err(anyhow::Error::from)?;
    say(&format!(
        "{} accounts, {} messages",
        done.accounts, done.messages
    ));
    if user.is_some() && done.accounts == 0 {
        return Err(Failure::new(REFUSED, "starling: there is no such account"));
    }
    match done.unreadable {
        0 => Ok(()),
        number => Err(Failure::new(
            PARTLY,
            format!("starling: {number} things could not be read and were left out"),
        )),
    }
}

/// A domain in its normal form, if it is served or has accounts from when it was.
pub(super) async fn known(
    domain: &str,
    config: &Config,
    stores: &Stores,
) -> Result<String, Failure> {
    let refused = |text| Failure::new(REFUSED, format!("starling: --domain: {text}"));
    let jid = BareJid::from_parts(None, domain)
        .map_err(|error| refused(format!("\"{domain}\" is no domain ({error})")))?;
    let name = jid.domain().to_owned();
    if !config.domains.contains(&name) && stores.accounts.list(&name, None, 1).await?.is_empty() {
        let served = config.domains.join(", ");
        return Err(refused(format!(
            "{name} is not served here and has no accounts; served: {served}"
        )));
    }
    Ok(name)
}

pub(super) fn import(files: &[PathBuf], source: &SourceArgs) -> Result<(), Failure> {
    let (config, runtime, stores) = open(source)?;
    let mut incomplete = Vec::new();
    for file in files {
        let reading = read(&stores, file, &config.domains, config.auth.scram_iterations);
        let done = runtime.block_on(reading).map_err(anyhow::Error::from)?;
        say(&format!(
            "{}: {} accounts, {} messages",
            file.display(),
            done.accounts,
            done.messages
        ));
        if !done.is_complete() {
            incomplete.push(format!("{}:\n{}", file.display(), left_out(&done)));
        }
    }
    match incomplete.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(PARTLY, incomplete.join("\n"))),
    }
}

fn left_out(done: &Imported) -> String {
    let mut lines = Vec::new();
    let (number, names) = &done.existing;
    if *number > 0 {
        lines.push(format!(
            "{number} accounts exist already and were left alone: {}",
            names.join(", ")
        ));
    }
    lines.extend(
        done.left_out
            .iter()
            .map(|(what, times)| format!("left out, {times} times: {what}")),
    );
    for domain in &done.strange_domains {
        lines.push(format!(
            "{domain} is not among the configured domains; add it to serve its accounts"
        ));
    }
    lines.join("\n")
}
