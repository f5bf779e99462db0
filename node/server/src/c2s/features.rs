//! Features: what a stream offers next.
//!
//! Source: RFC 6120 §4.3.2, §5.3, §6.3, §7.2; XEP-0077 §8, 0198, 0352, 0386, 0388, 0440, 0478, 0480, 0484; RFC 6121 §2.6, §3.4.
//! Why here: what may be offered is a pure function of configuration, connection and what the domain's accounts can do
//! ([`Offer`]); the exchanges ask it whether the client took something that was offered.

use storage::repository::AccountCapabilities;
use xmpp::{
    Element, ns,
    sasl::{BindingOffer, ChannelBindings, Hash, HtBinding, Mechanism, Upgrade},
};

use crate::{
    config::{Auth, ClientLimits},
    keys,
};

/// How a stream authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// RFC 6120 §6.
    Classic,
    /// XEP-0388.
    Sasl2,
}

impl Profile {
    /// The namespace of its elements.
    pub(super) fn ns(self) -> &'static str {
        match self {
            Self::Classic => ns::SASL,
            Self::Sasl2 => ns::SASL2,
        }
    }
}

/// What a stream offers before authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// The connection is encrypted.
    pub(super) encrypted: bool,
    /// Mechanisms of both profiles, in the order of preference.
    pub(super) mechanisms: Vec<Mechanism>,
    /// Channel bindings of the `-PLUS` mechanisms; none without them (XEP-0440 §4).
    pub(super) bindings: BindingOffer,
    /// Mechanisms for tokens (XEP-0484).
    pub(super) fast: Vec<Mechanism>,
    /// Keys that a client may compute for us (XEP-0480).
    pub(super) upgrades: Vec<Upgrade>,
    /// STARTTLS, and whether everything else waits for it.
    pub(super) starttls: Option<bool>,
    /// Strangers may make an account.
    pub(super) register: bool,
}

impl Offer {
    /// For a connection without TLS. If TLS is required, nothing else is offered (RFC 6120 §5.3.1).
    pub(super) fn plain(
        auth: &Auth,
        accounts: AccountCapabilities,
        starttls: Option<bool>,
        registration: bool,
    ) -> Self {
        let mut offer = Self {
            starttls,
            ..Self::default()
        };
        if starttls != Some(true) {
            offer.mechanisms = auth.mechanisms.clone();
            offer.mechanisms.retain(|mechanism| match mechanism {
                Mechanism::Scram { plus: false, hash } => has_keys(accounts, *hash),
                Mechanism::Anonymous => true,
                Mechanism::Plain => auth.plain_without_tls,
                Mechanism::Scram { plus: true, .. }
                | Mechanism::External
                | Mechanism::Ht { .. } => false,
            });
            // A new password would cross the wire as it is.
            offer.register = registration && accounts.writable && auth.plain_without_tls;
        }
        offer
    }

    /// For a connection with TLS; `external`: the client has shown a certificate that counts.
    pub(super) fn encrypted(
        auth: &Auth,
        accounts: AccountCapabilities,
        bindings: &ChannelBindings,
        external: bool,
        registration: bool,
    ) -> Self {
        let data = bindings.offer();
        let configured = auth
            .mechanisms
            .iter()
            .copied()
            .filter(|mechanism| match mechanism {
                Mechanism::Scram { plus, hash } => {
                    has_keys(accounts, *hash) && !(*plus && data.is_empty())
                }
                Mechanism::Plain | Mechanism::Anonymous => true,
                // EXTERNAL is configured by its authorities, tokens by nothing.
                Mechanism::External | Mechanism::Ht { .. } => false,
            });
        let mechanisms: Vec<_> = external
            .then_some(Mechanism::External)
            .into_iter()
            .chain(configured)
            .collect();
        let has = |hash: Hash| {
            mechanisms
                .iter()
                .any(|it| matches!(it, Mechanism::Scram { hash: known, .. } if *known == hash))
        };
        let bound = mechanisms.iter().any(|mechanism| mechanism.is_bound());
        let satisfied = |binding: HtBinding| binding.data(bindings).is_some();
        let tokens = Mechanism::ALL
            .into_iter()
            .filter(|it| matches!(it, Mechanism::Ht { binding, .. } if satisfied(*binding)));
        Self {
            encrypted: true,
            bindings: if bound { data } else { BindingOffer::default() },
            fast: tokens.collect(),
            upgrades: Upgrade::ALL
                .into_iter()
                .filter(|task| has(task.hash))
                .collect(),
            mechanisms,
            starttls: None,
            register: registration && accounts.writable,
        }
    }

    /// The features, before authentication.
    pub(super) fn element(&self, limits: Element) -> Element {
        let mut features = Element::new("features", ns::STREAM);
        if let Some(required) = self.starttls {
            let required = required.then(|| Element::new("required", ns::TLS));
            features.push(Element::new("starttls", ns::TLS).with_children(required));
        }
        if self.starttls == Some(true) {
            return features;
        }
        if !self.mechanisms.is_empty() {
            features.push(
                Element::new("mechanisms", ns::SASL)
                    .with_children(self.mechanism_elements(ns::SASL)),
            );
            // XEP-0388 §8: after TLS only.
            features.push_all(self.encrypted.then(|| self.authentication()));
        }
        features.push_all((!self.bindings.is_empty()).then(|| channel_bindings(self.bindings)));
        features.push_all(
            self.register
                .then(|| Element::new("register", ns::REGISTER_FEATURE)),
        );
        features.push(limits);
        features
    }

    fn mechanism_elements(&self, ns: &'static str) -> impl Iterator<Item = Element> {
        self.mechanisms
            .iter()
            .map(move |it| Element::new("mechanism", ns).with_text(it.as_str()))
    }

    /// XEP-0388 §2, with what may be asked for inline.
    fn authentication(&self) -> Element {
        let feature = |var: &str| Element::new("feature", ns::BIND2).with_attr("var", var);
        let bind = Element::new("inline", ns::BIND2)
            .with_children([ns::CARBONS, ns::CSI, ns::SM].map(feature));
        let tokens = self
            .fast
            .iter()
            .map(|it| Element::new("mechanism", ns::FAST).with_text(it.as_str()));
        let inline = Element::new("inline", ns::SASL2)
            .with_child(Element::new("bind", ns::BIND2).with_child(bind))
            .with_child(Element::new("sm", ns::SM))
            .with_child(Element::new("fast", ns::FAST).with_children(tokens));
        let upgrade =
            |task: &Upgrade| Element::new("upgrade", ns::SASL_UPGRADE).with_text(task.as_str());
        Element::new("authentication", ns::SASL2)
            .with_children(self.mechanism_elements(ns::SASL2))
            .with_child(inline)
            .with_children(self.upgrades.iter().map(upgrade))
    }
}

/// Whether accounts can prove who they are by SCRAM with this hash.
fn has_keys(accounts: AccountCapabilities, hash: Hash) -> bool {
    accounts.scram.contains(keys::stored_hash(hash))
}

trait PushAll {
    fn push_all(&mut self, children: impl IntoIterator<Item = Element>);
}

impl PushAll for Element {
    fn push_all(&mut self, children: impl IntoIterator<Item = Element>) {
        children.into_iter().for_each(|child| self.push(child));
    }
}

fn channel_bindings(offered: BindingOffer) -> Element {
    let types = offered.types().map(|it| {
        Element::new("channel-binding", ns::CHANNEL_BINDING).with_attr("type", it.as_str())
    });
    Element::new("sasl-channel-binding", ns::CHANNEL_BINDING).with_children(types)
}

/// What an authenticated stream offers: binding and resumption, or, once a resource is bound, the rest.
pub(super) fn authenticated(bound: bool, limits: Element) -> Element {
    let before = || {
        // RFC 3921 wanted a session; XEP-0386 and RFC 6121 do not, some clients still do.
        let session =
            Element::new("session", ns::SESSION).with_child(Element::new("optional", ns::SESSION));
        [Element::new("bind", ns::BIND), session]
    };
    Element::new("features", ns::STREAM)
        .with_children((!bound).then(before).into_iter().flatten())
        .with_child(Element::new("sm", ns::SM))
        .with_child(Element::new("csi", ns::CSI))
        .with_child(Element::new("ver", ns::ROSTER_VERSIONING))
        .with_child(Element::new("sub", ns::PRE_APPROVAL))
        .with_child(limits)
}

/// XEP-0478: the largest stanza, and the silence after which we ask whether the client is there.
pub(super) fn limits(limits: &ClientLimits, authenticated: bool) -> Element {
    let codec = if authenticated {
        limits.after_auth
    } else {
        limits.before_auth
    };
    let number = |name: &'static str, value: u64| {
        Element::new(name, ns::STREAM_LIMITS).with_text(value.to_string())
    };
    let idle = authenticated.then(|| number("idle-seconds", limits.idle_ping.as_secs()));
    Element::new("limits", ns::STREAM_LIMITS)
        .with_child(number("max-bytes", codec.stanza_bytes as u64))
        .with_children(idle)
}

#[cfg(test)]
mod tests;
