//! `starling certificate`: certificates in the store that nodes share. They see others within a minute, without a restart.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use storage::repository::{CertificateName, CertificatePem, MAX_PEM};

use super::{Failure, REFUSED, SourceArgs, answer, load, opened};
use crate::{
    config::Overrides,
    net::{Acceptor, Held, TlsSettings, certificate::Facts},
};

#[derive(Debug, Subcommand)]
pub(super) enum CertificateCommand {
    /// Put a certificate into the store, in the place of the one of this name. `[[certificates]] stored = "NAME"` uses it.
    Put {
        /// What it is called.
        name: String,
        /// The chain as a PEM file, the leaf first.
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// The key of the leaf as a PEM file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// List certificates of the store: name, end, what they are for.
    List,
    /// Remove a certificate. Nodes that use it go on, and do not start again.
    Remove {
        /// What it is called.
        name: String,
    },
}

pub(super) fn run(command: &CertificateCommand, source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    // Nothing is opened for what cannot be.
    let put = match command {
        CertificateCommand::Put { name, chain, key } => Some(read(name, chain, key)?),
        _ => None,
    };
    let (runtime, stores) = opened::open(&config, "stop the node first")?;
    let certificates = stores.certificates;
    runtime.block_on(async {
        match (command, put) {
            (CertificateCommand::Put { .. }, Some((name, pem, facts))) => {
                certificates.put(&name, pem).await?;
                answer(&line(&name, &facts));
            }
            (CertificateCommand::Remove { name }, _) => {
                certificates.remove(&known(name)?).await?;
            }
            (CertificateCommand::Put { .. } | CertificateCommand::List, _) => {
                for name in certificates.list().await? {
                    let Some(pem) = certificates.load(&name).await? else {
                        continue;
                    };
                    match facts(&name, &pem) {
                        Ok(facts) => answer(&line(&name, &facts)),
                        Err(error) => answer(&format!("{name}  {error:#}")),
                    }
                }
            }
        }
        Ok(())
    })
}

fn known(name: &str) -> Result<CertificateName, Failure> {
    CertificateName::new(name).ok_or_else(|| {
        let what = "up to 64 lower-case letters, digits, `.`, `-` and `_`";
        Failure::new(REFUSED, format!("starling: \"{name}\" is no name: {what}"))
    })
}

/// Reads a certificate that is to be put, and refuses what no node could use.
fn read(
    name: &str,
    chain: &Path,
    key: &Path,
) -> Result<(CertificateName, CertificatePem, Facts), Failure> {
    let name = known(name)?;
    let mut pem = Vec::new();
    for file in [chain, key] {
        let opened = std::fs::File::open(file);
        let read = opened.and_then(|it| it.take(MAX_PEM as u64 + 1).read_to_end(&mut pem));
        read.with_context(|| format!("reading {}", file.display()))?;
        pem.push(b'\n');
    }
    let pem = CertificatePem(pem.into());
    match facts(&name, &pem) {
        Ok(facts) => Ok((name, pem, facts)),
        Err(error) => Err(Failure::new(REFUSED, format!("starling: {error:#}"))),
    }
}

/// What a certificate says, if a node could use it.
fn facts(name: &CertificateName, pem: &CertificatePem) -> anyhow::Result<Facts> {
    let settings = TlsSettings {
        held: vec![Held::new(name.as_str(), Vec::new(), pem.0.clone())],
        ..TlsSettings::default()
    };
    let mut facts = Acceptor::new(settings)?.certificates().into_iter();
    facts.next().context("it is none")
}

fn line(name: &CertificateName, facts: &Facts) -> String {
    let end = time::OffsetDateTime::from_unix_timestamp(facts.not_after)
        .map_or_else(|_| "never".to_owned(), |end| end.date().to_string());
    format!("{name}  until {end}  for {}", facts.names.join(", "))
}
