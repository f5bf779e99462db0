//! dynoxide: DynamoDB's API, in this process, on a thread of its own. Keeps its data in memory.
//!
//! It signs nothing off: any credentials will do. It deletes what has expired only when told to.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use dynoxide::Database;
use tokio::sync::oneshot;

/// The running server; ended when dropped.
pub struct Dynoxide {
    address: SocketAddr,
    database: Database,
    credentials: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dynoxide {
    /// Starts a server without tables.
    ///
    /// # Errors
    /// No port, or no database.
    pub fn start() -> io::Result<Self> {
        let database = Database::memory().map_err(|error| io::Error::other(error.to_string()))?;
        // Bound here: what connects from now on waits until it is served.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (address, served) = (listener.local_addr()?, database.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .expect("a listener that does not block");
                let serve = dynoxide::server::serve_on(listener, served);
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self {
            address,
            database,
            credentials: credentials_file("anything", "anything")?,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A file of credentials that it accepts.
    pub fn credentials(&self) -> PathBuf {
        self.credentials.path().join("credentials")
    }

    /// Deletes what has expired by the machine's clock, as DynamoDB does within days. Blocks.
    ///
    /// # Errors
    /// The database's.
    pub fn sweep(&self) -> io::Result<()> {
        let swept = self.database.sweep_ttl();
        swept
            .map(drop)
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

impl Drop for Dynoxide {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked there is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// A directory with a file `credentials` in the form of `~/.aws/credentials`.
pub(crate) fn credentials_file(key: &str, secret: &str) -> io::Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    write(directory.path(), "credentials", &text)?;
    Ok(directory)
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    std::fs::write(directory.join(name), text)
}
