//! Who and where the instance is.

use std::{
    fmt::Display,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::Deserialize;

use super::{Instance, NAME};
use crate::{Error, ErrorKind, Result};

/// What does not change while an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `i-0123456789abcdef0`.
    pub instance: Box<str>,
    /// Its private address; an instance in a subnet for IPv6 alone has none.
    pub ipv4: Option<Ipv4Addr>,
    /// Its address of version 6.
    pub ipv6: Option<Ipv6Addr>,
    /// The VPC of its first network interface.
    pub vpc: Option<Box<str>>,
    /// Its availability zone: `eu-west-1a`.
    pub zone: Box<str>,
    /// Its region: `eu-west-1`.
    pub region: Box<str>,
}

/// Of the identity document, what nothing else says.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "accountId")]
    account: Option<String>,
}

impl Instance {
    /// Reads who and where this instance is.
    ///
    /// # Errors
    /// As of [`Instance::get`]; `Malformed` if what every instance has is missing.
    pub async fn identity(&self) -> Result<Identity> {
        let mac = self.needed("mac").await?;
        let vpc = format!("meta-data/network/interfaces/macs/{mac}/vpc-id");
        Ok(Identity {
            instance: self.needed("instance-id").await?.into(),
            ipv4: self.address("meta-data/local-ipv4").await?,
            ipv6: self.address("meta-data/ipv6").await?,
            vpc: self.text(&vpc).await?.map(Into::into),
            zone: self.needed("placement/availability-zone").await?.into(),
            region: self.needed("placement/region").await?.into(),
        })
    }

    /// The account that the instance belongs to, as its identity document says (`dynamic/instance-identity/document`).
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn account(&self) -> Result<Option<String>> {
        let path = "dynamic/instance-identity/document";
        let Some(body) = self.get(path).await? else {
            return Ok(None);
        };
        let document: Document = serde_json::from_slice(&body).map_err(|error| {
            let sentence = format!("{path} is not understood");
            Error::new(ErrorKind::Malformed, NAME, sentence).with_source(error)
        })?;
        Ok(document.account)
    }

    async fn needed(&self, category: &str) -> Result<String> {
        let text = self.text(&format!("meta-data/{category}")).await?;
        text.filter(|text| !text.is_empty()).ok_or_else(|| {
            let sentence = format!("{category} is missing");
            Error::new(ErrorKind::Malformed, NAME, sentence)
        })
    }

    async fn address<T: FromStr<Err: Display>>(&self, path: &str) -> Result<Option<T>> {
        let Some(text) = self.text(path).await? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|why| {
            let sentence = format!("{path} is `{text}`: {why}");
            Error::new(ErrorKind::Malformed, NAME, sentence)
        })
    }
}
