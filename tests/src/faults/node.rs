//! A server under test: in this process over any store ([`Local`]), or as a process that can be killed and weighed
//! ([`Process`]).

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use starling::app::App;
use starling::config::{Config, Security};
use storage::backend::directory::DirectoryBlobs;
use storage::backend::embedded::{Embedded, EmbeddedOptions};
use storage::backend::memory::{MemoryBlobs, MemoryTable};
use storage::layer::{Faulty, FaultyBlobs, Switchboard};
use storage::repository::{Credentials, ScramHash, StoredScram};
use storage::shape::{Blobs, Table};
use storage::{Clock, Stores, SystemClock};
use tempfile::TempDir;
use xmpp::BareJid;

use super::settings::Settings;
use crate::backend;
use crate::load::procfs;
use crate::load::scram::{Mechanism, stored};

/// The domain of every test.
pub const DOMAIN: &str = "localhost";
/// The password of every account.
pub const PASSWORD: &str = "secret";

/// The address of an account of the domain.
#[must_use]
pub fn account(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@{DOMAIN}")).expect("tests choose valid names")
}

/// Makes accounts. One round of PBKDF2: logins are not what is measured.
///
/// # Errors
/// What the store says.
pub async fn create_accounts(
    stores: &Stores,
    names: impl IntoIterator<Item = String>,
) -> storage::Result<()> {
    let (salt, rounds) = (b"salt of all".to_vec(), std::num::NonZeroU32::MIN);
    let (stored_key, server_key) = stored(Mechanism::ScramSha256, PASSWORD, &salt, rounds);
    let scram = vec![StoredScram {
        hash: ScramHash::Sha256,
        iterations: 1,
        salt,
        stored_key,
        server_key,
    }];
    for name in names {
        stores
            .accounts
            .create(
                &account(&name),
                Credentials {
                    scram: scram.clone(),
                },
                1,
            )
            .await?;
    }
    Ok(())
}

/// Opens the stores of a data directory whose server is not running.
///
/// # Errors
/// What the store says.
pub async fn open_stores(directory: &Path) -> anyhow::Result<Stores> {
    if let Some(place) = backend::place(directory).await? {
        return Ok(Stores::over(place.table, place.blobs));
    }
    let options = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    let table: Arc<dyn Table> = Arc::new(Embedded::open(directory.join("table"), options)?);
    let blobs: Arc<dyn Blobs> = Arc::new(DirectoryBlobs::open(directory.join("blobs"))?);
    Ok(Stores::over(table, blobs))
}

/// A server in this process.
pub struct Local {
    app: Option<App>,
    /// What goes wrong with its store.
    pub switchboard: Arc<Switchboard>,
    /// Its stores without the faults.
    pub stores: Stores,
    _directory: TempDir,
}

impl Local {
    /// Over a store in memory, or that of the environment, that fails as its switchboard says: not at all, to begin with.
    ///
    /// # Errors
    /// What the start says.
    pub async fn start(settings: &Settings, seed: u64) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let place = backend::place(directory.path()).await?;
        let (table, blobs): (Arc<dyn Table>, Arc<dyn Blobs>) = match place {
            Some(place) => (place.table, place.blobs),
            None => (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new())),
        };
        Self::within(
            directory,
            seed,
            table,
            blobs,
            |path| settings.config(path),
            Arc::new(SystemClock),
        )
        .await
    }

    /// As [`Local::start`], under this clock and with a configuration that the test changes.
    ///
    /// # Errors
    /// What the start says.
    pub async fn start_at(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut Config),
    ) -> anyhow::Result<Self> {
        let (table, blobs) = (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
        let configure = |path: &Path| {
            let mut config = settings.config(path);
            change(&mut config);
            config
        };
        Self::within(tempfile::tempdir()?, 1, table, blobs, configure, clock).await
    }

    /// Over any store.
    ///
    /// # Errors
    /// What the start says.
    pub async fn over(
        settings: &Settings,
        seed: u64,
        table: Arc<dyn Table>,
        blobs: Arc<dyn Blobs>,
    ) -> anyhow::Result<Self> {
        let configure = |path: &Path| settings.config(path);
        Self::within(
            tempfile::tempdir()?,
            seed,
            table,
            blobs,
            configure,
            Arc::new(SystemClock),
        )
        .await
    }

    async fn within(
        directory: TempDir,
        seed: u64,
        table: Arc<dyn Table>,
        blobs: Arc<dyn Blobs>,
        configure: impl FnOnce(&Path) -> Config,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let switchboard = Switchboard::new(seed);
        let stores = Stores::over(table.clone(), blobs.clone());
        let faulty: Arc<dyn Table> = Arc::new(Faulty::new(table, switchboard.clone()));
        let faulty_blobs = Arc::new(FaultyBlobs::new(blobs, switchboard.clone()));
        let over = Stores::over(faulty.clone(), faulty_blobs);
        let app = App::start_at(configure(directory.path()), over, faulty, clock).await?;
        Ok(Self {
            app: Some(app),
            switchboard,
            stores,
            _directory: directory,
        })
    }

    /// The parts of the server.
    #[must_use]
    pub fn app(&self) -> &App {
        self.app.as_ref().expect("taken only by stop")
    }

    /// Where clients without TLS connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let plain = self
            .app()
            .addresses
            .iter()
            .find(|(security, _)| matches!(security, Security::StartTls { .. }));
        plain.expect("the settings have such a listener").1
    }

    /// Makes accounts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn accounts(&self, names: impl IntoIterator<Item = &str>) -> anyhow::Result<()> {
        Ok(create_accounts(&self.stores, names.into_iter().map(str::to_owned)).await?)
    }

    /// Stops the server as an operator does.
    pub async fn stop(mut self) -> Stores {
        if let Some(app) = self.app.take() {
            app.shutdown().await;
        }
        self.stores.clone()
    }
}

/// A server process. Killed when it is dropped.
pub struct Process {
    child: Child,
    /// Where clients without TLS connect.
    pub plain: SocketAddr,
    /// Where clients with TLS connect.
    pub direct: SocketAddr,
}

impl Process {
    /// Starts `program` (the `victim` of this crate) on a data directory and waits until it listens.
    ///
    /// # Errors
    /// It ended before it listened.
    pub fn start(program: &Path, directory: &Path, settings: &Settings) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(directory)
            .arg(serde_json::to_string(settings).map_err(io::Error::other)?)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let mut addresses = line.split_whitespace().filter_map(|word| word.parse().ok());
        match (addresses.next(), addresses.next()) {
            (Some(plain), Some(direct)) => Ok(Self {
                child,
                plain,
                direct,
            }),
            _ => {
                let status = child.wait()?;
                Err(io::Error::other(format!(
                    "the server ended as it started: {status}"
                )))
            }
        }
    }

    /// Ends it at once, as a power cut would (`SIGKILL`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Its number among the processes.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn resident(&self) -> f64 {
        procfs::memory(self.child.id()).1
    }

    /// Processor seconds that it has spent.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        procfs::cpu_seconds(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}

/// A directory with accounts, for a server process to be started on.
///
/// # Errors
/// What the store says.
pub async fn directory_with(
    names: impl IntoIterator<Item = String>,
) -> anyhow::Result<(TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("data");
    std::fs::create_dir_all(&path)?;
    create_accounts(&open_stores(&path).await?, names).await?;
    Ok((directory, path))
}
