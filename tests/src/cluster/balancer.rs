//! A balancer as a cloud has: each connection goes to the next node, and no client comes back to the same one on purpose.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The balancer; dropped, it takes no more connections.
pub struct Balancer {
    /// Where clients connect.
    pub address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Starts one that has no nodes yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let targets: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let (known, next) = (targets.clone(), AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    known.get(turn % known.len().max(1)).copied()
                };
                let Some(target) = target else { continue };
                tokio::spawn(async move {
                    // A node that does not take it: the client is turned away, and comes again.
                    if let Ok(mut node) = TcpStream::connect(target).await {
                        let _ = (client.set_nodelay(true), node.set_nodelay(true));
                        let _ = copy_bidirectional(&mut client, &mut node).await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            targets,
            task,
        })
    }

    /// Connections go to these from now on.
    pub fn set(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
