//! Writes: a lone put, a lone check; everything else is a transaction.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::ReturnValuesOnConditionCheckFailure,
};
use storage::{
    Error, ErrorKind, Result,
    backend::rule,
    shape::{Batch, Consistency, Operation, Space},
};

use super::{
    CAPACITY, DynamoTable,
    item::{self, Item, Stored},
    plan::{Form, Plan, Verdict},
};
use crate::{failure::Failure, tally::Tally, write_id::WriteId};

/// DynamoDB's limit on all items of a transaction together.
const MAX_TRANSACTION: usize = 4 << 20;
/// How often a put may turn from one form to the other: each time somebody else, or time, was faster.
pub(super) const TURNS: usize = 8;

/// Why an attempt did not succeed.
pub(super) enum Refusal {
    /// The condition did not hold; this was there.
    Condition(Option<Item>),
    Failed(Failure),
}

/// Refuses what DynamoDB cannot take.
fn check(batch: &Batch) -> Result<()> {
    rule::check_batch(batch)?;
    let mut total = 0;
    for operation in &batch.operations {
        let key = operation.key();
        if key.partition.is_empty() || key.sort.is_empty() {
            return Err(Error::new(ErrorKind::NotAllowed, "an empty key"));
        }
        if let Operation::Put { key, value, .. } = operation {
            let size = item::size(key, value);
            if item::is_too_large(size) {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!("an item of {size} bytes"),
                ));
            }
            total += size;
        }
    }
    if batch.operations.len() > 1 && total > MAX_TRANSACTION {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("a transaction of {total} bytes"),
        ));
    }
    Ok(())
}

/// What an item that could not be understood leaves of the answer.
pub(super) fn read_found(found: Option<Item>) -> Result<Option<Stored>> {
    found
        .filter(|item| !item.is_empty())
        .map(item::read)
        .transpose()
}

impl DynamoTable {
    pub(super) async fn write_all(&self, batch: Batch, tally: &Tally) -> Result<()> {
        check(&batch)?;
        let operations = batch.operations.into_iter().enumerate();
        let mut plans: Vec<Plan> = operations
            .filter_map(|(index, operation)| Plan::of(index, operation))
            .collect();
        match &mut plans[..] {
            [] => Ok(()),
            [plan] if plan.form == Form::Check => self.check_alone(plan, tally).await,
            [plan] if plan.form != Form::Remove => self.put_alone(plan, tally).await,
            plans => self.transact(plans, tally).await,
        }
    }

    async fn check_alone(&self, plan: &Plan, tally: &Tally) -> Result<()> {
        let key = plan.operation.key();
        let found = self.find(key, Consistency::Strong, tally).await?;
        if plan.operation.condition().holds(found.as_ref()) {
            Ok(())
        } else {
            Err(Error::conflict(plan.index, found))
        }
    }

    async fn put_alone(&self, plan: &mut Plan, tally: &Tally) -> Result<()> {
        let (id, space) = (WriteId::random(), plan.operation.key().space);
        let (mut attempts, mut doubt, mut turns) = (self.retries.start(), false, 0);
        loop {
            let now = self.clock.seconds();
            let failure = match self.try_put(plan, &id, now, tally).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Condition(found)) => {
                    let found = read_found(found)?;
                    tally.refused(space, found.as_ref().map_or(0, |found| found.size), 1.0);
                    match plan.judge(found, &id, now, doubt) {
                        Verdict::Done => return Ok(()),
                        Verdict::Conflict(found) => return Err(Error::conflict(plan.index, found)),
                        Verdict::Unknown => return Err(self.unknown(space)),
                        Verdict::Try(form) => plan.form = form,
                    }
                    turns += 1;
                    if turns > TURNS {
                        return Err(self.turning(space, doubt));
                    }
                    continue;
                }
                Err(Refusal::Failed(failure)) => failure,
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

    async fn try_put(
        &self,
        plan: &Plan,
        id: &WriteId,
        now: u64,
        tally: &Tally,
    ) -> Result<(), Refusal> {
        let space = plan.operation.key().space;
        let old = ReturnValuesOnConditionCheckFailure::AllOld;
        if plan.form == Form::Create {
            let created = self
                .client
                .put_item()
                .table_name(self.names.of(space))
                .set_item(plan.item(id))
                .set_condition_expression(plan.condition())
                .set_expression_attribute_values(plan.values(id, now))
                .return_values_on_condition_check_failure(old)
                .return_consumed_capacity(CAPACITY)
                .customize()
                .interceptor(tally.counting())
                .send()
                .await
                .map_err(|error| self.refused_creation(space, error))?;
            tally.written(space, created.consumed_capacity());
        } else {
            let changed = self
                .client
                .update_item()
                .table_name(self.names.of(space))
                .set_key(Some(plan.key()))
                .update_expression(plan.update())
                .set_condition_expression(plan.condition())
                .set_expression_attribute_values(plan.values(id, now))
                .return_values_on_condition_check_failure(old)
                .return_consumed_capacity(CAPACITY)
                .customize()
                .interceptor(tally.counting())
                .send()
                .await
                .map_err(|error| self.refused_change(space, error))?;
            tally.written(space, changed.consumed_capacity());
        }
        Ok(())
    }

    fn refused_creation(&self, space: Space, error: SdkError<PutItemError>) -> Refusal {
        if let SdkError::ServiceError(service) = &error
            && let PutItemError::ConditionalCheckFailedException(refused) = service.err()
        {
            return Refusal::Condition(refused.item.clone());
        }
        Refusal::Failed(Failure::of(&self.what(space), error))
    }

    fn refused_change(&self, space: Space, error: SdkError<UpdateItemError>) -> Refusal {
        if let SdkError::ServiceError(service) = &error
            && let UpdateItemError::ConditionalCheckFailedException(refused) = service.err()
        {
            return Refusal::Condition(refused.item.clone());
        }
        Refusal::Failed(Failure::of(&self.what(space), error))
    }

    fn unknown(&self, space: Space) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "{}: an answer was lost, and others wrote since",
                self.what(space)
            ),
        )
    }

    /// What expires and is written at the same moment, again and again.
    pub(super) fn turning(&self, space: Space, doubt: bool) -> Error {
        let kind = if doubt {
            ErrorKind::Unavailable
        } else {
            ErrorKind::Throttled
        };
        Error::new(
            kind,
            format!("{}: others are always faster", self.what(space)),
        )
    }
}
