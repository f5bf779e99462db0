//! Sessions: who is there, and how that ends. Asked of the node that serves the account, or of all.

use xmpp::{StreamError, StreamErrorCondition};

use super::{
    Administrator, MAX_PAGE, Response, Why, absent,
    answers::{Online, Page, SessionFacts},
    refused, told,
};
use crate::routing::census::{Census, Everywhere};

impl Administrator {
    pub(super) async fn online(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Response, Response> {
        let cx = self.live()?.context();
        let census = Census {
            active: None,
            names: u32::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(u32::MAX),
            after,
        };
        let Everywhere { all, silent } = cx.census(&census).await;
        Ok(Response::Online(Online {
            accounts: all.users,
            sessions: all.sessions,
            silent,
            next: all.names.last().filter(|_| all.more).cloned(),
            items: all.names,
        }))
    }

    pub(super) async fn sessions(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live()?.context();
        let resources = cx.resources(&account).await;
        let mut resources = resources.map_err(|error| told(&error, &account))?;
        if resources.is_empty() {
            // Who has no account may be there all the same: an anonymous user.
            self.must_exist(&account).await?;
        }
        resources.sort();
        let session = |resource| SessionFacts { resource };
        Ok(Response::Sessions(Page {
            items: resources.into_iter().map(session).collect(),
            next: None,
        }))
    }

    pub(super) async fn kick(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let ended = match &self.live {
            Some(live) => {
                let ended = live.end_sessions(&account, "ended by the administrator");
                Some(ended.await.map_err(|error| told(&error, &account))?)
            }
            None => None,
        };
        match ended {
            // Somebody without an account was there: an anonymous user.
            Some(ended @ 1..) => Ok(Response::Ended(ended)),
            _ if self
                .accounts
                .stores
                .accounts
                .load(&account)
                .await?
                .is_none() =>
            {
                Err(absent(&account))
            }
            Some(ended) => Ok(Response::Ended(ended)),
            None => Err(refused(
                Why::NotRunning,
                "the node does not run, so nobody is connected",
            )),
        }
    }

    pub(super) async fn end_one(
        &self,
        account: &str,
        resource: &str,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live()?.context();
        let error = StreamError::new(
            StreamErrorCondition::NotAuthorized,
            "ended by the administrator",
        );
        let mut ended = 0;
        for entry in cx.entries(&account).iter() {
            if *entry.resource == *resource && cx.end_session(entry.session, error.clone()) {
                ended += 1;
            }
        }
        let elsewhere = cx.end_elsewhere(&account, Some(resource), &error).await;
        ended += elsewhere.map_err(|error| told(&error, &account))?;
        if ended == 0 {
            let reason = format!("{account} has no session {resource}");
            return Err(refused(Why::Absent, reason));
        }
        Ok(Response::Ended(ended))
    }
}
