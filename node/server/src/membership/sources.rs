//! Sources: where addresses of other nodes come from, as the configuration names them.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::Context as _;
use cluster::NodeId;
use discovery::{
    Discovery, Dns, Fixed, Mixed, Registry, Resolver,
    source::{Me, RegistryRows},
};

use super::{status::hex, whereabouts::Whereabouts};
use crate::config::{
    Aws,
    cluster::{Cluster, Source},
};

/// The sources as one, and the registry if it is among them: a node that leaves takes its row away.
pub(super) struct Sources {
    pub(super) all: Arc<dyn Discovery>,
    pub(super) registry: Option<Arc<Registry>>,
}

/// Opens the sources that are configured.
///
/// # Errors
/// One cannot be: the system's resolver is not configured, this build does not know EC2.
pub(super) async fn open(
    cluster: &Cluster,
    node: NodeId,
    address: SocketAddr,
    whereabouts: &Whereabouts,
    rows: Arc<dyn RegistryRows>,
) -> anyhow::Result<Sources> {
    let mut opened: Vec<Arc<dyn Discovery>> = Vec::new();
    let mut registry = None;
    let resolver = || {
        let found = match cluster.dns_servers.as_slice() {
            [] => Resolver::system(),
            servers => Resolver::of_servers(servers),
        };
        found.context("reading the resolver's configuration")
    };
    for source in &cluster.sources {
        opened.push(match source {
            Source::Nodes(hosts) => Arc::new(Fixed::new(hosts.clone(), resolver()?)),
            Source::Dns(query) => Arc::new(Dns::new(query.clone(), resolver()?)),
            Source::Ec2(tags) => ec2(tags, &cluster.ec2.access, address, whereabouts).await?,
            Source::Registry => {
                let instance = whereabouts.instance.as_ref();
                let zone = Some(&*whereabouts.zone).filter(|zone| !zone.is_empty());
                let me = Me {
                    node: hex(node).into(),
                    address,
                    instance: instance.map(|it| it.instance.clone()),
                    zone: zone.map(Into::into),
                };
                let now = Arc::new(SystemTime::now);
                let opened = Registry::new(rows.clone(), me, Registry::LIFETIME, now);
                registry.insert(Arc::new(opened)).clone()
            }
        });
    }
    let all = match (opened.len(), opened.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            opened.extend(last);
            Arc::new(Mixed::new(opened))
        }
    };
    Ok(Sources { all, registry })
}

#[cfg(feature = "aws")]
async fn ec2(
    tags: &[(String, String)],
    configured: &Aws,
    address: SocketAddr,
    whereabouts: &Whereabouts,
) -> anyhow::Result<Arc<dyn Discovery>> {
    use discovery_ec2::{Access, Ec2, Ec2Options, Family};
    let configured = configured.clone();
    let options = Ec2Options {
        access: Access {
            endpoint: configured.endpoint,
            region: configured.region,
            profile: configured.profile,
            credentials_file: configured.credentials,
        },
        tags: tags.to_vec(),
        port: address.port(),
        family: match address.is_ipv4() {
            true => Family::V4,
            false => Family::V6,
        },
        ..Ec2Options::default()
    };
    let options = match &whereabouts.instance {
        Some(me) => options.beside(me),
        None => options,
    };
    Ok(Arc::new(Ec2::open(options).await?))
}

#[cfg(not(feature = "aws"))]
async fn ec2(
    _: &[(String, String)],
    _: &Aws,
    _: SocketAddr,
    _: &Whereabouts,
) -> anyhow::Result<Arc<dyn Discovery>> {
    anyhow::bail!("this starling was built without EC2; build it with `--features aws`")
}
