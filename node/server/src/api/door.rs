//! The door: connections come in, within limits, with TLS where it is configured.
//!
//! Bounds, all before anybody has shown a token: [`LIMITS`] of connections, [`HANDSHAKE`] for TLS and the header of a load
//! balancer, [`HEADER_TIMEOUT`] for the head of a request, [`LIFETIME`] for a connection with all of its requests.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::Api;
use crate::{
    net::{Accepted, Acceptor, AdmissionLimits, Listener, ListenerSettings, Network},
    shutdown::Stopping,
};

/// Connections: a browser has six.
const LIMITS: AdmissionLimits = AdmissionLimits {
    connections: 256,
    per_address: 32,
    per_second: 20,
    burst: 64,
    remembered: 4_096,
};
/// Time for what comes before HTTP.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the head of a request, and for silence before it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for a connection with all of its requests.
const LIFETIME: Duration = Duration::from_secs(300);
/// Connections that the kernel holds.
const BACKLOG: i32 = 128;

/// How the door behaves, behind these load balancers.
pub fn settings(proxies: Vec<Network>) -> ListenerSettings {
    ListenerSettings {
        limits: LIMITS,
        backlog: BACKLOG,
        trusted_proxies: proxies,
        ..ListenerSettings::default()
    }
}

/// Serves until the signal to stop.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
    api: Arc<Api>,
    mut stopping: Stopping,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.wait() => return,
        };
        let (tls, api) = (tls.clone(), api.clone());
        tokio::spawn(async move {
            // However it ends, the peer knows; there is nothing to keep.
            let _ = timeout(LIFETIME, converse(accepted, tls, api)).await;
        });
    }
}

async fn converse(accepted: Accepted, tls: Option<Arc<Acceptor>>, api: Arc<Api>) -> Option<()> {
    let socket = timeout(HANDSHAKE, accepted.socket()).await.ok()?;
    let (socket, peer, _permit) = socket.ok()?;
    let peer = peer.ip().to_canonical();
    match tls {
        None => exchange(socket, api, peer).await,
        Some(tls) => {
            let accept = TlsAcceptor::from(tls.rustls_config()).accept(socket);
            let stream = timeout(HANDSHAKE, accept).await.ok()?.ok()?;
            exchange(stream, api, peer).await
        }
    }
}

async fn exchange<I>(io: I, api: Arc<Api>, peer: IpAddr) -> Option<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(api.answer(request, peer).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(io), service)
        .await
        .ok()
}
