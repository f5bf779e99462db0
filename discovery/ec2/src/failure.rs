//! What a failed request means, and asking again.
//!
//! Source: Amazon EC2 API Reference, "Error codes" and "Request throttling"; Amazon EC2 Auto Scaling API Reference,
//! "Common Errors".

use std::{error::Error as StdError, time::Duration};

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use discovery::{Error, ErrorKind, backoff::Backoff, bucket::Bucket};
use tokio::time::sleep;

/// The text of an error of the SDK, whose own types hold whole requests.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

/// What an answer with this code and status means.
fn kind(code: &str, status: u16) -> ErrorKind {
    match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "EC2ThrottledException"
        | "TooManyRequestsException"
        | "SlowDown"
        // Another change of the same group is under way.
        | "ResourceContention" => ErrorKind::Throttled,
        "UnauthorizedOperation"
        | "AuthFailure"
        | "AccessDenied"
        | "AccessDeniedException"
        | "Blocked"
        | "OptInRequired"
        | "PendingVerification"
        | "NotAuthorized"
        | "IncompleteSignature"
        | "SignatureDoesNotMatch"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException" => ErrorKind::Denied,
        _ => match status {
            401 | 403 => ErrorKind::Denied,
            429 | 509 => ErrorKind::Throttled,
            500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Malformed,
        },
    }
}

/// A failed request of the source `asked`.
pub(crate) fn failure<E>(asked: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let status = service.raw().status().as_u16();
        let metadata = service.err().meta();
        let code = metadata.code().unwrap_or_default();
        let message = metadata.message().unwrap_or_default();
        let kind = kind(code, status);
        let sentence = match kind {
            ErrorKind::Throttled => "asks for less",
            ErrorKind::Denied => "not permitted for these credentials",
            ErrorKind::Unavailable => "failed",
            _ if status < 300 => "no answer that can be understood",
            _ => "refused the request",
        };
        let cause = Cause(format!("{status} {code}: {message}"));
        return Error::new(kind, asked, sentence).with_source(cause);
    }
    let sentence = match &error {
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::ConstructionFailure(_) => "no request could be made",
        SdkError::DispatchFailure(_) => "not reached",
        _ => "no answer that can be understood",
    };
    Error::new(ErrorKind::Unavailable, asked, sentence).with_source(Cause(chain(&error)))
}

fn chain(error: &dyn StdError) -> String {
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

/// A request is tried so often. More is left to who asks again later anyway.
const ATTEMPTS: u32 = 3;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(400),
    longest: Duration::from_secs(3),
};

/// Asks until there is an answer, a token of the bucket for each time. For requests that may be done twice.
pub(crate) async fn persist<T, F>(bucket: &Bucket, ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut failures = 0;
    loop {
        bucket.take().await;
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        failures += 1;
        let may_pass = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable);
        if !may_pass || failures >= ATTEMPTS {
            return Err(error);
        }
        sleep(BACKOFF.after(failures, fastrand::f64())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let check = |code, status, expected| assert_eq!(kind(code, status), expected, "{code}");
        check("RequestLimitExceeded", 503, ErrorKind::Throttled);
        check("Throttling", 400, ErrorKind::Throttled);
        check("", 429, ErrorKind::Throttled);
        check("UnauthorizedOperation", 403, ErrorKind::Denied);
        check("AuthFailure", 401, ErrorKind::Denied);
        check("ExpiredToken", 400, ErrorKind::Denied);
        check("", 403, ErrorKind::Denied);
        check("InternalError", 500, ErrorKind::Unavailable);
        check("Unavailable", 503, ErrorKind::Unavailable);
        check("InvalidParameterValue", 400, ErrorKind::Malformed);
        check("ValidationError", 400, ErrorKind::Malformed);
    }
}
