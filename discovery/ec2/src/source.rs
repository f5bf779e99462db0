//! The running instances that bear tags.
//!
//! Source: DescribeInstances of the Amazon EC2 API Reference (2016-11-15). Asked in pages, with filters, so that a large
//! account costs no more than its matching instances; each page takes a token of a bucket of ours, which stands in front
//! of the account's (100 tokens, 20 a second). Eventually consistent: a new instance may be missing for some seconds.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_ec2::{
    Client,
    types::{Filter, Instance as Described, InstanceStateName},
};
use discovery::{
    Answer, Candidate, Discovery, Error, ErrorKind, Result, bucket::Bucket, instance::Identity,
};

use crate::{
    Access,
    failure::{failure, persist},
};

/// Which address of an instance is dialled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// The private one of version 4.
    #[default]
    V4,
    /// The first of version 6.
    V6,
}

/// Which instances are candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Options {
    /// Whom to ask.
    pub access: Access,
    /// The tags that an instance has, all of them, with these values. `*` and `?` in a value stand for any text and any
    /// character, as filters of EC2 have it.
    pub tags: Vec<(String, String)>,
    /// The VPC that it is in.
    pub vpc: Option<Box<str>>,
    /// The instance that this is, which is no candidate.
    pub me: Option<Box<str>>,
    /// Where nodes listen.
    pub port: u16,
    /// At which address.
    pub family: Family,
    /// How many instances a page has at most: 5 to 1000.
    pub page: u16,
    /// How many requests may be sent at once.
    pub burst: u32,
    /// In which time one more may be sent.
    pub each: Duration,
}

impl Default for Ec2Options {
    fn default() -> Self {
        Self {
            access: Access::default(),
            tags: Vec::new(),
            vpc: None,
            me: None,
            port: 0,
            family: Family::default(),
            page: 500,
            burst: 10,
            each: Duration::from_millis(500),
        }
    }
}

impl Ec2Options {
    /// In the region and the VPC of this instance, and without it.
    #[must_use]
    pub fn beside(mut self, me: &Identity) -> Self {
        self.vpc.clone_from(&me.vpc);
        self.me = Some(me.instance.clone());
        let region = || me.region.to_string();
        self.access.region = Some(self.access.region.unwrap_or_else(region));
        self
    }
}

pub(crate) const NAME: &str = "ec2";

/// More instances than this bear no tag of one cluster.
const MOST_CANDIDATES: usize = 10_000;

/// The source.
pub struct Ec2 {
    client: Client,
    options: Ec2Options,
    filters: Vec<Filter>,
    bucket: Bucket,
}

impl Ec2 {
    /// A source under these options. Asks nothing of the network.
    ///
    /// # Errors
    /// Without a tag, a port or a possible page: every instance would be a candidate, or none.
    pub async fn open(options: Ec2Options) -> Result<Self> {
        let wrong = |sentence| Err(Error::new(ErrorKind::Malformed, NAME, sentence));
        let is_tag = |(key, value): &(String, String)| !key.is_empty() && !value.is_empty();
        if options.tags.is_empty() || !options.tags.iter().all(is_tag) {
            return wrong("at least one tag with a value is needed");
        }
        if options.port == 0 {
            return wrong("a port is needed");
        }
        if !(5..=1000).contains(&options.page) {
            return wrong("a page has 5 to 1000 instances");
        }
        Ok(Self {
            client: Client::new(&options.access.load().await),
            filters: filters(&options),
            bucket: Bucket::full(options.burst, options.each),
            options,
        })
    }

    /// One page: its instances, and where the next one begins.
    async fn page(&self, from: Option<&str>) -> Result<(Vec<Described>, Option<String>)> {
        let request = self
            .client
            .describe_instances()
            .set_filters(Some(self.filters.clone()))
            .max_results(self.options.page.into())
            .set_next_token(from.map(str::to_owned));
        let answer = Box::pin(request.send()).await;
        let answer = answer.map_err(|error| failure(NAME, error))?;
        let reservations = answer.reservations.unwrap_or_default().into_iter();
        let instances = reservations.flat_map(|one| one.instances.unwrap_or_default());
        let next = answer.next_token.filter(|token| !token.is_empty());
        Ok((instances.collect(), next))
    }
}

fn filters(options: &Ec2Options) -> Vec<Filter> {
    let filter = |name: String, value: &str| Filter::builder().name(name).values(value).build();
    let tags = options.tags.iter();
    let mut filters: Vec<_> = tags
        .map(|(key, value)| filter(format!("tag:{key}"), value))
        .collect();
    filters.push(filter("instance-state-name".into(), "running"));
    let vpc = options.vpc.as_deref();
    filters.extend(vpc.map(|vpc| filter("vpc-id".into(), vpc)));
    filters
}

/// An instance as a candidate; `None` if it cannot be one.
fn candidate(instance: Described, options: &Ec2Options) -> Option<Candidate> {
    let id = instance.instance_id()?;
    let state = instance.state().and_then(|state| state.name());
    if state != Some(&InstanceStateName::Running) || options.me.as_deref() == Some(id) {
        return None;
    }
    let ip: IpAddr = match options.family {
        Family::V4 => instance.private_ip_address()?.parse().ok()?,
        Family::V6 => first_ipv6(&instance)?.into(),
    };
    let zone = instance.placement().and_then(|at| at.availability_zone());
    Some(Candidate {
        instance: Some(id.into()),
        zone: zone.map(Into::into),
        ..Candidate::at((ip, options.port).into())
    })
}

fn first_ipv6(instance: &Described) -> Option<Ipv6Addr> {
    let interfaces = instance.network_interfaces().iter();
    let mut addresses = interfaces.flat_map(|one| one.ipv6_addresses());
    addresses.find_map(|address| address.ipv6_address()?.parse().ok())
}

#[async_trait]
impl Discovery for Ec2 {
    fn name(&self) -> &'static str {
        NAME
    }

    /// All pages, or an error: what a page that failed would have held is not missing.
    async fn candidates(&self) -> Result<Answer> {
        let (mut candidates, mut from) = (Vec::new(), None);
        loop {
            let page = persist(&self.bucket, || self.page(from.as_deref())).await;
            let (instances, next) = page?;
            let found = instances.into_iter();
            candidates.extend(found.filter_map(|one| candidate(one, &self.options)));
            if candidates.len() > MOST_CANDIDATES {
                let sentence = format!("more than {MOST_CANDIDATES} instances bear the tags");
                return Err(Error::new(ErrorKind::Malformed, NAME, sentence));
            }
            match next {
                Some(next) if Some(&next) != from.as_ref() => from = Some(next),
                Some(_) => {
                    let sentence = "a page names itself as the next";
                    return Err(Error::new(ErrorKind::Malformed, NAME, sentence));
                }
                None => return Ok(Answer::of(candidates)),
            }
        }
    }
}
