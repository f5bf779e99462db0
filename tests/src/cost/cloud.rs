//! DynamoDB, S3 and memcached for nodes: real servers on loopback, with as much time before each answer as is asked for.

use std::time::Duration;

use anyhow::Result;
use services::{Dynoxide, Fault, Faults, Memcached, SeaweedFs};

/// How long the services take to answer, beside what the servers themselves take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lag {
    /// DynamoDB.
    pub tables: Duration,
    /// S3.
    pub objects: Duration,
}

/// The servers.
pub struct Cloud {
    tables: Dynoxide,
    objects: SeaweedFs,
    cache: Memcached,
    tables_url: String,
    objects_url: String,
    nodes: std::sync::atomic::AtomicU32,
}

impl Cloud {
    /// Starts them.
    ///
    /// # Errors
    /// One is not installed or does not start.
    pub async fn start(lag: Lag) -> Result<Self> {
        let tables = Dynoxide::start()?;
        let (objects, cache) = tokio::task::spawn_blocking(|| {
            Ok::<_, std::io::Error>((SeaweedFs::start()?, Memcached::start()?))
        })
        .await??;
        Ok(Self {
            tables_url: at_distance(&tables.url(), lag.tables).await?,
            objects_url: at_distance(&objects.url(), lag.objects).await?,
            tables,
            objects,
            cache,
            nodes: std::sync::atomic::AtomicU32::new(0),
        })
    }

    /// The lines of `[storage]` for a node with tables and a bucket of its own.
    #[must_use]
    pub fn storage(&self, cached: bool) -> String {
        let number = self
            .nodes
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut lines = format!(
            r#"backend = "dynamodb"
table_prefix = "cost{number}_"
region = "us-east-1"
endpoint = "{}"
credentials = "{}"
bucket = "cost-{number}"
bucket_endpoint = "{}"
bucket_credentials = "{}"
path_style = true
"#,
            self.tables_url,
            self.tables.credentials().display(),
            self.objects_url,
            self.objects.credentials().display(),
        );
        if cached {
            lines += &format!(
                "[storage.memcached]\nservers = [\"{}\"]\nnamespace = \"cost{number}\"\n",
                self.cache.address()
            );
        }
        lines
    }
}

/// Where the server is, `lag` away.
async fn at_distance(url: &str, lag: Duration) -> Result<String> {
    if lag.is_zero() {
        return Ok(url.to_owned());
    }
    let proxy = Faults::start(url).await?;
    proxy.add(u64::MAX, Fault::DelayAnswer(lag), |_| true);
    Ok(proxy.url())
}
