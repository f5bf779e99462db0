//! A client that speaks XML by hand, over TCP on loopback.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use xmpp::{
    Element,
    codec::{Decoder, Limits, StreamEvent},
    ns,
};

/// How long a test waits for what must come: only a failing one waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client with a session.
pub struct Peer {
    stream: TcpStream,
    decoder: Decoder,
    input: Vec<u8>,
    /// What came in and was not asked for yet.
    waiting: VecDeque<Element>,
    /// The features that the authenticated stream was offered.
    pub features: Element,
    requests: u32,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let mut peer = Self {
            stream: TcpStream::connect(address).await.unwrap(),
            decoder: Decoder::new(Limits::TRUSTED),
            input: Vec::new(),
            waiting: VecDeque::new(),
            features: Element::new("features", ns::STREAM),
            requests: 0,
        };
        peer.features = peer.open().await;
        peer
    }

    /// Makes an account.
    pub async fn register(address: SocketAddr, name: &str) {
        let mut peer = Self::connect(address).await;
        let form = format!(
            "<query xmlns='{}'><username>{name}</username><password>pw</password></query>",
            ns::REGISTER
        );
        let made = peer.ask("set", None, &form).await;
        assert_eq!(made.attr("type"), Some("result"), "{made:?}");
    }

    pub async fn login(address: SocketAddr, name: &str, resource: &str) -> Self {
        let mut peer = Self::connect(address).await;
        let plain = STANDARD.encode(format!("\0{name}\0pw"));
        peer.send(&format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
            ns::SASL
        ))
        .await;
        let success = peer.element().await;
        assert_eq!(success.name(), "success", "{success:?}");
        peer.features = peer.open().await;
        let bind = format!(
            "<bind xmlns='{}'><resource>{resource}</resource></bind>",
            ns::BIND
        );
        assert_eq!(
            peer.ask("set", None, &bind).await.attr("type"),
            Some("result")
        );
        peer
    }

    async fn open(&mut self) -> Element {
        self.decoder.restart();
        let (client, stream) = (ns::CLIENT, ns::STREAM);
        self.send(&format!("<stream:stream xmlns='{client}' xmlns:stream='{stream}' to='example.org' version='1.0'>")).await;
        assert!(matches!(self.event().await, Some(StreamEvent::Open(_))));
        self.element().await
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn event(&mut self) -> Option<StreamEvent> {
        loop {
            let mut rest = &self.input[..];
            let event = self.decoder.next(&mut rest).expect("the server writes XML");
            let used = self.input.len() - rest.len();
            self.input.drain(..used);
            if event.is_some() {
                return event;
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
            if !matches!(read.expect("the server says something"), Ok(1..)) {
                return None;
            }
        }
    }

    async fn element(&mut self) -> Element {
        match self.event().await {
            Some(StreamEvent::Element(element)) => element.to_element(),
            other => panic!("no element: {other:?}"),
        }
    }

    /// The first element that passes, of those that have come and those that come.
    pub async fn expect(&mut self, pass: impl Fn(&Element) -> bool) -> Element {
        if let Some(index) = self.waiting.iter().position(&pass) {
            return self.waiting.remove(index).expect("it is there");
        }
        loop {
            let element = self.element().await;
            if pass(&element) {
                return element;
            }
            self.waiting.push_back(element);
        }
    }

    /// The next presence from an address.
    pub async fn presence(&mut self, from: &str) -> Element {
        self.expect(|it| it.name() == "presence" && it.attr("from") == Some(from))
            .await
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, kind: &str, to: Option<&str>, payload: &str) -> Element {
        self.requests += 1;
        let id = self.requests.to_string();
        let to = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
        self.send(&format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"))
            .await;
        self.expect(|it| it.name() == "iq" && it.attr("id") == Some(&id))
            .await
    }

    /// Sends a request and reads the payload of its result, as text; or the condition of its error after a `!`.
    pub async fn answer(&mut self, kind: &str, to: Option<&str>, payload: &str) -> String {
        let iq = self.ask(kind, to, payload).await;
        match iq.child("error", ns::CLIENT) {
            Some(error) => {
                assert_eq!(iq.attr("type"), Some("error"));
                format!("!{}", error.children().next().expect("a condition").name())
            }
            None => {
                assert_eq!(iq.attr("type"), Some("result"));
                let payload = iq.children().next().map(|it| it.to_bytes(ns::CLIENT));
                String::from_utf8(payload.unwrap_or_default()).unwrap()
            }
        }
    }

    /// Waits until everything that was sent is handled: requests are answered in order.
    pub async fn settle(&mut self) {
        self.ask("get", Some("example.org"), "<ping xmlns='urn:xmpp:ping'/>")
            .await;
    }

    /// What has come and was not asked for.
    pub async fn unexpected(&mut self) -> Vec<Element> {
        self.settle().await;
        self.waiting.drain(..).collect()
    }

    /// Ends the session and waits until the server has done so, too.
    pub async fn close(mut self) {
        self.send("</stream:stream>").await;
        while self.event().await.is_some() {}
    }
}
