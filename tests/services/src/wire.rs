//! A wire that does to connections what networks do: delay, jitter, loss, bandwidth, one-way cuts, half-open ends. Each
//! direction for itself, changed while connections run.
//!
//! [`Wire`] carries any two streams, also in time that is paused; [`WireProxy`] is one with a TCP port in front of a server.
//! A wire keeps the order of bytes, as TCP does: what is lost comes late ([`Way::stall`]), or the connection ends
//! ([`Way::reset`]), or nothing ever comes again ([`Way::swallow`]).

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction; then the sender waits.
const UNDER_WAY: usize = 1024;

/// One direction of a wire.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// What everything takes.
    pub delay: Duration,
    /// What it takes more at most; the order stays.
    pub jitter: Duration,
    /// What each further connection of three takes more than the one before it: 0, 1 or 2 times this. So what is sent later
    /// on one may arrive before what was sent on another.
    pub skew: Duration,
    /// Bytes in a second, for each connection; as many as there are if absent.
    pub bandwidth: Option<u64>,
    /// How often of a thousand chunks one is lost and comes after [`Self::again`].
    pub stall: u64,
    /// How long it takes until what was lost comes.
    pub again: Duration,
    /// How often of a thousand chunks the connection ends with one.
    pub reset: u64,
    /// Nothing arrives for as long as this is so, and then all of it.
    pub hold: bool,
    /// What is sent is taken and never arrives, also later: the connection is half open from then on.
    pub swallow: bool,
}

/// Both directions of a wire.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// From who dialled.
    pub there: Way,
    /// To who dialled.
    pub back: Way,
    /// No connections: they end, and new ones are refused.
    pub refuse: bool,
}

impl Ways {
    /// Both directions alike.
    pub fn both(way: &Way) -> Self {
        Self {
            there: way.clone(),
            back: way.clone(),
            refuse: false,
        }
    }
}

#[derive(Debug)]
struct Shared {
    ways: watch::Sender<Ways>,
    /// Goes up when all connections end.
    cuts: watch::Sender<u64>,
    random: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
}

/// A wire; clones are the same one.
#[derive(Debug, Clone)]
pub struct Wire(Arc<Shared>);

impl Wire {
    /// A wire without faults. What it does at random later follows from the seed, if the time is paused.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            ways: watch::Sender::default(),
            cuts: watch::Sender::default(),
            random: AtomicU64::new(seed),
            connections: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }))
    }
    /// From now on it is so.
    pub fn set(&self, ways: Ways) {
        self.0.ways.send_replace(ways);
    }
    /// From now on this is different.
    pub fn change(&self, change: impl FnOnce(&mut Ways)) {
        self.0.ways.send_modify(change);
    }
    /// How it is.
    pub fn ways(&self) -> Ways {
        self.0.ways.borrow().clone()
    }
    /// Ends all connections.
    pub fn cut(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }
    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Relaxed)
    }
    /// How many bytes arrived, in both directions.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Carries a connection from its dialler to its listener until it ends.
    pub async fn carry<D, L>(&self, dialler: D, listener: L)
    where
        D: AsyncRead + AsyncWrite + Send + 'static,
        L: AsyncRead + AsyncWrite + Send + 'static,
    {
        let number = self.0.connections.fetch_add(1, Relaxed);
        let mut cuts = self.0.cuts.subscribe();
        let mut ways = self.0.ways.subscribe();
        let (from_dialler, to_dialler) = tokio::io::split(dialler);
        let (from_listener, to_listener) = tokio::io::split(listener);
        let there = self.pump(from_dialler, to_listener, number, |ways| &ways.there);
        let back = self.pump(from_listener, to_dialler, number, |ways| &ways.back);
        tokio::select! {
            // One end is enough: nobody here sends on a connection that is half closed.
            _ = there => {}
            _ = back => {}
            _ = cuts.changed() => {}
            _ = ways.wait_for(|ways| ways.refuse) => {}
        }
    }

    async fn pump(
        &self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
        number: u64,
        way: fn(&Ways) -> &Way,
    ) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(UNDER_WAY);
        let (taken, given) = (
            self.take(from, sender, number, way),
            self.give(to, receiver, way),
        );
        tokio::try_join!(taken, given).map(|_| ())
    }

    async fn take(
        &self,
        mut from: impl AsyncRead + Unpin,
        sender: mpsc::Sender<(Instant, Bytes)>,
        number: u64,
        way: fn(&Ways) -> &Way,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let (mut last, mut is_deaf) = (Instant::now(), false);
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                // Delivered behind what is under way.
                let _ = sender.send((last, Bytes::new())).await;
                return Ok(());
            }
            let way = way(&self.0.ways.borrow()).clone();
            is_deaf |= way.swallow;
            if is_deaf {
                continue;
            }
            if self.one_in_a_thousand(way.reset) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let skew = way.skew * u32::try_from(number % 3).expect("below 3");
            let mut due = Instant::now() + way.delay + skew + way.jitter.mul_f64(self.fraction());
            if self.one_in_a_thousand(way.stall) {
                due += way.again;
            }
            last = last.max(due);
            if let Some(bandwidth) = way.bandwidth {
                last += Duration::from_secs_f64(read as f64 / bandwidth as f64);
            }
            let chunk = Bytes::copy_from_slice(&buffer[..read]);
            if sender.send((last, chunk)).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn give(
        &self,
        mut to: impl AsyncWrite + Unpin,
        mut receiver: mpsc::Receiver<(Instant, Bytes)>,
        way: fn(&Ways) -> &Way,
    ) -> io::Result<()> {
        let mut ways = self.0.ways.subscribe();
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            // The wire lives as long as what it carries.
            let _ = ways.wait_for(|ways| !way(ways).hold).await;
            if chunk.is_empty() {
                to.shutdown().await?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if way(&ways.borrow()).swallow {
                // For ever: the rest of the connection makes no sense without this.
                std::future::pending::<()>().await;
            }
            to.write_all(&chunk).await?;
            to.flush().await?;
            self.0.bytes.fetch_add(chunk.len() as u64, Relaxed);
        }
        Ok(())
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.random.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ (state >> 31)
    }
    fn fraction(&self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn one_in_a_thousand(&self, times: u64) -> bool {
        times > 0 && self.random() % 1000 < times
    }
}

/// A TCP port in front of a server, with a wire between them. It ends when dropped.
#[derive(Debug)]
pub struct WireProxy {
    /// What it does.
    pub wire: Wire,
    address: SocketAddr,
    // Ends the tasks.
    _tasks: JoinSet<()>,
}

impl WireProxy {
    /// In front of the server at `upstream` (`host:port`), at a port that was free.
    ///
    /// # Errors
    /// No port.
    pub async fn start(upstream: &str, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::on(listener, upstream, seed)
    }

    /// At a listener that is there already: for servers that must know their address before they start.
    ///
    /// # Errors
    /// It has no address.
    pub fn on(listener: TcpListener, upstream: &str, seed: u64) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (wire, mut tasks) = (Wire::new(seed), JoinSet::new());
        tasks.spawn(serve(wire.clone(), listener, address, upstream.to_owned()));
        Ok(Self {
            wire,
            address,
            _tasks: tasks,
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(wire: Wire, listener: TcpListener, address: SocketAddr, upstream: String) {
    let mut ways = wire.0.ways.subscribe();
    let (mut listener, mut carried) = (Some(listener), JoinSet::new());
    loop {
        let refuse = ways.borrow_and_update().refuse;
        // A closed port is what refuses; it is opened again at the same number.
        match (&listener, refuse) {
            (Some(_), true) => listener = None,
            (None, false) => listener = TcpListener::bind(address).await.ok(),
            _ => {}
        }
        let Some(open) = &listener else {
            tokio::select! {
                changed = ways.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            continue;
        };
        tokio::select! {
            changed = ways.changed() => if changed.is_err() { return },
            accepted = open.accept() => {
                let Ok((dialler, _)) = accepted else { continue };
                let (wire, upstream) = (wire.clone(), upstream.clone());
                carried.spawn(async move {
                    let Ok(listener) = TcpStream::connect(upstream).await else { return };
                    let _ = (dialler.set_nodelay(true), listener.set_nodelay(true));
                    wire.carry(dialler, listener).await;
                });
            }
            Some(_) = carried.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives of what is sent, and after how long.
    async fn check(ways: Ways, sent: usize, within: Duration, expected: (usize, Duration)) {
        let wire = Wire::new(1);
        wire.set(ways);
        let (mut dialler, one) = tokio::io::duplex(1 << 20);
        let (two, mut listener) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move { wire.carry(one, two).await });
        let begin = Instant::now();
        dialler.write_all(&vec![7; sent]).await.unwrap();
        let (mut arrived, mut last, mut buffer) = (0, Duration::ZERO, vec![0; 1 << 20]);
        while let Ok(Ok(read)) =
            tokio::time::timeout_at(begin + within, listener.read(&mut buffer)).await
            && read > 0
        {
            (arrived, last) = (arrived + read, begin.elapsed());
        }
        assert_eq!((arrived, last), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says() {
        let (ms, second) = (Duration::from_millis, Duration::from_secs(1));
        let there = |way: Way| Ways {
            there: way,
            ..Ways::default()
        };
        let with = |change: fn(&mut Way)| {
            let mut way = Way::default();
            change(&mut way);
            way
        };
        check(Ways::default(), 9, second, (9, ms(0))).await;
        check(
            there(with(|w| w.delay = Duration::from_millis(40))),
            9,
            second,
            (9, ms(40)),
        )
        .await;
        let slow = with(|w| w.bandwidth = Some(1000));
        check(there(slow.clone()), 500, second, (500, ms(500))).await;
        // The other direction is another one.
        let back = Ways {
            back: slow,
            ..Ways::default()
        };
        check(back, 500, second, (500, ms(0))).await;
        check(there(with(|w| w.hold = true)), 9, second, (0, ms(0))).await;
        check(there(with(|w| w.swallow = true)), 9, second, (0, ms(0))).await;
        check(there(with(|w| w.reset = 1000)), 9, second, (0, ms(0))).await;
        let lost = with(|w| (w.stall, w.again) = (1000, Duration::from_millis(200)));
        check(there(lost), 9, second, (9, ms(200))).await;
    }
}
