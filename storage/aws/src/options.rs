//! Where the services are, who asks, how long is waited.
//!
//! All of [`Access`] may be left out: then region, credentials and endpoint are found as every program of AWS finds them
//! (environment, `~/.aws`, web identity, ECS, the instance's role by IMDSv2). No secret is among the options: who needs
//! static keys names a file of credentials or a profile.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError};
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use storage::{Result, layer::RetryPolicy};

use crate::{failure::chain, setup::refusal};

/// How long credentials are looked for before a start: an instance's role is asked for over the network, several times.
const CREDENTIALS: Duration = Duration::from_secs(20);

/// Whom to ask, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The address of the service, for another service than AWS: `http://host:port`.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// A file of credentials in the form of `~/.aws/credentials`, instead of that.
    pub credentials_file: Option<PathBuf>,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the answer to one request. Of a download the answer is its beginning; a body that stops flowing is given up
    /// after some seconds of nothing.
    pub attempt: Duration,
    /// No attempt begins later than this after the first.
    pub operation: Duration,
}

/// Options of [`DynamoTable`](crate::DynamoTable).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoOptions {
    /// Whom to ask.
    pub access: Access,
    /// What the names of the four tables begin with.
    pub prefix: String,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retry: RetryPolicy,
    /// Whether `init` asks for point-in-time recovery.
    pub point_in_time_recovery: bool,
    /// Submitted batches that are under way at most; beyond that a submission is `Throttled`.
    pub submitted: usize,
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            access: Access::default(),
            prefix: "starling-".into(),
            // An item is answered in milliseconds: what takes a second will not be answered, and another connection
            // reaches another host.
            timeouts: Timeouts {
                connect: Duration::from_secs(1),
                attempt: Duration::from_secs(2),
                operation: Duration::from_secs(8),
            },
            retry: RetryPolicy {
                attempts: 6,
                first: Duration::from_millis(25),
                longest: Duration::from_secs(1),
                ..RetryPolicy::default()
            },
            point_in_time_recovery: true,
            submitted: 1024,
        }
    }
}

/// Options of [`S3Blobs`](crate::S3Blobs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// Whom to ask.
    pub access: Access,
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, for a bucket that others use too: nothing, or something that ends with `/`.
    pub prefix: String,
    /// `http://host/bucket` instead of `http://bucket.host`, as other services than AWS want it.
    pub path_style: bool,
    /// Objects of this size or more are sent in parts.
    pub multipart_from: usize,
    /// The size of a part, at least 5 MiB; more where there would be more than 10,000 parts.
    pub part: usize,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How long to wait where much is sent ([`S3Options::LARGE`] or more), or where S3 puts parts together.
    pub large: Timeouts,
    /// How often to try.
    pub retry: RetryPolicy,
}

impl S3Options {
    /// The bytes from which a request counts as large.
    pub const LARGE: usize = 1 << 20;

    /// The usual options for this bucket.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            access: Access::default(),
            bucket: bucket.into(),
            prefix: String::new(),
            path_style: false,
            multipart_from: 16 << 20,
            part: 8 << 20,
            // A client's next requests wait behind its vCard: when S3 does not answer at all, that is told after 10 s
            // at most, of which the last attempt, begun before the sixth second ends, has four. S3 begins to answer
            // within some hundred milliseconds, and how long a download takes is not limited by these.
            timeouts: Timeouts {
                connect: Duration::from_secs(2),
                attempt: Duration::from_secs(4),
                operation: Duration::from_secs(6),
            },
            // Long enough for the largest single put (16 MiB) on a line of a megabyte a second. Segments of logs, which
            // no client waits for, and uploads in parts.
            large: Timeouts {
                connect: Duration::from_secs(2),
                attempt: Duration::from_secs(20),
                operation: Duration::from_secs(45),
            },
            retry: RetryPolicy {
                attempts: 5,
                first: Duration::from_millis(50),
                longest: Duration::from_secs(2),
                ..RetryPolicy::default()
            },
        }
    }
}

impl Timeouts {
    /// The policy, bound by these.
    pub(crate) fn bound(&self, retry: &RetryPolicy) -> RetryPolicy {
        RetryPolicy {
            within: self.operation,
            ..retry.clone()
        }
    }
}

impl Access {
    /// What the SDK finds, with what is given here put over it. Asks the network for credentials only when they are
    /// needed.
    pub(crate) async fn load(&self, timeouts: &Timeouts) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(timeouts.connect)
                    // No time for reads: it would count the sending of the body, and requests that may take
                    // longer than others would need connections of their own.
                    .operation_attempt_timeout(timeouts.attempt)
                    .build(),
            )
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled()
                    .grace_period(Duration::from_secs(5))
                    .build(),
            );
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

    /// Whether there are a region and credentials.
    ///
    /// # Errors
    /// `Unavailable` with a sentence that says where they are looked for.
    pub(crate) async fn check(&self, timeouts: &Timeouts) -> Result<()> {
        if let Some(file) = &self.credentials_file {
            let readable = std::fs::File::open(file).map_err(|error| {
                let file = file.display();
                refusal(format!(
                    "the file of credentials {file} cannot be read: {error}"
                ))
            });
            readable?;
        }
        let found = self.load(timeouts).await;
        if found
            .region()
            .is_none_or(|region| region.as_ref().is_empty())
        {
            return Err(refusal(
                "no region was found: write `region` in the configuration, or set AWS_REGION",
            ));
        }
        let Some(provider) = found.credentials_provider() else {
            return Err(self.no_credentials("nobody is to give them"));
        };
        let asked = provider.provide_credentials();
        match tokio::time::timeout(CREDENTIALS, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.no_credentials(&reason(&error))),
            Err(_) => Err(self.no_credentials("no answer in time")),
        }
    }

    fn no_credentials(&self, reason: &str) -> storage::Error {
        let profile = self.profile.as_deref().unwrap_or("default");
        let place = match &self.credentials_file {
            Some(file) => format!(
                "in {}, where a section [{profile}] must have aws_access_key_id and aws_secret_access_key",
                file.display()
            ),
            None => format!(
                "in the environment (AWS_ACCESS_KEY_ID), the profile {profile} of ~/.aws, a web identity, the role of \
                 the container or of the instance; or name a file with `credentials`"
            ),
        };
        refusal(format!(
            "no credentials for AWS were found ({reason}): looked for them {place}"
        ))
    }
}

/// Why there are none: what it says of itself and its causes, without the requests that the SDK would quote.
pub(crate) fn reason(error: &CredentialsError) -> String {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "there are none".into(),
        CredentialsError::ProviderTimedOut(_) => "no answer in time".into(),
        other => chain(other),
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
