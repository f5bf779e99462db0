//! The store that the nodes of a cluster share.

use anyhow::{Result, bail};
use services::{Dynoxide, Memcached, Postgres, Redis, SeaweedFs};

/// The store that all share.
pub enum Shared {
    /// A database.
    Database(Postgres),
    /// Tables and objects, and a cache in front of them.
    Cloud(Dynoxide, SeaweedFs, Box<Memcached>),
}

impl Shared {
    /// What `STARLING_TEST_SHARED` names, `postgresql` (as without it) or `cloud`.
    ///
    /// # Errors
    /// It does not start, or is another name.
    pub fn chosen() -> Result<Self> {
        match std::env::var("STARLING_TEST_SHARED").as_deref() {
            Err(_) | Ok("postgresql") => Self::database(),
            Ok("cloud") => Self::cloud(),
            Ok(other) => bail!("STARLING_TEST_SHARED={other}: postgresql or cloud"),
        }
    }

    /// A database.
    ///
    /// # Errors
    /// It does not start.
    pub fn database() -> Result<Self> {
        tokio::task::block_in_place(|| Ok(Self::Database(Postgres::start(&[])?)))
    }

    /// DynamoDB, S3 and memcached.
    ///
    /// # Errors
    /// They do not start.
    pub fn cloud() -> Result<Self> {
        tokio::task::block_in_place(|| {
            let (tables, objects) = (Dynoxide::start()?, SeaweedFs::start()?);
            let cache = Box::new(Memcached::start()?);
            Ok(Self::Cloud(tables, objects, cache))
        })
    }

    /// What a node writes under `[storage]`.
    #[must_use]
    pub fn lines(&self) -> String {
        match self {
            Self::Database(server) => {
                format!("backend = \"postgresql\"\nurl = \"{}\"\n", server.url())
            }
            Self::Cloud(tables, objects, cache) => format!(
                r#"backend = "dynamodb"
table_prefix = "nodes-"
region = "eu-west-1"
endpoint = "{}"
credentials = "{}"
bucket = "nodes-of-starling"
bucket_endpoint = "{}"
bucket_credentials = "{}"
path_style = true
memcached.servers = ["{}"]
"#,
                tables.url(),
                tables.credentials().display(),
                objects.url(),
                objects.credentials().display(),
                cache.address(),
            ),
        }
    }
}

/// What nodes write under `[cluster]` to have their directory in this server.
#[must_use]
pub fn over_redis(server: &Redis) -> String {
    let url = server.url();
    format!("directory = \"redis\"\n[cluster.redis]\nurl = \"{url}\"")
}
