//! What the instance was given at its launch, for a node without a configuration file.

use std::path::Path;

use anyhow::Context as _;
use discovery::instance::{Instance, Options};

use crate::config::{Launched, user_data::CLUSTER_TAG};

/// Reads it; `None`: this is no instance of EC2. Asks nobody where the machine does not look like one: the address of the
/// service means something else elsewhere, and a start shall not wait for it.
///
/// # Errors
/// It is one, and it cannot be read.
pub async fn launched() -> anyhow::Result<Option<Launched>> {
    let variable = |name: &str| std::env::var(name).ok();
    let options = Options::from_environment(variable);
    if options.endpoint.is_none() && !looks_like_one(Path::new("/sys")) {
        return Ok(None);
    }
    let doubt = "reading user data from the instance metadata service; name a configuration file by --config, or set \
                 AWS_EC2_METADATA_DISABLED=true to do without";
    let found = async {
        match Instance::detect(options).await? {
            Some(instance) => read(&instance).await.map(Some),
            None => Ok(None),
        }
    };
    found.await.context(doubt)
}

async fn read(instance: &Instance) -> discovery::Result<Launched> {
    let data = instance.user_data().await?;
    Ok(Launched {
        data: data.map(|data| data.to_vec()),
        region: instance.identity().await?.region.into(),
        account: instance.account().await?,
        cluster: instance.tag(CLUSTER_TAG).await?,
    })
}

/// Whether the machine says that it is one: by its maker (Nitro), or by its number (Xen). Source: Amazon EC2 User Guide,
/// "Detect whether a host is an EC2 instance".
fn looks_like_one(sys: &Path) -> bool {
    let says = |file: &str, word: &str| {
        let text = std::fs::read_to_string(sys.join(file)).unwrap_or_default();
        text.trim().to_ascii_lowercase().starts_with(word)
    };
    says("class/dmi/id/sys_vendor", "amazon ec2")
        || says("class/dmi/id/bios_vendor", "amazon")
        || says("hypervisor/uuid", "ec2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_say_who_made_them() {
        let check = |file: &str, text: &str, expected: bool| {
            let sys = tempfile::tempdir().unwrap();
            let file = sys.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
            assert_eq!(looks_like_one(sys.path()), expected, "{text}");
        };
        check("class/dmi/id/sys_vendor", "Amazon EC2\n", true);
        check("class/dmi/id/sys_vendor", "QEMU\n", false);
        check("hypervisor/uuid", "EC2e1916-9099-7caf\n", true);
        check("other", "Amazon EC2\n", false);
    }
}
