//! Secrets: by which nodes of one cluster know each other. The operator's, or those that the shared store keeps.
//!
//! Those of the store are read again and again, so that they can be replaced while nodes run; every node helps a replacement
//! on (`storage::repository::control`).

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use cluster::link::Secret;
use parking_lot::Mutex;
use storage::{
    ErrorKind,
    repository::{ClusterSecrets, Control},
};

use super::{lines::Lines, rows::seconds};
use crate::config::cluster::Cluster;

/// The secrets that count, the one that proves first, and as the store has them if they are its own.
///
/// # Errors
/// The file or the store cannot be read; what a file holds is no secret.
pub(super) async fn load(
    cluster: &Cluster,
    control: &Control,
) -> anyhow::Result<(Vec<Secret>, Option<ClusterSecrets>)> {
    if let Some(file) = &cluster.secret_file {
        let place = || format!("reading the cluster's secrets in {}", file.display());
        let text = std::fs::read_to_string(file).with_context(place)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Result<Vec<_>, _> = lines.map(|line| Secret::new(line.as_bytes())).collect();
        return Ok((secrets.with_context(place)?, None));
    }
    if !cluster.secrets.is_empty() {
        let written = cluster.secrets.iter();
        let secrets = written.map(|secret| Secret::new(secret.expose().as_bytes()));
        let secrets: Result<Vec<_>, _> = secrets.collect();
        return Ok((secrets?, None));
    }
    let stored = control.secrets(seconds(SystemTime::now())).await;
    let stored = stored.context("reading the cluster's secrets in the store")?;
    Ok((usable(&stored)?, Some(stored)))
}

fn usable(stored: &ClusterSecrets) -> anyhow::Result<Vec<Secret>> {
    let secrets = stored.valid.iter();
    let secrets: Result<Vec<_>, _> = secrets.map(|one| Secret::new(one.expose())).collect();
    Ok(secrets?)
}

/// Follows the secrets of the store, if it keeps them, for as long as the links are open.
pub(super) async fn follow(
    control: Arc<Control>,
    lines: Arc<Lines>,
    seen: Arc<Mutex<Option<ClusterSecrets>>>,
) {
    let Some(mut current) = seen.lock().clone() else {
        return;
    };
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(ClusterSecrets::READ_EVERY).await;
        let now = seconds(SystemTime::now());
        match control.secrets(now).await {
            Ok(found) if found.version != current.version => {
                since = Instant::now();
                current = found;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "reading the cluster's secrets"),
        }
        match control.step_secrets(&current, since.elapsed(), now).await {
            Ok(Some(next)) => {
                tracing::info!(rotation = ?next.rotation, "the cluster's secrets");
                since = Instant::now();
                current = next;
            }
            Ok(None) => {}
            // Another node took the step.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => tracing::warn!(%error, "changing the cluster's secrets"),
        }
        let Some(links) = lines.links() else { return };
        if let Ok(secrets) = usable(&current)
            && let Err(error) = links.set_secrets(secrets)
        {
            tracing::error!(%error, "the cluster's secrets cannot be used");
        }
        *seen.lock() = Some(current.clone());
    }
}
