//! haproxy (Debian's package): a balancer of TCP connections that goes round the servers behind it and knows no clients.

use std::{
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use tempfile::TempDir;

use crate::{free_port, http, process::Process};

/// A running balancer.
pub struct Haproxy {
    _process: Process,
    /// Where clients connect, in the order of the pools.
    addresses: Vec<SocketAddr>,
    /// Holds its configuration and log.
    _directory: TempDir,
}

impl Haproxy {
    /// Starts one with an address for each of these pools of servers: each connection goes to the next of its pool.
    ///
    /// # Errors
    /// It cannot be started or does not get ready.
    pub fn start(pools: &[Vec<SocketAddr>]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let monitor = free_port()?;
        let mut addresses = Vec::with_capacity(pools.len());
        for _ in pools {
            addresses.push(local(free_port()?));
        }
        let path = directory.path().join("haproxy.cfg");
        fs::write(&path, configuration(local(monitor), &addresses, pools))?;
        let mut command = Command::new("haproxy");
        // In the foreground.
        command.arg("-db").arg("-f").arg(&path);
        let mut ready = || http::ask(monitor, "GET", "/", "", b"").is_ok();
        let process = Process::start("haproxy", command, directory.path(), &mut ready)?;
        Ok(Self {
            _process: process,
            addresses,
            _directory: directory,
        })
    }

    /// Where clients connect, in the order of the pools.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

fn configuration(
    monitor: SocketAddr,
    addresses: &[SocketAddr],
    pools: &[Vec<SocketAddr>],
) -> String {
    // One thread, so that the turns of a pool are strictly one after the other. Idle clients are the server's business.
    let mut text = format!(
        "global\n  maxconn 4096\n  nbthread 1\n\
         defaults\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
         frontend monitor\n  mode http\n  bind {monitor}\n  monitor-uri /\n"
    );
    for (number, (address, pool)) in addresses.iter().zip(pools).enumerate() {
        // Infallible: writing to a String.
        let _ = writeln!(
            text,
            "listen pool{number}\n  mode tcp\n  balance roundrobin\n  bind {address}"
        );
        for (member, server) in pool.iter().enumerate() {
            let _ = writeln!(text, "  server node{member} {server}");
        }
    }
    text
}
