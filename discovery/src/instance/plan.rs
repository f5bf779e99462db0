//! What the platform is about to do with the instance.
//!
//! Source: Amazon EC2 Auto Scaling User Guide, "Retrieve the target lifecycle state through instance metadata"; Amazon EC2
//! User Guide, "Spot Instance interruption notices" and "EC2 instance rebalance recommendations".

use std::time::SystemTime;

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Instance, NAME};
use crate::{Error, ErrorKind, Result};

/// Where its Auto Scaling group wants an instance to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleState {
    /// To serve.
    InService,
    /// Out of service, and back later.
    Standby,
    /// Out of the group.
    Detached,
    /// To its end.
    Terminated,
    /// To the warm pool: `Warmed:Stopped`, `Warmed:Hibernated`, `Warmed:Running`, `Warmed:Terminated`.
    Warmed(Box<str>),
    /// What was not known when this was written.
    Other(Box<str>),
}

impl LifecycleState {
    fn parse(text: &str) -> Self {
        match text {
            "InService" => Self::InService,
            "Standby" => Self::Standby,
            "Detached" => Self::Detached,
            "Terminated" => Self::Terminated,
            _ => match text.strip_prefix("Warmed:") {
                Some(warmed) => Self::Warmed(warmed.into()),
                None => Self::Other(text.into()),
            },
        }
    }

    /// Whether it will stop or end: what it holds is to be handed over. An instance on standby goes on.
    pub fn is_leaving(&self) -> bool {
        match self {
            Self::Terminated => true,
            Self::Warmed(how) => matches!(&**how, "Stopped" | "Hibernated" | "Terminated"),
            _ => false,
        }
    }
}

/// A spot instance is about to be interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotNotice {
    /// `terminate`, `stop` or `hibernate`.
    pub action: Box<str>,
    /// About when: two minutes after the notice at the earliest, for hibernation at once.
    pub at: SystemTime,
}

#[derive(Deserialize)]
struct InstanceAction {
    action: Box<str>,
    time: String,
}

#[derive(Deserialize)]
struct Rebalance {
    #[serde(rename = "noticeTime")]
    notice_time: String,
}

impl Instance {
    /// Where its Auto Scaling group wants it to go; `None` if it is in no group, or entered it long ago as another's.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn target_lifecycle_state(&self) -> Result<Option<LifecycleState>> {
        let path = "meta-data/autoscaling/target-lifecycle-state";
        let text = self.text(path).await?;
        Ok(text.as_deref().map(LifecycleState::parse))
    }

    /// The notice that this spot instance will be interrupted.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn spot_notice(&self) -> Result<Option<SpotNotice>> {
        let path = "meta-data/spot/instance-action";
        let Some(body) = self.get(path).await? else {
            return Ok(None);
        };
        let notice: InstanceAction = parse(path, &body)?;
        Ok(Some(SpotNotice {
            at: instant(path, &notice.time)?,
            action: notice.action,
        }))
    }

    /// Since when it is recommended to replace this spot instance: its interruption has become likely.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn rebalance_recommendation(&self) -> Result<Option<SystemTime>> {
        let path = "meta-data/events/recommendations/rebalance";
        let Some(body) = self.get(path).await? else {
            return Ok(None);
        };
        let rebalance: Rebalance = parse(path, &body)?;
        instant(path, &rebalance.notice_time).map(Some)
    }
}

fn parse<'a, T: Deserialize<'a>>(path: &str, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let sentence = format!("{path} is not understood");
        Error::new(ErrorKind::Malformed, NAME, sentence).with_source(error)
    })
}

fn instant(path: &str, text: &str) -> Result<SystemTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| {
        let sentence = format!("{path} has `{text}` for a time");
        Error::new(ErrorKind::Malformed, NAME, sentence).with_source(error)
    })?;
    Ok(time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let check = |text: &str, leaving| {
            assert_eq!(LifecycleState::parse(text).is_leaving(), leaving, "{text}");
        };
        check("InService", false);
        check("Standby", false);
        check("Detached", false);
        check("Terminated", true);
        check("Warmed:Stopped", true);
        check("Warmed:Hibernated", true);
        check("Warmed:Running", false);
        check("Warmed:Terminated", true);
        check("Unheard", false);
        assert_eq!(
            LifecycleState::parse("Unheard"),
            LifecycleState::Other("Unheard".into())
        );
    }

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<u64>| {
            let found = instant("path", text).ok();
            let since =
                found.map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(since, expected, "{text}");
        };
        check("2026-11-22T08:22:00Z", Some(1_795_335_720));
        check("2026-11-22T08:22:00.5Z", Some(1_795_335_720));
        check("2026-11-22", None);
        check("", None);
    }
}
