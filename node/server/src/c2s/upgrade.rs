//! Upgrade: keys for a hash that an account has none for, computed by its client.
//!
//! Source: XEP-0480 v0.2, as tasks of XEP-0388 §2.6.3. Offered at every login, done where keys are missing.
//! Why here: a task comes between proof and `<success/>`; what the client sends is the salted password, and only the keys
//! made of it are stored.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use xmpp::{
    Element, StreamErrorCondition as Condition, ns,
    sasl::{SaslFailure, ScramKeys, Upgrade, keys::SALT_LEN},
};

use super::{
    authenticate::{Proven, Refused, decode},
    bind::Proof,
    negotiation::Client,
    sasl2::additional_data,
};
use crate::{keys, random};

impl Client {
    /// The tasks of XEP-0480, for the hashes that the account has no keys for.
    pub(super) async fn upgrade(
        &mut self,
        wanted: &[Upgrade],
        proven: &mut Proven,
    ) -> Result<(), Refused> {
        let offered = self.offer.upgrades.clone();
        for task in offered.into_iter().filter(|task| wanted.contains(task)) {
            let Some(account) = &proven.account else {
                return Ok(());
            };
            if keys::of(account, task.hash).is_some() {
                continue;
            }
            let tasks = Element::new("tasks", ns::SASL2)
                .with_child(Element::new("task", ns::SASL2).with_text(task.as_str()));
            let data = proven.additional.take().map(|data| additional_data(&data));
            self.send(
                &Element::new("continue", ns::SASL2)
                    .with_children(data)
                    .with_child(tasks),
            )?;

            let answer = self.task_step("next").await?;
            if answer.attr("task") != Some(task.as_str()) {
                return Err(SaslFailure::MalformedRequest.into());
            }
            let (salt, iterations) = (
                random::bytes::<SALT_LEN>(),
                self.router.config.auth.scram_iterations,
            );
            let parameters = Element::new("salt", ns::SCRAM_UPGRADE)
                .with_attr("iterations", iterations.to_string())
                .with_text(STANDARD.encode(salt));
            self.send(&Element::new("task-data", ns::SASL2).with_child(parameters))?;

            let answer = self.task_step("task-data").await?;
            let hash = answer
                .child("hash", ns::SCRAM_UPGRADE)
                .ok_or(SaslFailure::MalformedRequest)?;
            let new = task.keys(&decode(&hash.text())?, &salt, iterations)?;
            self.add_keys(proven, &new).await;
        }
        Ok(())
    }

    /// The client's next element within a task.
    async fn task_step(&mut self, name: &str) -> Result<Element, Refused> {
        let answer = self.element().await?;
        let root = answer.root();
        if root.is("abort", ns::SASL2) {
            return Err(SaslFailure::Aborted.into());
        }
        // XEP-0388 §7: `<authenticate/>` in particular is a stream error now.
        if !root.is(name, ns::SASL2) {
            return Err(Condition::NotAuthorized.into());
        }
        Ok(root.to_element())
    }

    /// Adds keys to the account that was proven. If it changed meanwhile, these keys may be those of an old password; they
    /// are dropped, and the task will be there at the next login.
    async fn add_keys(&self, proven: &mut Proven, new: &ScramKeys) {
        let Some(account) = &mut proven.account else {
            return;
        };
        let mut changed = account.credentials.clone();
        changed.scram.push(keys::stored(new));
        let accounts = &self.router.stores.accounts;
        match accounts
            .set_credentials(&proven.identity.account, changed.clone(), account.version)
            .await
        {
            Ok(version) => {
                (account.version, account.credentials) = (version, changed);
                proven.identity.proof = Some(Proof::of(account));
            }
            Err(error) => tracing::warn!(%error, "keys for another hash not stored"),
        }
    }
}
