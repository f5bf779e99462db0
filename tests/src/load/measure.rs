//! What a stretch of time cost: the server, this program, everybody else.
//!
//! Also how many sessions are opened at once, which every scenario needs before it measures.

use std::io;
use std::process;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::procfs;
use super::session::{Profile, Session, World};

/// A stretch of time that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Its length.
    pub wall_s: f64,
    /// Process time of the server and its children; NaN if no process was named.
    pub server_cpu_s: f64,
    /// Process time of this program.
    pub client_cpu_s: f64,
    /// Time that the cores spent on other things: noise.
    pub other_cpu_s: f64,
}

/// A stretch of time that goes on.
pub struct Meter {
    servers: Vec<u32>,
    began: Instant,
    before: [f64; 3],
}

impl Meter {
    /// Begins.
    #[must_use]
    pub fn start(servers: &[u32]) -> Self {
        let before = sample(servers);
        Self {
            servers: servers.to_vec(),
            began: Instant::now(),
            before,
        }
    }

    /// Ends.
    #[must_use]
    pub fn stop(self) -> Span {
        let wall_s = self.began.elapsed().as_secs_f64();
        let after = sample(&self.servers);
        let [server_cpu_s, client_cpu_s, busy] =
            std::array::from_fn(|at| after[at] - self.before[at]);
        let known = if server_cpu_s.is_nan() {
            0.0
        } else {
            server_cpu_s
        };
        Span {
            wall_s,
            server_cpu_s,
            client_cpu_s,
            other_cpu_s: (busy - known - client_cpu_s).max(0.0),
        }
    }
}

fn sample(servers: &[u32]) -> [f64; 3] {
    let spent = match servers {
        [] => f64::NAN,
        servers => servers
            .iter()
            .map(|server| procfs::cpu_seconds(*server))
            .sum(),
    };
    [
        spent,
        procfs::cpu_seconds(process::id()),
        procfs::busy_seconds(),
    ]
}

/// Logs the accounts in, as many at once as the target says, and returns their sessions in the same order.
///
/// # Errors
/// The first login that fails.
pub async fn log_in(
    world: &Arc<World>,
    accounts: &[u32],
    profile: &Profile,
) -> io::Result<Vec<Session>> {
    let gate = Arc::new(Semaphore::new(world.target.concurrency));
    let log_in = |&account: &u32| {
        let (world, profile, gate) = (world.clone(), profile.clone(), gate.clone());
        async move {
            let _permit = gate.acquire_owned().await.map_err(io::Error::other)?;
            Session::login(&world, account, &profile).await
        }
    };
    all(accounts.iter().map(log_in)).await
}

/// Does it all at once; what came of each, in the same order.
///
/// # Errors
/// The first that fails.
pub async fn all<T, F>(work: impl IntoIterator<Item = F>) -> io::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for (at, work) in work.into_iter().enumerate() {
        tasks.spawn(async move { Ok::<_, io::Error>((at, work.await?)) });
    }
    let mut found: Vec<Option<T>> = (0..tasks.len()).map(|_| None).collect();
    while let Some(done) = tasks.join_next().await {
        let (at, one) = done.map_err(io::Error::other)??;
        found[at] = Some(one);
    }
    Ok(found.into_iter().flatten().collect())
}

/// Ends the streams of all sessions.
pub async fn log_out(sessions: Vec<Session>) {
    let mut tasks: JoinSet<()> = sessions.into_iter().map(Session::close).collect();
    while tasks.join_next().await.is_some() {}
}
