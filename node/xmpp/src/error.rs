//! The RFC's own conditions: stanza errors (RFC 6120 §8.3), stream errors (§4.9), SASL failures (§6.5).

use std::fmt;

use crate::{Element, ns};

macro_rules! conditions {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* #[doc = concat!("`", $text, "`")] $variant),* }
        impl $name {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The element name.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $text),* } }
            /// From an element name.
            pub fn parse(text: &str) -> Option<Self> { match text { $($text => Some(Self::$variant),)* _ => None } }
        }
        impl fmt::Display for $name { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) } }
    };
}

conditions! {
    /// Stanza error conditions (RFC 6120 §8.3.3).
    StanzaErrorCondition {
        BadRequest = "bad-request", Conflict = "conflict", FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden", Gone = "gone", InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found", JidMalformed = "jid-malformed", NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed", NotAuthorized = "not-authorized", PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable", Redirect = "redirect",
        RegistrationRequired = "registration-required", RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout", ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable", SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition", UnexpectedRequest = "unexpected-request",
    }
}

conditions! {
    /// Stream error conditions (RFC 6120 §4.9.3).
    StreamErrorCondition {
        BadFormat = "bad-format", BadNamespacePrefix = "bad-namespace-prefix", Conflict = "conflict",
        ConnectionTimeout = "connection-timeout", HostGone = "host-gone", HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing", InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from", InvalidNamespace = "invalid-namespace", InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized", NotWellFormed = "not-well-formed", PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed", Reset = "reset",
        ResourceConstraint = "resource-constraint", RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host", SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition", UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature", UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

conditions! {
    /// SASL failure conditions (RFC 6120 §6.5).
    SaslFailure {
        Aborted = "aborted", AccountDisabled = "account-disabled", CredentialsExpired = "credentials-expired",
        EncryptionRequired = "encryption-required", IncorrectEncoding = "incorrect-encoding",
        InvalidAuthzid = "invalid-authzid", InvalidMechanism = "invalid-mechanism",
        MalformedRequest = "malformed-request", MechanismTooWeak = "mechanism-too-weak",
        NotAuthorized = "not-authorized", TemporaryAuthFailure = "temporary-auth-failure",
    }
}

/// What the sender may do about an error (RFC 6120 §8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry: the error cannot be remedied.
    Cancel,
    /// Proceed: it was only a warning.
    Continue,
    /// Retry after changing the data sent.
    Modify,
    /// Retry after waiting: the error is temporary.
    Wait,
}

impl ErrorType {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

impl StanzaErrorCondition {
    /// The type the RFC associates with the condition (RFC 6120 §8.3.3).
    pub fn default_type(self) -> ErrorType {
        use StanzaErrorCondition as C;
        match self {
            C::BadRequest
            | C::JidMalformed
            | C::NotAcceptable
            | C::PolicyViolation
            | C::Redirect => ErrorType::Modify,
            C::Forbidden | C::NotAuthorized | C::RegistrationRequired | C::SubscriptionRequired => {
                ErrorType::Auth
            }
            C::RecipientUnavailable
            | C::RemoteServerTimeout
            | C::ResourceConstraint
            | C::UnexpectedRequest => ErrorType::Wait,
            _ => ErrorType::Cancel,
        }
    }
}

/// An error that returns to the sender of a stanza (RFC 6120 §8.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{condition}")]
pub struct StanzaError {
    /// What went wrong.
    pub condition: StanzaErrorCondition,
    /// What the sender may do.
    pub error_type: ErrorType,
    /// For people.
    pub text: Option<String>,
    /// An application-specific condition.
    pub application: Option<Box<Element>>,
}

impl From<StanzaErrorCondition> for StanzaError {
    fn from(condition: StanzaErrorCondition) -> Self {
        Self {
            condition,
            error_type: condition.default_type(),
            text: None,
            application: None,
        }
    }
}

impl StanzaError {
    /// An error of this condition with text for people.
    pub fn new(condition: StanzaErrorCondition, text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..condition.into()
        }
    }
    /// The same with another type.
    #[must_use]
    pub fn with_type(mut self, error_type: ErrorType) -> Self {
        self.error_type = error_type;
        self
    }
    /// The same with an application-specific condition.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application = Some(Box::new(element));
        self
    }
    /// `<error/>` in `jabber:client`.
    pub fn to_element(&self) -> Element {
        let mut error = Element::new("error", ns::CLIENT)
            .with_attr("type", self.error_type.as_str())
            .with_child(Element::new(self.condition.as_str(), ns::STANZA_ERRORS));
        if let Some(text) = &self.text {
            error.push(Element::new("text", ns::STANZA_ERRORS).with_text(text.clone()));
        }
        if let Some(application) = &self.application {
            error.push((**application).clone());
        }
        error
    }
}

/// An error that ends a stream (RFC 6120 §4.9).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{condition}")]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamErrorCondition,
    /// Where the client is to go instead, `host` or `host:port`, where the condition says so (§4.9.3.19).
    pub other_host: Option<Box<str>>,
    /// For people.
    pub text: Option<String>,
    /// An application-specific condition.
    pub application: Option<Box<Element>>,
}

impl From<StreamErrorCondition> for StreamError {
    fn from(condition: StreamErrorCondition) -> Self {
        Self {
            condition,
            other_host: None,
            text: None,
            application: None,
        }
    }
}

impl StreamError {
    /// `<see-other-host/>` with an address, `host` or `host:port`. Only for who has logged in: others could be led astray
    /// (RFC 6120 §4.9.3.19).
    pub fn see_other_host(address: impl Into<Box<str>>) -> Self {
        Self {
            other_host: Some(address.into()),
            ..StreamErrorCondition::SeeOtherHost.into()
        }
    }
    /// An error of this condition with text for people.
    pub fn new(condition: StreamErrorCondition, text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..condition.into()
        }
    }
    /// `<stream:error/>`, its prefix being declared on the stream header.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = b"<stream:error>".to_vec();
        let mut condition = Element::new(self.condition.as_str(), ns::STREAM_ERRORS);
        if let Some(address) = &self.other_host {
            condition = condition.with_text(&**address);
        }
        condition.write_to(&mut out, ns::CLIENT);
        if let Some(text) = &self.text {
            Element::new("text", ns::STREAM_ERRORS)
                .with_attr("xml:lang", "en")
                .with_text(text.clone())
                .write_to(&mut out, ns::CLIENT);
        }
        if let Some(application) = &self.application {
            application.write_to(&mut out, ns::CLIENT);
        }
        out.extend_from_slice(b"</stream:error>");
        out
    }
}
