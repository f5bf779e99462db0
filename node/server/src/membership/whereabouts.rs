//! Whereabouts: what this node is called, and where others reach it.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context as _, bail};
use discovery::instance::{Identity, Instance, Options};

use crate::config::cluster::{Cluster, Source};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// What people call it: the instance, or the machine.
    pub(super) name: String,
    /// Where others reach it; `None`: where it listens, which is one address.
    pub(super) address: Option<SocketAddr>,
    /// What fails together with it.
    pub(super) zone: String,
    /// The instance of EC2 that it is on, where somebody needs to know.
    pub(super) instance: Option<Identity>,
}

impl Whereabouts {
    /// Looks.
    ///
    /// # Errors
    /// Nobody can say where others reach this node.
    pub(super) async fn find(cluster: &Cluster) -> anyhow::Result<Self> {
        let is_wildcard = cluster.listen.ip().is_unspecified();
        let needs_address = cluster.advertise.is_none() && is_wildcard;
        let is_in_ec2 = |source: &Source| matches!(source, Source::Ec2(_));
        let instance = match needs_address || cluster.sources.iter().any(is_in_ec2) {
            true => instance().await?,
            false => None,
        };
        let address = match (cluster.advertise, needs_address) {
            (Some(address), _) => Some(address),
            (None, false) => None,
            (None, true) => {
                let ip = match &instance {
                    Some(identity) => of_instance(identity, cluster.listen.ip()),
                    None => of_default_route(cluster.listen.ip()),
                };
                let Some(ip) = ip else {
                    bail!(
                        "it is not known where other nodes reach this one: set cluster.advertise"
                    );
                };
                Some(SocketAddr::new(ip, cluster.listen.port()))
            }
        };
        let zone = cluster.zone.clone();
        let zone = zone.or_else(|| Some(instance.as_ref()?.zone.to_string()));
        Ok(Self {
            name: match &instance {
                Some(identity) => identity.instance.to_string(),
                None => machine(),
            },
            address,
            zone: zone.unwrap_or_default(),
            instance,
        })
    }
}

async fn instance() -> anyhow::Result<Option<Identity>> {
    let variable = |name: &str| std::env::var(name).ok();
    let options = Options::from_environment(variable);
    let found = Instance::detect(options)
        .await
        .context("asking the instance metadata service; set cluster.advertise to do without")?;
    match found {
        Some(instance) => Ok(Some(instance.identity().await?)),
        None => Ok(None),
    }
}

/// The private address, of the version in which the node listens.
fn of_instance(identity: &Identity, listen: IpAddr) -> Option<IpAddr> {
    let (v4, v6) = (
        identity.ipv4.map(IpAddr::from),
        identity.ipv6.map(IpAddr::from),
    );
    match listen {
        IpAddr::V4(_) => v4,
        IpAddr::V6(_) => v4.or(v6),
    }
}

/// The address from which a packet to the world would leave. None is sent: addresses for documentation (RFC 5737, 3849).
fn of_default_route(listen: IpAddr) -> Option<IpAddr> {
    let from = |any: &str, to: &str| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    };
    let v4 = from("0.0.0.0", "192.0.2.1");
    match listen {
        IpAddr::V4(_) => v4,
        IpAddr::V6(_) => v4.or_else(|| from("::", "2001:db8::1")),
    }
}

/// The name of this machine.
fn machine() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Sources};

    use super::*;

    fn configured(lines: &str) -> Cluster {
        let toml = format!(
            "domains = [\"example.org\"]\n[storage]\nbackend = \"postgresql\"\nurl = \"postgresql://s@db/s\"\n[cluster]\n{lines}\n"
        );
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let sources = Sources {
            file: Some(file.path().to_owned()),
            ..Sources::default()
        };
        config::load(&sources).unwrap().config.cluster.unwrap()
    }

    #[tokio::test]
    async fn what_is_written_counts() {
        let check = async |lines: &str, address: Option<&str>, zone: &str| {
            let found = Whereabouts::find(&configured(lines)).await.unwrap();
            let expected = address.map(|address| address.parse().unwrap());
            assert_eq!((found.address, &*found.zone), (expected, zone), "{lines}");
            assert!(!found.name.is_empty() && found.instance.is_none());
        };
        check("listen = \"127.0.0.1:0\"", None, "").await;
        check("listen = \"127.0.0.1:1\"\nzone = \"a\"", None, "a").await;
        check("advertise = \"10.0.0.1\"", Some("10.0.0.1:7269"), "").await;
        check("advertise = \"10.0.0.1:9\"", Some("10.0.0.1:9"), "").await;
    }
}
