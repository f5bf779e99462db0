//! Shared groups that are edited at one node: whoever is online at any node is told of its new contacts, and sees them.

use std::sync::Arc;

use starling::admin::groups::{GroupChange, ShownTo};
use starling::admin::{Administrator, Caller, Request, Response, Who};
use storage::ErrorKind;
use storage::backend::memory::MemoryTable;
use storage::layer::Switchboard;
use storage::layer::faulty::{Fault, Faulty, Target, When};
use storage::repository::Operators;
use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::seed;
use tests::faults::node::{DOMAIN, account, create_accounts};
use tests::faults::settings::Settings;

const ROSTER: &str = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster' ver=''/></iq>";

/// Has a node do what is asked of groups, as `starling group` does.
async fn perform(cluster: &Cluster, at: usize, request: Request) -> Response {
    let router = cluster.app(at).router.clone();
    let administrator = Administrator {
        accounts: router.accounts(),
        domains: router.config.domains.clone(),
        // Not in the store that fails.
        admins: Vec::new(),
        operators: Operators::new(Arc::new(MemoryTable::new())),
        rooms: None,
        pubsub: Vec::new(),
        metrics: None,
        live: Some(Arc::new(router)),
        desk: None,
    };
    administrator.ask(&Caller::from(Who::Socket), request).await
}

fn create(group: &str, change: GroupChange) -> Request {
    let (domain, group) = (DOMAIN.to_owned(), group.to_owned());
    Request::GroupCreate {
        domain,
        group,
        change,
    }
}

fn change(group: &str, change: GroupChange) -> Request {
    let (domain, group) = (DOMAIN.to_owned(), group.to_owned());
    Request::GroupChange {
        domain,
        group,
        change,
    }
}

fn remove(group: &str) -> Request {
    let (domain, group) = (DOMAIN.to_owned(), group.to_owned());
    Request::GroupRemove { domain, group }
}

fn add(group: &str, members: Vec<(String, Option<String>)>) -> Request {
    let (domain, group) = (DOMAIN.to_owned(), group.to_owned());
    Request::GroupAdd {
        domain,
        group,
        members,
    }
}

fn take_out(group: &str, members: Vec<String>) -> Request {
    let (domain, group) = (DOMAIN.to_owned(), group.to_owned());
    Request::GroupTakeOut {
        domain,
        group,
        members,
    }
}

#[track_caller]
fn check_done(response: &Response) {
    assert_eq!(*response, Response::Done);
}

fn members(names: &[&str]) -> Vec<(String, Option<String>)> {
    let member = |name: &&str| (account(name).as_str().to_owned(), None);
    names.iter().map(member).collect()
}

/// An account whose home is at a node, whose client comes to the next one and has the roster.
async fn online(cluster: &Cluster, home: usize, letter: char) -> (String, Client) {
    let name = cluster.name_at(home, letter).unwrap();
    create_accounts(&cluster.stores(), [name.clone()])
        .await
        .unwrap();
    let at = cluster.address((home + 1) % cluster.len());
    let mut client = Client::login(at, &name, "a").await.unwrap();
    let roster = client.ask(ROSTER).await.unwrap();
    assert!(!roster.contains("<item"), "{roster}");
    client.send("<presence/>").await.unwrap();
    (name, client)
}

/// The next push about a contact.
async fn push(client: &mut Client, contact: &str) -> String {
    let jid = format!("jid='{}'", account(contact).as_str());
    let is_it =
        |text: &str| name(text) == "iq" && attr(text, "type") == Some("set") && text.contains(&jid);
    client.until(is_it).await.unwrap()
}

/// Waits for a push about a contact with this subscription, and for its presence of this type, in whatever order they come:
/// each is sent by another node.
async fn becomes(client: &mut Client, contact: &str, subscription: &str, kind: Option<&str>) {
    let account = account(contact);
    let jid = format!("jid='{}'", account.as_str());
    let subscription = format!("subscription='{subscription}'");
    let from = format!("{}/a", account.as_str());
    let (mut pushed, mut seen) = (false, false);
    while !(pushed && seen) {
        let text = client.next().await.unwrap();
        match name(&text) {
            "iq" if attr(&text, "type") == Some("set") => {
                pushed |= text.contains(&jid) && text.contains(&subscription);
            }
            "presence" => seen |= attr(&text, "from") == Some(&from) && attr(&text, "type") == kind,
            _ => {}
        }
    }
}

/// What is pushed and seen of all others, in whatever order it comes.
async fn given(client: &mut Client, contacts: &[&str]) -> Vec<String> {
    let (mut pushes, mut seen) = (Vec::new(), 0);
    while pushes.len() < contacts.len() || seen < contacts.len() {
        let text = client.next().await.unwrap();
        let about = |contact: &&&str| text.contains(account(contact).as_str());
        let is_about = contacts.iter().any(|contact| about(&contact));
        match name(&text) {
            "iq" if is_about && attr(&text, "type") == Some("set") => pushes.push(text),
            "presence" if is_about && attr(&text, "type").is_none() => seen += 1,
            _ => {}
        }
    }
    pushes
}

fn ver(text: &str) -> String {
    let (_, rest) = text.split_once("ver='").expect("a version");
    rest.split('\'').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_reaches_whoever_is_online_at_any_node() {
    let cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let (ann, mut a) = online(&cluster, 0, 'a').await;
    let (bob, mut b) = online(&cluster, 1, 'b').await;
    let (eve, mut e) = online(&cluster, 2, 'e').await;

    let named = GroupChange {
        name: Some("The staff".to_owned()),
        ..GroupChange::default()
    };
    check_done(&perform(&cluster, 0, create("staff", named)).await);
    let all = members(&[&ann, &bob, &eve]);
    check_done(&perform(&cluster, 0, add("staff", all)).await);
    let mut version = String::new();
    for (client, others) in [
        (&mut a, [&bob, &eve]),
        (&mut b, [&ann, &eve]),
        (&mut e, [&ann, &bob]),
    ] {
        let others = others.map(String::as_str);
        let pushes = given(client, &others).await;
        for push in &pushes {
            assert!(push.contains("subscription='both'"), "{push}");
            assert!(push.contains("<group>The staff</group>"), "{push}");
        }
        // Who gets no further than the first of them has to ask for all.
        assert_ne!(ver(&pushes[0]), ver(&pushes[1]), "{pushes:?}");
        version = ver(&pushes[1]);
    }
    // Who has it all is told nothing again, whichever node it comes to.
    let mut again = Client::login(cluster.address(1), &eve, "again")
        .await
        .unwrap();
    let known =
        format!("<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>");
    let answer = again.ask(&known).await.unwrap();
    assert!(!answer.contains("<query"), "{answer}");
    let pushed = again.before_answer("end").await.unwrap();
    assert!(
        !pushed.iter().any(|text| text.contains("<item")),
        "{pushed:?}"
    );
    let whole = again.ask(ROSTER).await.unwrap();
    assert!(
        whole.contains(account(&ann).as_str()) && ver(&whole) == version,
        "{whole}"
    );

    // Another name, from another node.
    let named = GroupChange {
        name: Some("Staff".to_owned()),
        ..GroupChange::default()
    };
    check_done(&perform(&cluster, 1, change("staff", named)).await);
    for (client, other) in [(&mut a, &bob), (&mut b, &ann), (&mut e, &bob)] {
        let push = push(client, other).await;
        assert!(push.contains("<group>Staff</group>"), "{push}");
    }

    // One leaves.
    let gone = vec![account(&eve).as_str().to_owned()];
    check_done(&perform(&cluster, 2, take_out("staff", gone)).await);
    for client in [&mut a, &mut b] {
        becomes(client, &eve, "remove", Some("unavailable")).await;
    }
    becomes(&mut e, &ann, "remove", Some("unavailable")).await;

    // Those who are in another group see it, and are not seen.
    let shown = GroupChange {
        shown_to: Some(ShownTo::Groups(vec!["bosses".into()])),
        ..GroupChange::default()
    };
    check_done(&perform(&cluster, 1, create("bosses", GroupChange::default())).await);
    check_done(&perform(&cluster, 1, add("bosses", members(&[&eve]))).await);
    check_done(&perform(&cluster, 0, change("staff", shown)).await);
    becomes(&mut e, &ann, "to", None).await;
    becomes(&mut a, &bob, "remove", Some("unavailable")).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_never_no_group() {
    let faults = Switchboard::new(seed());
    let fail = |faults: &Switchboard| {
        // Only what is about groups fails.
        let is_groups = |target: &Target<'_>| target.name.starts_with(b"G#");
        let fault = Fault::Fail(ErrorKind::Unavailable);
        faults.add(is_groups, When::Always, fault);
    };
    fail(&faults);
    let table = Arc::new(Faulty::new(Arc::new(MemoryTable::new()), faults.clone()));
    let cluster = Cluster::start_over(2, Settings::default(), table)
        .await
        .unwrap();
    cluster.agreed().await;
    let names = [(0, 'a'), (1, 'b')].map(|(at, letter)| cluster.name_at(at, letter).unwrap());
    create_accounts(&cluster.stores(), names.clone())
        .await
        .unwrap();
    let [ann, bob] = names;
    let mut a = Client::login(cluster.address(1), &ann, "a").await.unwrap();
    // Nobody knows yet whether there are any.
    let refused = a.ask(ROSTER).await.unwrap();
    assert!(
        refused.contains("type='error'") && refused.contains("type='wait'"),
        "{refused}"
    );
    faults.clear();
    let roster = a.ask(ROSTER).await.unwrap();
    assert!(!roster.contains("<item"), "{roster}");
    check_done(&perform(&cluster, 0, create("staff", GroupChange::default())).await);
    let both = members(&[&ann, &bob]);
    check_done(&perform(&cluster, 1, add("staff", both)).await);
    push(&mut a, &bob).await;
    // Each node has read them.
    for at in 0..2 {
        let mut b = Client::login(cluster.address(at), &bob, "early")
            .await
            .unwrap();
        assert!(b.ask(ROSTER).await.unwrap().contains("<item"));
        let mut a = Client::login(cluster.address(at), &ann, "early")
            .await
            .unwrap();
        assert!(a.ask(ROSTER).await.unwrap().contains("<item"));
    }

    fail(&faults);
    let failed = perform(&cluster, 0, remove("staff")).await;
    assert!(matches!(failed, Response::Refused { .. }), "{failed:?}");
    for at in 0..2 {
        let router = &cluster.app(at).router;
        let renewed = starling::pipeline::groups::renew(router, DOMAIN).await;
        assert!(renewed.is_err());
    }
    // What was read before goes on counting, also for who comes.
    let mut b = Client::login(cluster.address(0), &bob, "b").await.unwrap();
    for (client, other) in [(&mut a, &bob), (&mut b, &ann)] {
        let roster = client.ask(ROSTER).await.unwrap();
        assert!(roster.contains(account(other).as_str()), "{roster}");
    }
    faults.clear();
    check_done(&perform(&cluster, 0, remove("staff")).await);
    let removed = push(&mut a, &bob).await;
    assert!(removed.contains("subscription='remove'"), "{removed}");
    cluster.stop().await;
}
