//! Talk: a client's half of what these tests are about.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tests::client::Wire;
use tests::server::Target;
use tests::xml::Tree;
use tokio::time::{Instant, timeout};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same server, as clients of another domain reach it.
pub(crate) fn of_domain(target: &Target, domain: &str) -> Target {
    Target {
        domain: domain.to_owned(),
        ..target.clone()
    }
}

/// A stream that is safe, and what is offered on it.
pub(crate) async fn secured(target: &Target) -> (Wire, Tree) {
    let mut wire = Wire::connect(target).await.unwrap();
    let features = wire.secure().await.unwrap();
    (wire, features)
}

/// The mechanisms that are offered.
pub(crate) fn mechanisms(features: &Tree) -> Vec<String> {
    let list = features.child("mechanisms", SASL).unwrap();
    list.elements().map(Tree::text).collect()
}

async fn plain(wire: &mut Wire, user: &str, password: &str) -> Tree {
    let proof = BASE64.encode(format!("\0{user}\0{password}"));
    let auth = format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{proof}</auth>");
    wire.send(&auth).await.unwrap();
    wire.element().await.unwrap()
}

/// What is answered to a password: `success`, or why not.
pub(crate) async fn verdict(target: &Target, user: &str, password: &str) -> String {
    let (mut wire, _) = secured(target).await;
    let answer = plain(&mut wire, user, password).await;
    match answer.is("success", SASL) {
        true => "success".to_owned(),
        false => answer.elements().next().unwrap().name.clone(),
    }
}

/// Asks again while the answer is that nobody can tell now; whoever asks is not believed more often than others.
pub(crate) async fn verdict_at_last(target: &Target, user: &str, password: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let verdict = verdict(target, user, password).await;
        if verdict != "temporary-auth-failure" || Instant::now() > end {
            return verdict;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A session.
pub(crate) struct Talk {
    wire: Wire,
    /// Stanzas that were sent since acknowledgements are on (XEP-0198 §4).
    sent: u32,
}

impl Talk {
    /// An available session with stream management, by PLAIN.
    pub(crate) async fn plain(target: &Target, user: &str, password: &str) -> Self {
        let (mut wire, _) = secured(target).await;
        let answer = plain(&mut wire, user, password).await;
        assert!(answer.is("success", SASL), "{answer}");
        wire.open().await.unwrap();
        Self::available(wire).await
    }

    /// The same by SCRAM.
    pub(crate) async fn scram(target: &Target, user: &str, password: &str) -> Self {
        let (mut wire, features) = secured(target).await;
        wire.authenticate(&features, user, password).await.unwrap();
        Self::available(wire).await
    }

    async fn available(mut wire: Wire) -> Self {
        wire.bind("phone").await.unwrap();
        let mut talk = Self { wire, sent: 0 };
        talk.send("<enable xmlns='urn:xmpp:sm:3'/>").await;
        talk.until(|it| it.name == "enabled").await;
        talk.send("<presence/>").await;
        talk
    }

    pub(crate) async fn send(&mut self, text: &str) {
        let stanzas = ["<message", "<presence", "<iq"];
        let is_stanza = stanzas.iter().any(|name| text.starts_with(name));
        self.sent += u32::from(is_stanza);
        self.wire.send(text).await.unwrap();
    }

    /// The next element that is what is waited for; others are let pass.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&Tree) -> bool) -> Tree {
        let reading = async {
            loop {
                let found = self.wire.element().await.unwrap();
                if is_it(&found) {
                    return found;
                }
            }
        };
        let found = timeout(PATIENCE, reading).await;
        found.unwrap_or_else(|_| panic!("nothing came:\n{}", self.wire.transcript.join("\n")))
    }

    /// The answer to a request, which has `ID` for its id.
    pub(crate) async fn ask(&mut self, request: &str) -> Tree {
        let id = format!("q{}", self.wire.transcript.len());
        self.send(&request.replace("ID", &id)).await;
        self.until(|it| it.name == "iq" && it.attr("id") == Some(&id))
            .await
    }

    /// Sends a message whose id is its text.
    pub(crate) async fn message(&mut self, to: &str, text: &str) {
        let head = format!("<message to='{to}' type='chat' id='{text}'>");
        self.send(&format!("{head}<body>{text}</body></message>"))
            .await;
    }

    /// The same, until it is acknowledged: it is kept where it has to be.
    pub(crate) async fn kept(&mut self, to: &str, text: &str) {
        self.message(to, text).await;
        self.send("<r xmlns='urn:xmpp:sm:3'/>").await;
        let sent = self.sent;
        let handled = |it: &Tree| it.attr("h").and_then(|h| h.parse::<u32>().ok());
        self.until(|it| it.name == "a" && handled(it) >= Some(sent))
            .await;
    }

    /// The message with this body.
    pub(crate) async fn receive(&mut self, body: &str) -> Tree {
        let has = |it: &Tree| it.named("body").is_some_and(|it| it.text() == body);
        self.until(|it| it.name == "message" && has(it)).await
    }

    /// Puts somebody into the roster.
    pub(crate) async fn add(&mut self, contact: &str) {
        let item = format!("<item jid='{contact}' name='A colleague'/>");
        let answer = self
            .ask(&format!(
                "<iq type='set' id='ID'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
            ))
            .await;
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
    }
}

/// The type and the condition of an error.
pub(crate) fn error(answer: &Tree) -> (String, String) {
    let error = answer.named("error");
    let error = error.unwrap_or_else(|| panic!("no error: {answer}"));
    let condition = error.elements().next().unwrap().name.clone();
    (error.attr("type").unwrap().to_owned(), condition)
}
