//! The bucket: created by `init`, looked at by `check`.

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
        CreateBucketConfiguration, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
        PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
        ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    },
};
use storage::{Result, layer::Call};

use super::{Inner, S3Blobs, read::code};
use crate::{
    Report, S3Options,
    failure::{Failure, persist},
    setup::{Outcome, Progress, Tell, refusal},
    tally::Tally,
};

/// Parts of an upload that nobody completed are removed after so many days.
const ABORT_AFTER_DAYS: i32 = 7;
const RULE: &str = "starling-abort-incomplete-uploads";
/// An object that never is.
const NEVER: &str = "starling-check";
/// What services say to what they do not know.
const UNKNOWN: [&str; 4] = [
    "NotImplemented",
    "MethodNotAllowed",
    "UnsupportedOperation",
    "XNotImplemented",
];

/// Creates the bucket if it is missing; keeps the public out, encrypts, removes what is left of broken uploads. May be
/// repeated; rules that others set stay.
///
/// # Errors
/// `Unavailable` with a sentence for the operator.
pub async fn init_bucket(options: &S3Options, tell: Tell<'_>) -> Result<Report> {
    options.access.check(&options.timeouts).await?;
    let blobs = S3Blobs::open(options).await;
    let setup = Setup(&blobs.inner);
    let (mut progress, name) = (Progress::new(tell), format!("bucket {}", options.bucket));
    progress.add(name.clone(), setup.create().await?);
    progress.add(format!("{name}: no public access"), setup.private().await?);
    progress.add(format!("{name}: encryption"), setup.encryption().await?);
    progress.add(
        format!("{name}: end of broken uploads"),
        setup.lifecycle().await?,
    );
    Ok(progress.report)
}

/// Whether the bucket is there and objects may be listed, read, written and removed. Changes nothing.
///
/// # Errors
/// `Unavailable` with one sentence that names the bucket, what is wrong, and what helps.
pub async fn check_bucket(options: &S3Options) -> Result<()> {
    options.access.check(&options.timeouts).await?;
    let blobs = S3Blobs::open(options).await;
    let setup = Setup(&blobs.inner);
    if !setup.exists().await? {
        return Err(refusal(format!(
            "S3 bucket {} does not exist; `starling init` creates it",
            options.bucket
        )));
    }
    setup.check_permissions().await
}

struct Setup<'a>(&'a Inner);

impl Setup<'_> {
    fn client(&self) -> &Client {
        &self.0.client
    }

    fn bucket(&self) -> &str {
        &self.0.options.bucket
    }

    fn failure<E>(&self, action: &str, error: SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Failure::of(&format!("{}, {action}", self.0.what()), error)
    }

    async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        persist(&self.0.retries, &Tally::new(Call::BlobGet, None), ask)
            .await
            .map_err(|failure| refusal(failure.sentence()))
    }

    async fn exists(&self) -> Result<bool> {
        self.ask(|| async {
            let head = self.client().head_bucket().bucket(self.bucket());
            let error = match head.send().await {
                Ok(_) => return Ok(true),
                Err(error) => error,
            };
            match error.raw_response().map(|raw| raw.status().as_u16()) {
                Some(404) => Ok(false),
                Some(301) => Err(Failure::of_code(
                    &format!("{}, in another region than configured", self.0.what()),
                    "PermanentRedirect",
                    "set the region of the bucket",
                    301,
                )),
                _ => Err(self.failure("s3:ListBucket", error)),
            }
        })
        .await
    }

    async fn create(&self) -> Result<Outcome> {
        if self.exists().await? {
            return Ok(Outcome::Present);
        }
        self.ask(|| async {
            let region = self.client().config().region().map(ToString::to_string);
            // The first region is the default, and may not be named.
            let place = region.filter(|region| region != "us-east-1").map(|region| {
                CreateBucketConfiguration::builder()
                    .location_constraint(BucketLocationConstraint::from(region.as_str()))
                    .build()
            });
            let create = self.client().create_bucket().bucket(self.bucket());
            match create.set_create_bucket_configuration(place).send().await {
                Ok(_) => Ok(()),
                Err(error) if code(&error) == Some("BucketAlreadyOwnedByYou") => Ok(()),
                Err(error) => Err(self.failure("s3:CreateBucket", error)),
            }
        })
        .await?;
        Ok(Outcome::Done)
    }

    async fn private(&self) -> Result<Outcome> {
        self.ask(|| async {
            let get = self.client().get_public_access_block();
            let found = match get.bucket(self.bucket()).send().await {
                Ok(found) => found.public_access_block_configuration,
                Err(error) if is_unknown(&error) => return Ok(skipped()),
                Err(error) if code(&error) == Some("NoSuchPublicAccessBlockConfiguration") => None,
                Err(error) => return Err(self.failure("s3:GetBucketPublicAccessBlock", error)),
            };
            let all = PublicAccessBlockConfiguration::builder()
                .block_public_acls(true)
                .ignore_public_acls(true)
                .block_public_policy(true)
                .restrict_public_buckets(true)
                .build();
            if found.as_ref() == Some(&all) {
                return Ok(Outcome::Present);
            }
            let put = self
                .client()
                .put_public_access_block()
                .bucket(self.bucket());
            let put = put.public_access_block_configuration(all).send().await;
            self.done("s3:PutBucketPublicAccessBlock", put)
        })
        .await
    }

    async fn encryption(&self) -> Result<Outcome> {
        self.ask(|| async {
            let get = self.client().get_bucket_encryption().bucket(self.bucket());
            match get.send().await {
                // Whatever it is, the operator chose it.
                Ok(_) => return Ok(Outcome::Present),
                Err(error) if is_unknown(&error) => return Ok(skipped()),
                Err(error)
                    if code(&error) == Some("ServerSideEncryptionConfigurationNotFoundError") => {}
                Err(error) => return Err(self.failure("s3:GetEncryptionConfiguration", error)),
            }
            let built = ServerSideEncryptionByDefault::builder()
                .sse_algorithm(ServerSideEncryption::Aes256)
                .build()
                .and_then(|algorithm| {
                    let rule = ServerSideEncryptionRule::builder()
                        .apply_server_side_encryption_by_default(algorithm)
                        .build();
                    ServerSideEncryptionConfiguration::builder()
                        .rules(rule)
                        .build()
                });
            let all =
                built.map_err(|error| Failure::unexpected(self.bucket(), error.to_string()))?;
            let put = self.client().put_bucket_encryption().bucket(self.bucket());
            let put = put.server_side_encryption_configuration(all).send().await;
            self.done("s3:PutEncryptionConfiguration", put)
        })
        .await
    }

    async fn lifecycle(&self) -> Result<Outcome> {
        self.ask(|| async {
            let get = self.client().get_bucket_lifecycle_configuration();
            let mut rules = match get.bucket(self.bucket()).send().await {
                Ok(found) => found.rules.unwrap_or_default(),
                Err(error) if is_unknown(&error) => return Ok(skipped()),
                Err(error) if code(&error) == Some("NoSuchLifecycleConfiguration") => Vec::new(),
                Err(error) => return Err(self.failure("s3:GetLifecycleConfiguration", error)),
            };
            if rules.iter().any(|rule| rule.id() == Some(RULE)) {
                return Ok(Outcome::Present);
            }
            let failed = |error: aws_sdk_s3::error::BuildError| {
                Failure::unexpected(self.bucket(), error.to_string())
            };
            let end = AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(ABORT_AFTER_DAYS)
                .build();
            let rule = LifecycleRule::builder()
                .id(RULE)
                .status(ExpirationStatus::Enabled)
                .filter(
                    LifecycleRuleFilter::builder()
                        .prefix(&self.0.options.prefix)
                        .build(),
                )
                .abort_incomplete_multipart_upload(end)
                .build()
                .map_err(failed)?;
            rules.push(rule);
            let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules));
            let all = all.build().map_err(failed)?;
            let put = self.client().put_bucket_lifecycle_configuration();
            let put = put.bucket(self.bucket()).lifecycle_configuration(all);
            self.done("s3:PutLifecycleConfiguration", put.send().await)
        })
        .await
    }

    fn done<T, E>(&self, action: &str, result: Result<T, SdkError<E>>) -> Result<Outcome, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match result {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if is_unknown(&error) => Ok(skipped()),
            Err(error) => Err(self.failure(action, error)),
        }
    }

    /// Tries each action that a server needs, in a way that changes nothing: the put is for an object that never is.
    async fn check_permissions(&self) -> Result<()> {
        let object = self.0.object(NEVER)?;
        self.ask(|| async {
            let list = self.client().list_objects_v2().bucket(self.bucket());
            let list = list.prefix(&object).max_keys(1).send().await;
            list.map_err(|error| self.failure("s3:ListBucket", error))
        })
        .await?;
        self.ask(|| async {
            let get = self
                .client()
                .get_object()
                .bucket(self.bucket())
                .key(&object);
            match get.send().await {
                Err(error) if code(&error) != Some("NoSuchKey") => {
                    Err(self.failure("s3:GetObject", error))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.ask(|| async {
            let put = self
                .client()
                .put_object()
                .bucket(self.bucket())
                .key(&object);
            let put = put.if_match("\"00\"").body(ByteStream::from_static(b""));
            match put.send().await {
                Err(error) if !is_absence(&error) => Err(self.failure("s3:PutObject", error)),
                _ => Ok(()),
            }
        })
        .await?;
        self.ask(|| async {
            let delete = self.client().delete_object().bucket(self.bucket());
            match delete.key(&object).send().await {
                Err(error) if !is_absence(&error) => Err(self.failure("s3:DeleteObject", error)),
                _ => Ok(()),
            }
        })
        .await
    }
}

fn skipped() -> Outcome {
    Outcome::Skipped("this endpoint does not know it".into())
}

fn is_unknown<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    matches!(status, Some(405 | 501)) || code(error).is_some_and(|code| UNKNOWN.contains(&code))
}

/// Nothing is there to be matched: the action was permitted.
fn is_absence<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    status == Some(412) || code(error) == Some("NoSuchKey")
}
