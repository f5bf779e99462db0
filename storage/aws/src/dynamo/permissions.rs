//! Permissions: whether a server may do with a table what it will have to, tried in ways that change nothing.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, TransactWriteItem};
use bytes::Bytes;
use storage::Result;

use super::{
    item::primary_key,
    setup::{Setup, is_code},
};
use crate::failure::Failure;

/// The key of a record that never is.
const NEVER: &[u8] = b"\0starling check";
/// What never holds of it.
const CONDITION: &str = "attribute_exists(p)";

impl Setup<'_> {
    /// Tries each action that a server needs, in a way that changes nothing: writes ask for a record that is not there.
    pub(super) async fn check_permissions(&self) -> Result<()> {
        let name = Bytes::from_static(NEVER);
        let key = || Some(primary_key(&name, &name));
        let refused = [
            "ConditionalCheckFailedException",
            "TransactionCanceledException",
        ];
        let client = self.client();
        self.ask(|| async {
            let got = client.get_item().table_name(self.name).set_key(key());
            let got = got.send().await;
            got.map_err(|error| self.failure("dynamodb:GetItem", error))
        })
        .await?;
        self.ask(|| async {
            let found = client
                .query()
                .table_name(self.name)
                .key_condition_expression("p = :p")
                .expression_attribute_values(":p", AttributeValue::B(name.to_vec().into()))
                .limit(1)
                .send()
                .await;
            found.map_err(|error| self.failure("dynamodb:Query", error))
        })
        .await?;
        self.ask(|| async {
            let put = client.put_item().table_name(self.name).set_item(key());
            match put.condition_expression(CONDITION).send().await {
                Err(error) if !is_code(&error, &refused) => {
                    Err(self.failure("dynamodb:PutItem", error))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.ask(|| async {
            let update = client.update_item().table_name(self.name).set_key(key());
            match update.condition_expression(CONDITION).send().await {
                Err(error) if !is_code(&error, &refused) => {
                    Err(self.failure("dynamodb:UpdateItem", error))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.ask(|| async {
            let delete = client.delete_item().table_name(self.name).set_key(key());
            match delete.condition_expression(CONDITION).send().await {
                Err(error) if !is_code(&error, &refused) => {
                    Err(self.failure("dynamodb:DeleteItem", error))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.check_transactions().await
    }

    async fn check_transactions(&self) -> Result<()> {
        let name = Bytes::from_static(NEVER);
        self.ask(|| async {
            let check = ConditionCheck::builder()
                .table_name(self.name)
                .set_key(Some(primary_key(&name, &name)))
                .condition_expression("attribute_not_exists(p)")
                .build()
                .map_err(|error| Failure::unexpected(self.name, error.to_string()))?;
            let part = TransactWriteItem::builder().condition_check(check).build();
            let done = self.client().transact_write_items().transact_items(part);
            let done = done.send().await;
            done.map_err(|error| self.failure("dynamodb:ConditionCheckItem", error))
        })
        .await?;
        Ok(())
    }
}
