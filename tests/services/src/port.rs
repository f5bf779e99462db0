//! Ports that nobody uses.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range that the kernel gives to outgoing connections, and such that a port + 10000 is still one.
const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 32_000;

/// A port on loopback that was free a moment ago, and that no other call in this process gets. Different processes begin
/// at different places.
///
/// # Errors
/// No port of the range is free.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = HIGHEST - LOWEST;
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(span))
        .expect("less than the span");
    for _ in 0..span {
        let port = LOWEST + (begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free port"))
}
