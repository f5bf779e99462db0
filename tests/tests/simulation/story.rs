//! The story of a run: what nodes log, each line with the time of the world and the node whose turn it was.

use std::cell::Cell;
use std::fmt;
use std::sync::LazyLock;

use starling::routing::peers::Kind;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

thread_local! {
    static NOW: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

/// It is so late, and this node's turn; 0: the clients'.
pub fn turn(now_ms: u64, node: usize) {
    NOW.set((now_ms, node));
}

/// Shows what a client said or was told, if `STARLING_WIRES` is set.
pub fn wire(id: u64, arrow: &str, bytes: &[u8]) {
    if *WIRES {
        let (ms, _) = NOW.get();
        let text = String::from_utf8_lossy(bytes);
        println!("{:4}.{:03} {arrow} {id}: {text}", ms / 1_000, ms % 1_000);
    }
}

/// Shows that a frame is sent, or has come, if `STARLING_FRAMES` is set.
pub fn frame((this, arrow, other): (usize, &str, usize), kind: Kind, body: &[u8]) {
    if *FRAMES {
        let (ms, _) = NOW.get();
        let number = body.first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
        let text = String::from_utf8_lossy(body);
        let ids = text
            .split("id='k-")
            .skip(1)
            .filter_map(|it| it.split('\'').next());
        let ids: Vec<_> = ids.collect();
        let (s, ms) = (ms / 1_000, ms % 1_000);
        println!("{s:4}.{ms:03} n{this} {arrow} n{other} {kind:?} {number} {ids:?}");
    }
}

static FRAMES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("STARLING_FRAMES").is_some());
static WIRES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("STARLING_WIRES").is_some());

struct Turn;

impl FormatTime for Turn {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (ms, node) = NOW.get();
        write!(to, "{:4}.{:03} n{node}", ms / 1_000, ms % 1_000)
    }
}

/// Prints what this filter lets through.
pub fn tell(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_timer(Turn)
        .with_ansi(false)
        .init();
}
