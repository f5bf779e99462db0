//! A group of instances under moto, behind the proxy for faults.

use discovery::{
    Instance,
    instance::{Identity, Options},
};
use discovery_ec2::{Access, Ec2Options};
use services::{
    Faults, Moto,
    moto::{Group, Network, REGION},
};

pub(crate) const PORT: u16 = 5270;
pub(crate) const TAGS: &[(&str, &str)] = &[("starling", "chat"), ("stage", "test")];

pub(crate) struct Cluster {
    pub(crate) moto: Moto,
    pub(crate) faults: Faults,
    pub(crate) network: Network,
    pub(crate) group: &'static str,
}

impl Cluster {
    /// A group of so many, with hooks (name, transition, patience in seconds).
    pub(crate) async fn start(size: usize, hooks: &[(&str, &str, u32)]) -> Self {
        let moto = Moto::start().unwrap();
        let network = moto.network(64).unwrap();
        let name = "chat";
        let group = Group {
            name,
            size,
            tags: TAGS,
            hooks,
            ..Group::default()
        };
        moto.group(&network, &group).unwrap();
        Self {
            faults: Faults::start(&moto.url()).await.unwrap(),
            moto,
            network,
            group: name,
        }
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            endpoint: Some(self.faults.url()),
            region: Some(REGION.into()),
            credentials_file: Some(self.moto.credentials()),
            ..Access::default()
        }
    }

    /// By the tags, in pages of 5.
    pub(crate) fn options(&self) -> Ec2Options {
        let tags = TAGS.iter();
        Ec2Options {
            access: self.access(),
            tags: tags.map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            port: PORT,
            page: 5,
            burst: 10_000,
            ..Ec2Options::default()
        }
    }

    /// The members of the group.
    pub(crate) fn ids(&self) -> Vec<String> {
        let members = self.moto.members(self.group).unwrap();
        members.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) async fn instance(&self, id: &str) -> Instance {
        let options = Options {
            endpoint: Some(self.moto.metadata(id)),
            ..Options::default()
        };
        Instance::detect(options).await.unwrap().unwrap()
    }

    pub(crate) async fn identity(&self, id: &str) -> Identity {
        self.instance(id).await.identity().await.unwrap()
    }
}
