//! Whom to ask, and as whom.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};

/// All may be left out: then region and credentials are found as every program of AWS finds them (environment, `~/.aws`,
/// web identity, the instance's role by IMDSv2). No secret is among them: who needs static keys names a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The address of the service, for another service than AWS: `http://host:port`.
    pub endpoint: Option<String>,
    /// The region: the instance's own, say.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// A file of credentials in the form of `~/.aws/credentials`, instead of that.
    pub credentials_file: Option<PathBuf>,
}

const CONNECT: Duration = Duration::from_secs(2);
/// For one answer. Three attempts end before the watcher's patience does.
const ATTEMPT: Duration = Duration::from_secs(4);

impl Access {
    /// What the SDK finds, with what is given here put over it. Retries are ours: each takes a token of the bucket.
    pub(crate) async fn load(&self) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(file) = &self.credentials_file {
            loader = loader.credentials_provider(file_credentials(file, self.profile.as_deref()));
        }
        loader.load().await
    }
}

#[expect(
    deprecated,
    reason = "the names that replace these are of a crate that only the SDK's own crates see"
)]
fn file_credentials(file: &Path, profile: Option<&str>) -> ProfileFileCredentialsProvider {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    let files = ProfileFiles::builder()
        .with_file(ProfileFileKind::Credentials, file)
        .build();
    let mut builder = ProfileFileCredentialsProvider::builder().profile_files(files);
    if let Some(profile) = profile {
        builder = builder.profile_name(profile);
    }
    builder.build()
}
