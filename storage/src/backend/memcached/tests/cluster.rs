//! ElastiCache's list, told by a small fake: memcached itself does not know the command.

use std::net::SocketAddr;

use parking_lot::Mutex;
use services::Memcached as Running;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;

/// A configuration endpoint that says what it is told to.
struct Endpoint {
    address: SocketAddr,
    says: Arc<Mutex<String>>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(String::new()));
        let answer = says.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (read, mut write) = stream.split();
                let mut line = String::new();
                let asked = BufReader::new(read).read_line(&mut line).await;
                if asked.is_ok() && line == "config get cluster\r\n" {
                    let says = answer.lock().clone();
                    // The client may be gone.
                    let _ = write.write_all(says.as_bytes()).await;
                }
            }
        });
        Self { address, says }
    }
    fn lists(&self, version: u64, servers: &[&Running]) {
        let server = |server: &&Running| {
            let port = server.address().port();
            format!("cache-{port}.example|127.0.0.1|{port}")
        };
        let servers: Vec<_> = servers.iter().map(server).collect();
        let body = format!("{version}\n{}\n", servers.join(" "));
        self.says(&format!(
            "CONFIG cluster 0 {}\r\n{body}\r\nEND\r\n",
            body.len()
        ));
    }
    fn says(&self, text: &str) {
        text.clone_into(&mut self.says.lock());
    }
    fn node(&self, clock: &ManualClock) -> Memcached {
        let servers = Servers::Cluster(self.address.to_string());
        Memcached::new(servers, options(), Arc::new(clock.clone())).unwrap()
    }
}

fn ports(cache: &Memcached) -> Vec<String> {
    let name = |one: ServerStatus| one.name.rsplit_once(':').unwrap().1.to_owned();
    let mut ports: Vec<_> = cache.status().into_iter().map(name).collect();
    ports.sort();
    ports
}

fn ports_of(servers: &[&Running]) -> Vec<String> {
    let port = |server: &&Running| server.address().port().to_string();
    let mut ports: Vec<_> = servers.iter().map(port).collect();
    ports.sort();
    ports
}

#[tokio::test]
async fn servers_are_those_of_the_newest_list() {
    let [a, b, c] = [(); 3].map(|()| Running::start().unwrap());
    let (endpoint, clock) = (Endpoint::start().await, clock());
    let cache = endpoint.node(&clock);
    let poll = async || {
        clock.advance(options().poll);
        cache.maintain().await;
    };
    is_gone(get(&cache, "k").await);
    endpoint.says("ERROR\r\n");
    poll().await;
    is_gone(get(&cache, "k").await);
    endpoint.lists(3, &[&a, &b]);
    cache.maintain().await;
    is_gone(get(&cache, "k").await);
    poll().await;
    set(&cache, "k", "x").await;
    assert_eq!(ports(&cache), ports_of(&[&a, &b]));
    let same = async |expected: &[&Running], what| {
        poll().await;
        assert_eq!(ports(&cache), ports_of(expected), "{what}");
    };
    endpoint.lists(2, &[&a]);
    same(&[&a, &b], "an older list").await;
    for nonsense in [
        "",
        "ERROR\r\n",
        "CONFIG cluster 0 9999999\r\n",
        "CONFIG cluster 0 3\r\nx",
    ] {
        endpoint.says(nonsense);
        same(&[&a, &b], nonsense).await;
    }
    endpoint.lists(4, &[&a, &b, &c]);
    same(&[&a, &b, &c], "a server more").await;
    endpoint.lists(5, &[&c]);
    same(&[&c], "two less").await;
    conformance::cache(Arc::new(cache), None, "run").await;
}

/// Keys that these two nodes keep at this server.
fn keys_at(cache: &Memcached, server: &Running) -> Vec<String> {
    let end = format!(":{}", server.address().port());
    let keys = (0..40).map(|n| format!("k{n}"));
    keys.filter(|key| cache.server_of(key).unwrap().name.ends_with(&end))
        .collect()
}

#[tokio::test]
async fn what_moved_away_and_back_is_not_what_it_was() {
    let [a, b] = [(); 2].map(|()| Running::start().unwrap());
    let (endpoint, clock) = (Endpoint::start().await, clock());
    let (one, other) = (endpoint.node(&clock), endpoint.node(&clock));
    let learn = async |node: &Memcached| {
        clock.advance(options().poll);
        node.maintain().await;
    };
    endpoint.lists(1, &[&a]);
    learn(&one).await;
    learn(&other).await;
    for n in 0..40 {
        set(&one, &format!("k{n}"), "old").await;
    }
    endpoint.lists(2, &[&a, &b]);
    learn(&one).await;
    let (moved, stayed) = (keys_at(&one, &b), keys_at(&one, &a));
    assert!(!moved.is_empty() && !stayed.is_empty());
    for key in &moved {
        assert_eq!(value(&one, key).await, None);
        set(&one, key, "new").await;
        assert_eq!(
            value(&other, key).await,
            Some(b"old".to_vec()),
            "not told yet"
        );
    }
    for key in &stayed {
        assert_eq!(value(&one, key).await, Some(b"old".to_vec()));
    }
    // The last to learn: nobody reads what somebody may have missed while they did not agree.
    learn(&other).await;
    for key in &moved {
        assert_eq!(value(&one, key).await, None);
        assert_eq!(value(&other, key).await, None);
    }
    endpoint.lists(3, &[&a]);
    learn(&one).await;
    for key in moved.iter().chain(&stayed) {
        assert_eq!(value(&one, key).await, None, "what {key} was before");
    }
}

/// The endpoint is not there when a node starts, and the node changes what others have cached.
#[tokio::test]
async fn what_changed_before_a_server_was_known_is_not_read() {
    let [a, b] = [(); 2].map(|()| Running::start().unwrap());
    let (endpoint, clock) = (Endpoint::start().await, clock());
    let learn = async |node: &Memcached| {
        clock.advance(options().poll);
        node.maintain().await;
    };
    let keys: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
    for changes in [false, true] {
        let [knows, late] = [(); 2].map(|()| endpoint.node(&clock));
        endpoint.lists(1, &[&a, &b]);
        learn(&knows).await;
        for key in &keys {
            set(&knows, key, "old").await;
        }
        endpoint.says("ERROR\r\n");
        learn(&late).await;
        is_gone(late.remove("k1").await);
        if changes {
            late.distrust("k1");
        }
        endpoint.lists(1, &[&a, &b]);
        learn(&late).await;
        let expected = (!changes).then(|| b"old".to_vec());
        for key in &keys {
            assert_eq!(value(&late, key).await, expected, "{changes} {key}");
            assert_eq!(value(&knows, key).await, expected, "{changes} {key}");
        }
        // Once is enough.
        set(&late, "k1", "new").await;
        endpoint.lists(2, &[&a, &b]);
        learn(&late).await;
        assert_eq!(value(&late, "k1").await, Some(b"new".to_vec()));
    }
}
