//! The administration socket of a running node: `admin.sock` in its directory, for its owner only.
//!
//! One JSON object a line each way. Bounds: [`MAX_CONNECTIONS`] at a time, of which [`MAX_REQUESTS`] are served at once;
//! [`MAX_LINE`] bytes a request; [`IDLE`] before each: who says nothing keeps nobody out. Who
//! watches this node leave hears how that ends: the socket stays for it, [`LAST_WORD`] at most. Who may open the socket may read the store as well, so there is no further authentication.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{Administrator, Caller, Request, Response, Who, Why, refused};
use crate::{
    shutdown::Stopping,
    status::text::{Departure, departure},
};

/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 128;
/// Requests at a time.
pub const MAX_REQUESTS: usize = 8;
/// Longest request, in bytes: a group that includes, and is shown to, as many as may be.
pub const MAX_LINE: u64 = 512 << 10;
/// Longest silence.
pub const IDLE: Duration = Duration::from_secs(3);

/// How long the socket stays after the stop for who watches the node leave.
pub const LAST_WORD: Duration = Duration::from_secs(3);

/// The socket, removed when dropped.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Opens the socket with mode 0600 from its first moment. One that a crash left behind is replaced.
    ///
    /// # Errors
    /// `AddrInUse` if another node answers there; else the file system's.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another node answers there",
            ));
        }
        // A socket has the mode of the umask until it is changed: it is made where nobody else can look, then moved.
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let hidden = parent.join(format!(".admin-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&hidden)?;
        let made = Self::make(&hidden.join("s"), path);
        let _ = fs::remove_dir_all(&hidden);
        made
    }

    fn make(hidden: &Path, path: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(hidden);
        let listener = UnixListener::bind(hidden)?;
        fs::set_permissions(hidden, fs::Permissions::from_mode(0o600))?;
        fs::rename(hidden, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until the signal to stop, and until who watches this node leave was told that it has gone.
    pub async fn serve(self, administrator: Administrator, mut stopping: Stopping) {
        let administrator = Arc::new(administrator);
        let turns = Arc::new(Semaphore::new(MAX_REQUESTS));
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (watched, mut told) = watch::channel(false);
        let watched = Arc::new(watched);
        let last_word = async move {
            stopping.wait().await;
            // Nobody watches any more, or has not asked for long.
            let _ = timeout(LAST_WORD, told.wait_for(|is_watched| !is_watched)).await;
        };
        tokio::pin!(last_word);
        loop {
            let permit = room
                .clone()
                .acquire_owned()
                .await
                .expect("it is never closed");
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut last_word => return,
            };
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (administrator, turns) = (administrator.clone(), turns.clone());
            let watched = watched.clone();
            tokio::spawn(async move {
                let _permit = permit;
                // However it ends, the command knows.
                let _ = converse(socket, &administrator, &turns, &watched).await;
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(
    socket: UnixStream,
    administrator: &Administrator,
    turns: &Semaphore,
    watched: &watch::Sender<bool>,
) -> io::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = zeroize::Zeroizing::new(Vec::new());
        let length = timeout(
            IDLE,
            (&mut read).take(MAX_LINE).read_until(b'\n', &mut line),
        )
        .await??;
        if length == 0 {
            return Ok(());
        }
        let turn = turns.acquire().await.expect("it is never closed");
        let mut leaves = None;
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                if let Request::Departure { node } = &request {
                    leaves = Some(node.clone());
                }
                let caller = Caller::from(Who::Socket);
                let response = administrator.ask(&caller, request).await;
                if let Response::Begun { node } = &response {
                    // Who had it begin is about to watch it.
                    let seen = administrator.ask(&caller, Request::ClusterStatus).await;
                    if is_watched(node, &seen) == Some(true) {
                        watched.send_replace(true);
                    }
                }
                response
            }
            // The error may quote what was sent; the line holds a password.
            Err(error) => refused(
                Why::Invalid,
                format!(
                    "no request ({:?} at column {})",
                    error.classify(),
                    error.column()
                ),
            ),
        };
        drop(turn);
        let is_watched = leaves.and_then(|node| is_watched(&node, &response));
        if is_watched == Some(true) {
            watched.send_replace(true);
        }
        timeout(IDLE, send(&mut write, &response)).await??;
        if is_watched == Some(false) {
            watched.send_replace(false);
        }
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

/// Whether there is more to be told of this node, if it is the one that leaves.
fn is_watched(leaves: &str, response: &Response) -> Option<bool> {
    let Response::Cluster(facts) = response else {
        return None;
    };
    let is_me = facts.cluster.as_ref()?.node == leaves;
    is_me.then(|| departure(facts, leaves) != Departure::Gone)
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    write.write_all(&line).await
}
