//! moto: the APIs of EC2 and Auto Scaling, with lifecycle hooks that hold and a metadata service for each instance
//! (`moto/server.py`). Installed by `tests/install` in a virtual environment.

mod query;

use std::{io, path::PathBuf, process::Command};

use query::{base64, call, good, one};

use crate::{Process, dynoxide::credentials_file, free_port, http, seaweedfs::cache};

/// The running server.
pub struct Moto {
    process: Process,
    port: u16,
    credentials: tempfile::TempDir,
    _directory: tempfile::TempDir,
}

/// A VPC with a subnet in each of two zones. Its addresses are of loopback: nodes can bind them.
#[derive(Debug, Clone)]
pub struct Network {
    /// `vpc-...`
    pub vpc: String,
    /// `subnet-...`
    pub subnets: Vec<String>,
}

/// An Auto Scaling group to make.
#[derive(Debug, Clone, Default)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many instances.
    pub size: usize,
    /// Their tags.
    pub tags: &'a [(&'a str, &'a str)],
    /// Their user data.
    pub user_data: Option<&'a str>,
    /// Hooks: name, transition (`LAUNCHING`, `TERMINATING`), heartbeat time-out in seconds.
    pub hooks: &'a [(&'a str, &'a str, u32)],
}

pub use query::all;

/// The region that all is in.
pub const REGION: &str = "eu-west-1";

impl Moto {
    /// Starts a server without instances.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let mut command = Command::new(cache().join("moto/bin/python"));
        command
            .current_dir(directory.path())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/moto/server.py"))
            .args(["127.0.0.1", &port.to_string()])
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::start("moto", command, directory.path(), &mut || {
            call(port, "ec2", "DescribeVpcs", &[]).is_ok()
        })?;
        Ok(Self {
            process,
            port,
            credentials: credentials_file("starling", "starling-secret")?,
            _directory: directory,
        })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file of the credentials that it accepts.
    pub fn credentials(&self) -> PathBuf {
        self.credentials.path().join("credentials")
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The metadata service of an instance, for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn metadata(&self, instance: &str) -> String {
        format!("{}/imds/{instance}", self.url())
    }

    /// Calls an action of the service `ec2` or `autoscaling`: its answer in XML.
    ///
    /// # Errors
    /// It refuses.
    pub fn call(
        &self,
        service: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> io::Result<String> {
        call(self.port, service, action, parameters)
    }

    /// Makes a VPC with two subnets of 250 addresses, `127.<second>.0.0/16`.
    ///
    /// # Errors
    /// The server's.
    pub fn network(&self, second: u8) -> io::Result<Network> {
        let cidr = format!("127.{second}.0.0/16");
        let vpc = self.call("ec2", "CreateVpc", &[("CidrBlock", &cidr)])?;
        let vpc = one(&vpc, "vpcId")?;
        let subnet = |(third, zone)| {
            let cidr = format!("127.{second}.{third}.0/24");
            let zone = format!("{REGION}{zone}");
            let parameters = [
                ("VpcId", vpc.as_str()),
                ("CidrBlock", &cidr),
                ("AvailabilityZone", &zone),
            ];
            one(&self.call("ec2", "CreateSubnet", &parameters)?, "subnetId")
        };
        let subnets = [(1, "a"), (2, "b")].into_iter().map(subnet);
        let subnets = subnets.collect::<io::Result<_>>()?;
        Ok(Network { vpc, subnets })
    }

    /// Makes a group in a network.
    ///
    /// # Errors
    /// The server's.
    pub fn group(&self, network: &Network, group: &Group<'_>) -> io::Result<()> {
        let template = format!("{}-template", group.name);
        let mut parameters = vec![
            ("LaunchTemplateName", template.clone()),
            ("LaunchTemplateData.ImageId", "ami-12345678".to_owned()),
            ("LaunchTemplateData.InstanceType", "c7g.large".to_owned()),
        ];
        if let Some(data) = group.user_data {
            parameters.push(("LaunchTemplateData.UserData", base64(data.as_bytes())));
        }
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.call("ec2", "CreateLaunchTemplate", &parameters)?;
        let mut parameters: Vec<(String, String)> = [
            ("AutoScalingGroupName", group.name),
            ("LaunchTemplate.LaunchTemplateName", &template),
            ("LaunchTemplate.Version", "$Latest"),
            ("MinSize", "0"),
            ("MaxSize", "100"),
            ("DesiredCapacity", &group.size.to_string()),
            ("VPCZoneIdentifier", &network.subnets.join(",")),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (n, (key, value)) in (1..).zip(group.tags) {
            let member = format!("Tags.member.{n}");
            parameters.push((format!("{member}.Key"), (*key).to_owned()));
            parameters.push((format!("{member}.Value"), (*value).to_owned()));
            parameters.push((format!("{member}.PropagateAtLaunch"), "true".to_owned()));
        }
        for (n, (name, transition, patience)) in (1..).zip(group.hooks) {
            let member = format!("LifecycleHookSpecificationList.member.{n}");
            let transition = format!("autoscaling:EC2_INSTANCE_{transition}");
            parameters.push((format!("{member}.LifecycleHookName"), (*name).to_owned()));
            parameters.push((format!("{member}.LifecycleTransition"), transition));
            parameters.push((format!("{member}.HeartbeatTimeout"), patience.to_string()));
            parameters.push((format!("{member}.DefaultResult"), "CONTINUE".to_owned()));
        }
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.call("autoscaling", "CreateAutoScalingGroup", &parameters)?;
        Ok(())
    }

    /// Makes a group larger or smaller.
    ///
    /// # Errors
    /// The server's.
    pub fn scale(&self, group: &str, size: usize) -> io::Result<()> {
        let size = size.to_string();
        let parameters = [
            ("AutoScalingGroupName", group),
            ("DesiredCapacity", size.as_str()),
        ];
        self.call("autoscaling", "SetDesiredCapacity", &parameters)?;
        Ok(())
    }

    /// The members of a group and their lifecycle states, `Terminating:Wait` say, in the order of their launch.
    ///
    /// # Errors
    /// The server's.
    pub fn members(&self, group: &str) -> io::Result<Vec<(String, String)>> {
        let parameters = [("AutoScalingGroupNames.member.1", group)];
        let answer = self.call("autoscaling", "DescribeAutoScalingGroups", &parameters)?;
        let (ids, states) = (all(&answer, "InstanceId"), all(&answer, "LifecycleState"));
        Ok(ids.into_iter().zip(states).collect())
    }

    /// What the metadata service of an instance says from now on at a path below `meta-data`; `None`: no more.
    ///
    /// # Errors
    /// The server's.
    pub fn set_metadata(&self, instance: &str, path: &str, body: Option<&str>) -> io::Result<()> {
        let method = if body.is_some() { "PUT" } else { "DELETE" };
        let path = format!("/control/{instance}/{path}");
        let body = body.unwrap_or_default().as_bytes();
        good(&path, http::ask(self.port, method, &path, "", body)?).map(drop)
    }

    /// Lets so many seconds pass for heartbeats and tokens; what is overdue then is done.
    ///
    /// # Errors
    /// The server's.
    pub fn advance(&self, seconds: u32) -> io::Result<()> {
        let body = seconds.to_string();
        let answer = http::ask(self.port, "PUT", "/clock", "", body.as_bytes())?;
        good("clock", answer).map(drop)
    }

    /// No token of the instance is good any more.
    ///
    /// # Errors
    /// The server's.
    pub fn forget_tokens(&self, instance: &str) -> io::Result<()> {
        self.set_metadata(instance, "tokens", None)
    }

    /// Switches the metadata service of an instance off or on.
    ///
    /// # Errors
    /// The server's.
    pub fn disable_metadata(&self, instance: &str, disabled: bool) -> io::Result<()> {
        self.set_metadata(instance, "disabled", disabled.then_some(""))
    }
}
