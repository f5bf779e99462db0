//! What a member of a cluster tells: its view, its links, its part in the directory.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// Gauges that are set at a scrape.
#[derive(Debug, Clone)]
pub struct ClusterMetrics {
    /// Members of the view, by how far they are.
    pub members: IntGaugeVec,
    /// Links to other nodes, by how they are.
    pub links: IntGaugeVec,
    /// 1 for what this node is to the directory.
    pub role: IntGaugeVec,
    /// 1 for how far this node is.
    pub phase: IntGaugeVec,
    /// The generation of the view by which this node serves.
    pub generation: IntGauge,
    /// Changes of the view in that generation.
    pub changes: IntGauge,
    /// Frames that other nodes have not acknowledged.
    pub unacknowledged: IntGauge,
    /// Entries of the directory's log that are not applied here yet.
    pub lag: IntGauge,
    /// Ends of pipes between clients and sessions at different nodes.
    pub pipes: IntGauge,
}

impl ClusterMetrics {
    /// How far members are.
    pub const STAGES: [&str; 3] = ["up", "ready", "draining"];
    /// How links are.
    pub const LINKS: [&str; 3] = ["up", "silent", "gone"];
    /// What nodes are to the directory.
    pub const ROLES: [&str; 5] = ["alone", "leader", "voter", "observer", "joining"];

    /// Declares them.
    pub fn register(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("the name is valid");
            let registered = registry.register(Box::new(gauge.clone()));
            registered.expect("declared once");
            gauge
        };
        let labelled = |name: &str, help: &str, label: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &[label]);
            let gauge = gauge.expect("the name is valid");
            let registered = registry.register(Box::new(gauge.clone()));
            registered.expect("declared once");
            gauge
        };
        Self {
            members: labelled(
                "xmpp_cluster_members",
                "Members of the view by stage",
                "stage",
            ),
            links: labelled(
                "xmpp_cluster_links",
                "Links to other nodes by state",
                "state",
            ),
            role: labelled(
                "xmpp_cluster_directory_role",
                "1 for the role of this node",
                "role",
            ),
            phase: labelled("xmpp_cluster_phase", "1 for how far this node is", "phase"),
            generation: gauge(
                "xmpp_cluster_generation",
                "The generation of the directory of members",
            ),
            changes: gauge(
                "xmpp_cluster_view_changes",
                "Changes of the view in this generation",
            ),
            unacknowledged: gauge(
                "xmpp_cluster_unacknowledged_frames",
                "Frames that other nodes have not acknowledged",
            ),
            lag: gauge(
                "xmpp_cluster_directory_lag_entries",
                "Entries of the directory's log that are not applied yet",
            ),
            pipes: gauge(
                "xmpp_cluster_pipes",
                "Ends of pipes between clients and sessions at different nodes",
            ),
        }
    }
}
