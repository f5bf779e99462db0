//! What a failed request means: was it done, may it be asked again, what is the operator told.
//!
//! Source: the error codes of DynamoDB ("Error handling") and S3 ("Error responses"). What the service refused was not
//! done; what nobody answered, or what was answered with a failure of the service itself (5xx), may have been done.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::config::http::HttpResponse;
use storage::{
    Error, ErrorKind,
    layer::{Attempts, Retries},
};

use crate::{options::reason, tally::Tally};

/// A request that failed for another reason than its condition.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The kind, if no attempt before it leaves doubt.
    pub(crate) kind: ErrorKind,
    /// It may have been done all the same.
    pub(crate) doubt: bool,
    /// Another attempt may end otherwise.
    pub(crate) repeatable: bool,
    /// There were too many requests: whoever sends them is to slow down.
    pub(crate) throttled: bool,
    sentence: String,
    cause: Cause,
}

/// The text of an error of the SDK, whose own types hold whole requests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// What the codes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Too much: not done.
    Throttled,
    /// In the way of another request for the same records: not done. Says nothing of how much there is.
    Contended,
    /// The service itself failed: nobody knows.
    Failed,
    /// Not permitted.
    Denied,
    /// The table or the bucket is not there.
    Missing,
    /// Longer than may be.
    TooLarge,
    /// A key that the service does not take.
    BadKey,
    /// A request that can never be right: a bug of ours, or a table that is not ours.
    Refused,
}

fn meaning(code: &str, message: &str, status: u16) -> Meaning {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "SlowDown"
        | "RequestThrottled" => Meaning::Throttled,
        "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "OperationAborted"
        | "ConditionalRequestConflict" => Meaning::Contended,
        // The first attempt of the same transaction is still under way; S3 did not get all of the body in time.
        "TransactionInProgressException" | "RequestTimeout" => Meaning::Failed,
        "ResourceNotFoundException" | "NoSuchBucket" | "TableNotFoundException" => Meaning::Missing,
        "AccessDeniedException"
        | "AccessDenied"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "NotSignedUp" => Meaning::Denied,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => Meaning::TooLarge,
        "KeyTooLongError" | "KeyTooLong" => Meaning::BadKey,
        "ValidationException" | "ValidationError" if is_about_size(message) => Meaning::TooLarge,
        _ => match status {
            403 => Meaning::Denied,
            413 => Meaning::TooLarge,
            429 | 509 => Meaning::Throttled,
            500.. => Meaning::Failed,
            _ => Meaning::Refused,
        },
    }
}

/// DynamoDB has no code of its own for items and transactions that are too large.
fn is_about_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("size") && (message.contains("exceed") || message.contains("maximum allowed"))
}

impl Failure {
    /// What a failed request to `what` (`DynamoDB table x`) means.
    pub(crate) fn of<E>(what: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if let SdkError::ServiceError(service) = &error {
            let status = service.raw().status().as_u16();
            let metadata = service.err().meta();
            let (code, message) = (metadata.code(), metadata.message());
            return Self::of_code(
                what,
                code.unwrap_or_default(),
                message.unwrap_or_default(),
                status,
            );
        }
        let sentence = match &error {
            SdkError::TimeoutError(_) => "no answer in time",
            SdkError::ConstructionFailure(_) => "no request could be made",
            SdkError::DispatchFailure(_) => "not reached",
            _ => "no answer that can be understood",
        };
        let no_credentials = credentials(&error);
        let sentence = no_credentials.map_or(sentence, |_| "no credentials could be got");
        // Then nothing was sent.
        let doubt = !matches!(error, SdkError::ConstructionFailure(_)) && no_credentials.is_none();
        Self {
            kind: ErrorKind::Unavailable,
            doubt,
            // Who gives credentials may fail for a moment.
            repeatable: doubt || no_credentials.is_some(),
            throttled: false,
            sentence: format!("{what}: {sentence}"),
            cause: Cause(no_credentials.map_or_else(|| chain(&error), reason)),
        }
    }

    /// What an answer with this code means.
    pub(crate) fn of_code(what: &str, code: &str, message: &str, status: u16) -> Self {
        let meaning = meaning(code, message, status);
        let (kind, sentence) = match meaning {
            Meaning::Throttled => (ErrorKind::Throttled, "asks for less"),
            // For who asked it is the same: nothing was done, and later it may be.
            Meaning::Contended => (ErrorKind::Throttled, "others are in the way all the time"),
            Meaning::Failed => (ErrorKind::Unavailable, "failed"),
            Meaning::Denied => (
                ErrorKind::Unavailable,
                "not permitted for these credentials",
            ),
            Meaning::Missing => (
                ErrorKind::Unavailable,
                "does not exist; `starling init` creates it",
            ),
            Meaning::TooLarge => (ErrorKind::TooLarge, "the value is too large"),
            Meaning::BadKey => (ErrorKind::NotAllowed, "does not take this key"),
            Meaning::Refused => (ErrorKind::Unavailable, "refused the request"),
        };
        Self {
            kind,
            doubt: meaning == Meaning::Failed,
            repeatable: matches!(
                meaning,
                Meaning::Throttled | Meaning::Contended | Meaning::Failed
            ),
            throttled: meaning == Meaning::Throttled,
            sentence: format!("{what}: {sentence}"),
            cause: Cause(answer(status, code, message)),
        }
    }

    /// The answer is not what the service says that it gives.
    pub(crate) fn unexpected(what: &str, cause: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            doubt: true,
            repeatable: true,
            throttled: false,
            sentence: format!("{what}: no answer that can be understood"),
            cause: Cause(cause.into()),
        }
    }

    /// Whether it says more of a transaction than the failure of another part: what can never be is worse than what
    /// must wait, and who asks for less must be heard.
    pub(crate) fn outweighs(&self, other: &Self) -> bool {
        let weight = |failure: &Self| (!failure.repeatable, failure.throttled);
        weight(self) > weight(other)
    }

    /// Whether the call is tried again; waits before it says yes.
    pub(crate) async fn again(&self, attempts: &mut Attempts<'_>, tally: &Tally) -> bool {
        if self.throttled {
            tally.throttled();
        }
        let again = self.repeatable && attempts.again().await;
        if again {
            tally.retried();
        }
        again
    }

    /// As an error, if nothing before it leaves doubt.
    pub(crate) fn into_error(self) -> Error {
        Error::new(self.kind, self.sentence).with_source(self.cause)
    }

    /// As the error of a write of which another attempt may have been done.
    pub(crate) fn into_doubtful_error(self) -> Error {
        Error::new(ErrorKind::Unavailable, self.sentence).with_source(self.cause)
    }

    /// One sentence with its cause, for who starts the server.
    pub(crate) fn sentence(&self) -> String {
        format!("{} ({})", self.sentence, self.cause)
    }
}

/// Asks until there is an answer. For calls that may be done twice.
pub(crate) async fn persist<T, F>(
    retries: &Retries,
    tally: &Tally,
    ask: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>> + Send,
{
    let mut attempts = retries.start();
    loop {
        match ask().await {
            Err(failure) if failure.again(&mut attempts, tally).await => {}
            ended => return ended,
        }
    }
}

/// What was answered. An answer to `HEAD` has neither code nor message.
fn answer(status: u16, code: &str, message: &str) -> String {
    let mut text = status.to_string();
    if !code.is_empty() {
        text = format!("{text} {code}");
    }
    if !message.is_empty() {
        text = format!("{text}: {message}");
    }
    text
}

/// Why there are no credentials, if that is what failed.
fn credentials<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CredentialsError> {
    let mut error = Some(error);
    while let Some(at) = error {
        if let Some(found) = at.downcast_ref() {
            return Some(found);
        }
        error = at.source();
    }
    None
}

/// An error with its causes, in their own words.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only some of what is `Throttled` tells to slow down.
    #[test]
    fn who_is_in_the_way_does_not_ask_for_less() {
        let check = |code: &str, status, throttled| {
            let failure = Failure::of_code("table", code, "", status);
            let told = (failure.kind, failure.repeatable, failure.throttled);
            assert_eq!(told, (ErrorKind::Throttled, true, throttled), "{code}");
        };
        check("ProvisionedThroughputExceededException", 400, true);
        check("ThrottlingException", 400, true);
        check("SlowDown", 503, true);
        check("", 429, true);
        check("TransactionConflictException", 400, false);
        check("ReplicatedWriteConflictException", 400, false);
        check("OperationAborted", 409, false);
        check("ConditionalRequestConflict", 409, false);
        for code in ["InternalServerError", "AccessDeniedException"] {
            assert!(
                !Failure::of_code("table", code, "", 500).throttled,
                "{code}"
            );
        }
    }

    #[test]
    fn the_worst_part_of_a_transaction_speaks_for_it() {
        let failure = |code| Failure::of_code("table", code, "", 400);
        let [contended, throttled, denied] = [
            failure("TransactionConflictException"),
            failure("ThrottlingException"),
            failure("AccessDeniedException"),
        ];
        for (one, other, expected) in [
            (&throttled, &contended, true),
            (&denied, &throttled, true),
            (&denied, &contended, true),
            (&contended, &throttled, false),
            (&throttled, &denied, false),
            (&throttled, &throttled, false),
        ] {
            assert_eq!(one.outweighs(other), expected, "{one:?} {other:?}");
        }
    }

    fn check(code: &str, message: &str, status: u16, kind: ErrorKind, doubt: bool, again: bool) {
        let failure = Failure::of_code("table", code, message, status);
        assert_eq!(
            (failure.kind, failure.doubt, failure.repeatable),
            (kind, doubt, again),
            "{status} {code}"
        );
    }

    #[test]
    fn what_was_answered() {
        let check = |status, code, message, expected: &str| {
            let told = Failure::of_code("bucket", code, message, status).sentence();
            assert_eq!(
                told,
                format!("bucket: not permitted for these credentials ({expected})")
            );
        };
        check(403, "", "", "403");
        check(403, "AccessDenied", "", "403 AccessDenied");
        check(403, "AccessDenied", "no", "403 AccessDenied: no");
        check(403, "", "no", "403: no");
    }

    #[test]
    fn codes_tell_what_happened() {
        use ErrorKind::{Throttled, TooLarge, Unavailable};
        for code in [
            "ThrottlingException",
            "RequestLimitExceeded",
            "TransactionConflictException",
        ] {
            check(code, "", 400, Throttled, false, true);
        }
        check("SlowDown", "", 503, Throttled, false, true);
        check(
            "ConditionalRequestConflict",
            "",
            409,
            Throttled,
            false,
            true,
        );
        check("InternalServerError", "", 500, Unavailable, true, true);
        check("ServiceUnavailable", "", 503, Unavailable, true, true);
        check("", "", 502, Unavailable, true, true);
        check(
            "TransactionInProgressException",
            "",
            400,
            Unavailable,
            true,
            true,
        );
        check("AccessDeniedException", "", 400, Unavailable, false, false);
        check("", "", 403, Unavailable, false, false);
        check(
            "ResourceNotFoundException",
            "",
            400,
            Unavailable,
            false,
            false,
        );
        check("NoSuchBucket", "", 404, Unavailable, false, false);
        let size = "Item size has exceeded the maximum allowed size";
        check("ValidationException", size, 400, TooLarge, false, false);
        check(
            "ValidationException",
            "The key does not match",
            400,
            Unavailable,
            false,
            false,
        );
        check(
            "KeyTooLongError",
            "",
            400,
            ErrorKind::NotAllowed,
            false,
            false,
        );
        check("EntityTooLarge", "", 400, TooLarge, false, false);
    }
}
