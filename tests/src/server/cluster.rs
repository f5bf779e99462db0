//! Several nodes of our own server over one store, behind a balancer that goes round: the server that clients see is the
//! balancer's address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context as _, Result};
use services::Haproxy;

use super::{Certificate, DOMAIN, Target, knows_all, starling, wait_until};
use crate::backend;

/// What a node writes under `[cluster]`: the others are found in the store.
const CLUSTER: &str = "\n[cluster]\nname = \"dialogues\"\nlisten = \"127.0.0.1:0\"\n";

/// The nodes, and what is in front of them.
pub(super) struct Started {
    pub(super) children: Vec<Child>,
    pub(super) target: Target,
    pub(super) balancer: Haproxy,
}

/// The directory of a node in that of the server.
pub(super) fn room(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("node-{number}"))
}

pub(super) fn start(directory: &Path, certificate: &Certificate, nodes: usize) -> Result<Started> {
    let storage = backend::lines(directory)
        .with_context(|| format!("nodes share what {} names", backend::VARIABLE))?;
    let rooms: Vec<PathBuf> = (1..=nodes).map(|number| room(directory, number)).collect();
    for room in &rooms {
        fs::create_dir(room)?;
        let storage = format!("{storage}{CLUSTER}");
        starling::configure(room, certificate, &[DOMAIN], &storage)?;
    }
    starling::init(&rooms[0])?;
    let mut children = Vec::with_capacity(nodes);
    for room in &rooms {
        children.push(starling::launch(room)?);
    }
    let mut targets = Vec::with_capacity(nodes);
    for (child, room) in children.iter_mut().zip(&rooms) {
        let ports = starling::listening(child, room)?;
        targets.push(starling::target(certificate, DOMAIN, ports));
    }
    for ((child, room), target) in children.iter_mut().zip(&rooms).zip(&targets) {
        let pages = target.http.context("it has pages")?;
        wait_until(child, room, || knows_all(pages, nodes).then_some(()))?;
    }
    starling::add_administrator(&rooms[0])?;
    let direct: Option<Vec<_>> = targets.iter().map(|target| target.c2s_tls).collect();
    let pools = [
        targets.iter().map(|target| target.c2s).collect(),
        direct.context("they have a port with direct TLS")?,
    ];
    let balancer = Haproxy::start(&pools)?;
    let target = Target {
        c2s: balancer.addresses()[0],
        c2s_tls: Some(balancer.addresses()[1]),
        ..targets.swap_remove(0)
    };
    Ok(Started {
        children,
        target,
        balancer,
    })
}
