//! In a build without EC2: says so when there is a group that waits.

use std::convert::Infallible;

use discovery::Instance;

use crate::config::cluster::Ec2;

/// See the file's head.
pub(super) struct Hooks;

impl Hooks {
    pub(super) async fn open(_: &Instance, _: &Ec2) -> anyhow::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn in_service(&self, _: &Instance) {}

    pub(super) async fn hold(&self, _: &Instance) -> Infallible {
        std::future::pending().await
    }

    pub(super) async fn has_gone(&self, _: &Instance) {
        tracing::warn!(
            "this starling was built without EC2: a group that waits is not told; build it with `--features aws`"
        );
    }
}
