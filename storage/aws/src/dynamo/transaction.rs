//! Transactions: several operations, or a delete, all or nothing.
//!
//! All attempts bear the same `ClientRequestToken` and are the same to the byte (the time in their conditions too), so
//! one that was done answers its repeats with success. Only when DynamoDB refused, and a put has to take its other form,
//! a new transaction with a new token begins: a refusal under the old token proves that none under it was done.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};
use storage::{Error, Result, shape::Space};

use super::{
    CAPACITY, DynamoTable,
    plan::{Plan, Verdict},
    write::{TURNS, read_found},
};
use crate::{failure::Failure, tally::Tally, write_id::WriteId};

/// Why a transaction was not done.
enum Refusal {
    /// One reason for each part.
    Cancelled(Vec<CancellationReason>),
    Failed(Failure),
}

/// What the reasons come to.
enum Outcome {
    /// It had been done.
    Done,
    /// Some puts have taken their other form.
    Turned,
    Failed(Failure),
}

impl DynamoTable {
    pub(super) async fn transact(&self, plans: &mut [Plan], tally: &Tally) -> Result<()> {
        let (id, space) = (WriteId::random(), plans[0].operation.key().space);
        let mut attempts = self.retries.start();
        for _ in 0..TURNS {
            let (token, now) = (WriteId::random().hex(), self.clock.seconds());
            let parts = plans
                .iter()
                .map(|plan| plan.part(self.names.of(plan.operation.key().space), &id, now))
                .collect::<Result<Vec<_>, _>>()
                .map_err(Failure::into_error)?;
            let mut doubt = false;
            loop {
                let failure = match self.try_transact(&parts, &token, space, tally).await {
                    Ok(()) => return Ok(()),
                    Err(Refusal::Failed(failure)) => failure,
                    Err(Refusal::Cancelled(reasons)) => {
                        // Nothing under this token was done, or this would have been success.
                        doubt = false;
                        match self.outcome(plans, reasons, &id, now, tally)? {
                            Outcome::Done => return Ok(()),
                            Outcome::Turned => break,
                            Outcome::Failed(failure) => failure,
                        }
                    }
                };
                doubt |= failure.doubt;
                if !failure.again(&mut attempts, tally).await {
                    return Err(if doubt {
                        failure.into_doubtful_error()
                    } else {
                        failure.into_error()
                    });
                }
            }
        }
        Err(self.turning(space, false))
    }

    async fn try_transact(
        &self,
        parts: &[TransactWriteItem],
        token: &str,
        space: Space,
        tally: &Tally,
    ) -> Result<(), Refusal> {
        let done = self
            .client
            .transact_write_items()
            .set_transact_items(Some(parts.to_vec()))
            .client_request_token(token)
            .return_consumed_capacity(CAPACITY)
            .customize()
            .interceptor(tally.counting())
            .send()
            .await
            .map_err(|error| self.refused_transaction(space, error))?;
        for capacity in done.consumed_capacity() {
            let name = capacity.table_name().unwrap_or_default();
            tally.written(self.names.space(name).unwrap_or(space), Some(capacity));
        }
        Ok(())
    }

    fn refused_transaction(
        &self,
        space: Space,
        error: SdkError<TransactWriteItemsError>,
    ) -> Refusal {
        if let SdkError::ServiceError(service) = &error
            && let TransactWriteItemsError::TransactionCanceledException(cancelled) = service.err()
        {
            return Refusal::Cancelled(cancelled.cancellation_reasons().to_vec());
        }
        Refusal::Failed(Failure::of(&self.what(space), error))
    }

    /// What the reasons of a cancellation mean: a condition that does not hold first, as no repeat changes that.
    ///
    /// # Errors
    /// `Conflict` with the first operation whose condition did not hold.
    fn outcome(
        &self,
        plans: &mut [Plan],
        reasons: Vec<CancellationReason>,
        id: &WriteId,
        now: u64,
        tally: &Tally,
    ) -> Result<Outcome> {
        let (mut turned, mut failed) = (false, None::<Failure>);
        for (plan, reason) in plans.iter_mut().zip(reasons) {
            let space = plan.operation.key().space;
            match reason.code().unwrap_or("None") {
                "None" => tally.refused(space, 0, 2.0),
                "ConditionalCheckFailed" => {
                    let found = read_found(reason.item)?;
                    tally.refused(space, found.as_ref().map_or(0, |found| found.size), 2.0);
                    match plan.judge(found, id, now, false) {
                        Verdict::Done => return Ok(Outcome::Done),
                        Verdict::Try(form) => {
                            plan.form = form;
                            turned = true;
                        }
                        Verdict::Conflict(found) => {
                            return Err(Error::conflict(plan.index, found));
                        }
                        Verdict::Unknown => unreachable!("a token leaves no doubt"),
                    }
                }
                code => {
                    let failure = self.reason(space, code, reason.message().unwrap_or_default());
                    if failed.as_ref().is_none_or(|known| failure.outweighs(known)) {
                        failed = Some(failure);
                    }
                }
            }
        }
        Ok(match failed {
            Some(failure) if !failure.repeatable => Outcome::Failed(failure),
            _ if turned => Outcome::Turned,
            Some(failure) => Outcome::Failed(failure),
            None => Outcome::Failed(Failure::unexpected(
                &self.what(plans[0].operation.key().space),
                "a cancellation without a reason",
            )),
        })
    }

    /// The codes of reasons are those of exceptions, cut short.
    fn reason(&self, space: Space, code: &str, message: &str) -> Failure {
        let code = match code {
            "TransactionConflict" | "ItemCollectionSizeLimitExceeded" => {
                "TransactionConflictException"
            }
            "ProvisionedThroughputExceeded" | "ThrottlingError" => "ThrottlingException",
            "ValidationError" => "ValidationException",
            other => other,
        };
        Failure::of_code(&self.what(space), code, message, 400)
    }
}
