//! Processes on instances of EC2: found by their tags, held by their group until they serve and until they have left, told
//! of their interruption.

use std::time::{Duration, Instant};

use services::moto::{Group, REGION, all};
use services::{Moto, free_port};
use tests::faults::actor::actor_name;
use tests::faults::dice::seed;
use tests::faults::node::{DOMAIN, create_accounts};
use tests::processes::{Processes, Shared, Told};
use xmpp::payload::delay::stamp;

use crate::forming::{all_reach_all, found_each_other};
use crate::{ACTORS, play::Play};

const GROUP: &str = "chat";
/// Far more than a test takes: whoever is let go before was completed.
const HOOKS: &[(&str, &str, u32)] = &[("ready", "LAUNCHING", 7200), ("drain", "TERMINATING", 7200)];
/// A bound, not an expectation.
const PATIENCE: Duration = Duration::from_secs(60);

/// A group whose instances have addresses of loopback.
struct Cloud {
    moto: Moto,
    port: u16,
}

impl Cloud {
    fn start(size: usize, hooks: &[(&str, &str, u32)]) -> Self {
        Self::with(size, hooks, None)
    }

    fn with(size: usize, hooks: &[(&str, &str, u32)], user_data: Option<&str>) -> Self {
        let moto = tokio::task::block_in_place(Moto::start).unwrap();
        let network = moto.network(64).unwrap();
        let group = Group {
            name: GROUP,
            size,
            tags: &[("starling-cluster", "tests")],
            hooks,
            user_data,
        };
        moto.group(&network, &group).unwrap();
        let port = free_port().unwrap();
        Self { moto, port }
    }

    /// The instances of the group.
    fn instances(&self) -> Vec<String> {
        let members = self.moto.members(GROUP).unwrap();
        members.into_iter().map(|(instance, _)| instance).collect()
    }

    fn state(&self, instance: &str) -> Option<String> {
        let members = self.moto.members(GROUP).unwrap();
        let mut states = members.into_iter();
        states
            .find(|(it, _)| it == instance)
            .map(|(_, state)| state)
    }

    /// Waits until the group has an instance in this state; `None`: until it has it no more.
    async fn reaches(&self, instance: &str, state: Option<&str>) {
        let until = Instant::now() + PATIENCE;
        while self.state(instance).as_deref() != state {
            let now = self.state(instance);
            assert!(Instant::now() < until, "{instance}: {now:?}, not {state:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the other nodes reach one on this instance.
    fn address(&self, instance: &str) -> String {
        let parameters = [("InstanceId.1", instance)];
        let found = self.moto.call("ec2", "DescribeInstances", &parameters);
        let address = all(&found.unwrap(), "privateIpAddress").swap_remove(0);
        format!("{address}:{}", self.port)
    }

    /// Whom a node asks in place of AWS, beside where it may find more.
    fn access(&self) -> [(&'static str, String); 4] {
        let credentials = self.moto.credentials().display().to_string();
        [
            ("region", REGION.to_owned()),
            ("endpoint", self.moto.url()),
            ("autoscaling_endpoint", self.moto.url()),
            ("credentials", credentials),
        ]
    }

    fn metadata(&self, instance: &str) -> (String, String) {
        let variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned();
        (variable, self.moto.metadata(instance))
    }

    /// What a node on an instance is told: where it is said what it is, by what it finds the others, whom to ask.
    fn told(&self, instance: &str) -> Told {
        let access = self.access();
        let lines = access.map(|(key, value)| format!("{key} = \"{value}\""));
        let cluster = format!(
            "listen = \"{}\"\n[cluster.ec2]\ntags = [\"starling-cluster=tests\"]\n{}\n",
            self.address(instance),
            lines.join("\n")
        );
        Told {
            cluster,
            variables: vec![self.metadata(instance)],
            is_launched: false,
        }
    }

    /// What a node is told that has nothing but its instance: where it is said what that is, and what is not AWS here.
    fn launched(&self, instance: &str) -> Told {
        let access = self.access();
        let upper = |key: &str| format!("STARLING_CLUSTER__EC2__{}", key.to_ascii_uppercase());
        let mut variables: Vec<_> = access.map(|(key, value)| (upper(key), value)).into();
        let listen = "STARLING_CLUSTER__LISTEN".to_owned();
        variables.push((listen, self.address(instance)));
        variables.push(self.metadata(instance));
        Told {
            cluster: String::new(),
            variables,
            is_launched: true,
        }
    }

    async fn cluster(&self) -> Processes {
        let told: Vec<_> = self.instances().iter().map(|it| self.told(it)).collect();
        let shared = Shared::database().unwrap();
        Processes::start_told(shared, &told).await.unwrap()
    }
}

/// With nothing but a tag; and each is in service once it serves, not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_find_each_other_by_their_tags() {
    let cloud = Cloud::start(3, HOOKS);
    let instances = cloud.instances();
    for instance in &instances {
        assert_eq!(cloud.state(instance).as_deref(), Some("Pending:Wait"));
    }
    let cluster = cloud.cluster().await;
    found_each_other(&cluster).await;
    for (instance, node) in instances.iter().zip(&cluster.nodes) {
        cloud.reaches(instance, Some("InService")).await;
        let status = node.facts().unwrap().cluster.unwrap();
        assert_eq!(&status.name, instance);
        assert!(status.zone.starts_with(REGION), "{status:?}");
    }
}

/// A group that grows gets a node that joins the others; one that shrinks waits until its node has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_shrinks_waits_for_its_node() {
    let seed = seed();
    println!("seed {seed}");
    let cloud = Cloud::start(2, HOOKS);
    let mut cluster = cloud.cluster().await;
    cloud.moto.scale(GROUP, 3).unwrap();
    let instances = cloud.instances();
    cluster.launch_told(&cloud.told(&instances[2])).unwrap();
    cluster.agree(3).unwrap();
    for instance in &instances {
        cloud.reaches(instance, Some("InService")).await;
    }
    let stores = cluster.stores().await.unwrap();
    create_accounts(&stores, (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    cloud.moto.scale(GROUP, 2).unwrap();
    let held = |instance: &&String| cloud.state(instance).as_deref() == Some("Terminating:Wait");
    let leaving = instances.iter().find(held).expect("one is let go").clone();
    let at = instances.iter().position(|it| *it == leaving).unwrap();
    let began = Instant::now();
    let (status, log) = cluster.ended(at).unwrap();
    println!(
        "a node whose group shrinks has left after {:?}",
        began.elapsed()
    );
    assert!(status.success(), "{log}");
    assert!(
        log.contains("the group of this instance lets it go"),
        "{log}"
    );
    assert!(log.contains("the group may go on hook=\"drain\""), "{log}");
    assert_eq!(cloud.state(&leaving), None);
    cluster.agree(2).unwrap();
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&stores).await;
    println!("{counts:?}\n{story:?}");
    assert!(counts.promised > 100);
    all_reach_all(&cluster, "late").await;
}

/// Two minutes before a spot instance is interrupted its node is told, and leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spot_notice_makes_a_node_leave() {
    let cloud = Cloud::start(3, &[]);
    let mut cluster = cloud.cluster().await;
    all_reach_all(&cluster, "user").await;
    let instance = &cloud.instances()[1];
    let began = Instant::now();
    let at = starling::clock::now_ms().cast_signed() + 120_000;
    let notice = format!(r#"{{"action": "terminate", "time": "{}"}}"#, stamp(at));
    let path = "spot/instance-action";
    cloud
        .moto
        .set_metadata(instance, path, Some(&notice))
        .unwrap();
    let (status, log) = cluster.ended(1).unwrap();
    assert!(status.success(), "{log}");
    assert!(
        log.contains("this spot instance is interrupted action=terminate"),
        "{log}"
    );
    println!("a node has left {:?} after its notice", began.elapsed());
    cluster.agree(2).unwrap();
    all_reach_all(&cluster, "late").await;
}

/// Nodes that are given a configuration with their instances, and nothing else, form a cluster: they find each other by the
/// tag of the instances, over tables in their region.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_launched_with_a_configuration() {
    let shared = Shared::cloud().unwrap();
    let text = format!(
        r#"domains = ["{DOMAIN}"]
http = "127.0.0.1:0"
shutdown_grace = "5s"
[storage]
{storage}
[[listeners]]
address = "127.0.0.1:0"
starttls_required = false
[auth]
plain_without_tls = true
"#,
        // The region is the instance's.
        storage = shared.lines().replace("region = \"eu-west-1\"\n", ""),
    );
    let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let data = format!("#cloud-config\npackages: [jq]\nstarling: |\n{lines}\nruncmd:\n  - ls\n");
    let cloud = Cloud::with(3, HOOKS, Some(&data));
    let instances = cloud.instances();
    let told: Vec<_> = instances.iter().map(|it| cloud.launched(it)).collect();
    let cluster = Processes::start_told(shared, &told).await.unwrap();
    found_each_other(&cluster).await;
    for instance in &instances {
        cloud.reaches(instance, Some("InService")).await;
    }
    let shown = cluster.nodes[0].command(&["config"]).unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    println!("{shown}");
    for line in [
        format!("domains = [\"{DOMAIN}\"]  # user-data:4:11"),
        "storage.region = \"eu-west-1\"  # instance".to_owned(),
        "cluster.name = \"tests\"  # instance".to_owned(),
        "cluster.ec2.tags = \"starling-cluster=tests\"  # instance".to_owned(),
        format!(
            "cluster.listen = \"{}\"  # environment STARLING_CLUSTER__LISTEN",
            cloud.address(&instances[0])
        ),
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}\n{shown}");
    }
}

/// A domain is enough: what is missing is told as what it is, and not taken for a development node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_is_all_that_an_instance_needs() {
    let check = |data: &str, good: bool, expected: &str| {
        let cloud = Cloud::with(1, &[], Some(data));
        let told = cloud.launched(&cloud.instances()[0]);
        let checked = told.command(&["check-config"]).unwrap();
        let both = [checked.stdout, checked.stderr].concat();
        let text = String::from_utf8(both).unwrap();
        assert_eq!(checked.status.success(), good, "{text}");
        assert!(text.contains(expected), "{text}");
    };
    check(
        "example.org\n",
        true,
        "user data: no mistakes; serves example.org",
    );
    check("#!/bin/sh\n", false, "user-data:1:1: this is a script");
    check("domain = \"example.org\"", false, "did you mean `domains`?");
}
