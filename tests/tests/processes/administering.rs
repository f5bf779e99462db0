//! An operator administers accounts, sessions, rooms and nodes over HTTP, whichever node is asked; all that is said is as the
//! OpenAPI document says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::api::{Api, Exchanges, field, validated};
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{self, DOMAIN, PASSWORD};
use tests::processes::{Node, Processes, Shared};

/// What a node with an API writes, behind its lines under `[cluster]`.
pub(crate) const API: &str = "listen = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"";
const WAIT: Duration = Duration::from_secs(60);
const NONE: Value = Value::Null;

/// The address of an account.
pub(crate) fn account(name: &str) -> String {
    node::account(name).to_string()
}

/// Runs a command of the server with a node's configuration, which must end so; what it answers.
#[track_caller]
pub(crate) fn command(node: &Node, arguments: &[&str], code: i32) -> String {
    let output = tokio::task::block_in_place(|| node.command(arguments)).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{output:?}"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a token at a node.
pub(crate) fn token(node: &Node, scopes: &str) -> String {
    let arguments = ["token", "create", "--name", "tests", "--scope", scopes];
    command(node, &arguments, 0)
}

/// The API of each node, for who holds this token.
fn apis(nodes: &[Node], token: &str, exchanges: &Exchanges) -> Vec<Api> {
    let api = |node| Api::of(node, token, exchanges).unwrap();
    nodes.iter().map(api).collect()
}

fn names(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    let name = |it: &Value| it[field].as_str().unwrap().to_owned();
    items.map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_node_is_asked_the_account_is_the_same() {
    let shared = Shared::database().unwrap();
    let mut cluster = Processes::start(3, shared, API).await.unwrap();
    let said = Exchanges::default();
    let all = token(&cluster.nodes[0], "all");
    let apis = apis(&cluster.nodes, &all, &said);
    let users: Vec<String> = (0..6).map(|number| format!("user{number}")).collect();
    for (number, user) in users.iter().enumerate() {
        let body = json!({ "account": account(user), "password": PASSWORD });
        let api = &apis[number % 3];
        api.expect("POST", "/accounts", &body, 201).unwrap();
        apis[(number + 1) % 3]
            .expect("POST", "/accounts", &body, 409)
            .unwrap();
    }
    refusals(&apis, &cluster.nodes[0], &said);

    // Each is seen at each node, and its sessions end from another one than they are at.
    let mut clients = Vec::new();
    for (number, user) in users.iter().enumerate() {
        let at = cluster.nodes[(number + 1) % 3].plain;
        clients.push(Client::online(at, user, "phone").await.unwrap());
    }
    for api in &apis {
        let mine = api.get("/self").unwrap();
        assert_eq!(mine["name"], "tests");
        let listed = api
            .get(&format!("/accounts?domain={DOMAIN}&times=true&limit=4"))
            .unwrap();
        assert_eq!(names(&listed, "name"), users[..4]);
        let path = format!(
            "/accounts?domain={DOMAIN}&after={}",
            listed["next"].as_str().unwrap()
        );
        assert_eq!(names(&api.get(&path).unwrap(), "name"), users[4..]);
        let online = api.get("/sessions?limit=5").unwrap();
        assert_eq!(
            (&online["accounts"], &online["sessions"]),
            (&json!(6), &json!(6))
        );
        assert_eq!(online["items"].as_array().unwrap().len(), 5);
        let path = format!("/sessions?after={}", online["next"].as_str().unwrap());
        assert_eq!(api.get(&path).unwrap()["items"], json!([account("user5")]));
        for user in &users {
            let path = format!("/accounts/{}", account(user));
            let facts = api.get(&path).unwrap();
            assert_eq!(
                (&facts["sessions"], &facts["waiting"]),
                (&json!(1), &json!(0)),
                "{facts}"
            );
            let sessions = api.get(&format!("{path}/sessions")).unwrap();
            assert_eq!(names(&sessions, "resource"), ["phone"]);
        }
        assert_eq!(
            api.get("/cluster").unwrap()["cluster"]["members"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
        assert!(
            names(&api.get("/metrics").unwrap(), "name").contains(&"xmpp_c2s_sessions".to_owned())
        );
    }
    sessions_end(&apis, &users, clients).await;
    rosters_and_queues(&cluster.nodes, &apis).await;
    rooms(&cluster.nodes, &apis).await;
    published(&cluster.nodes, &apis).await;

    // Locked, a password changed, removed.
    let at = |number: usize| cluster.nodes[number].plain;
    let user0 = format!("/accounts/{}", account("user0"));
    apis[1]
        .expect("POST", &format!("{user0}/disable"), &NONE, 204)
        .unwrap();
    assert_eq!(apis[2].get(&user0).unwrap()["disabled"], true);
    for number in 0..3 {
        assert!(Client::online(at(number), "user0", "phone").await.is_err());
    }
    apis[2]
        .expect("POST", &format!("{user0}/enable"), &NONE, 204)
        .unwrap();
    Client::online(at(0), "user0", "phone").await.unwrap();
    let body = json!({ "password": "another" });
    apis[0]
        .expect("PUT", &format!("{user0}/password"), &body, 204)
        .unwrap();
    assert!(Client::online(at(0), "user0", "phone").await.is_err());
    apis[1].expect("DELETE", &user0, &NONE, 204).unwrap();
    for api in &apis {
        api.expect("GET", &user0, &NONE, 404).unwrap();
    }

    nodes(&mut cluster, &apis);
    let audit = apis[0].get("/audit?limit=1000").unwrap();
    let operations = names(&audit, "operation");
    for operation in [
        "add",
        "disable",
        "password",
        "remove",
        "kick",
        "end",
        "destroy_room",
        "drain",
        "fence",
    ] {
        assert!(
            operations.iter().any(|it| it == operation),
            "{operation}\n{audit}"
        );
    }
    let text = audit.to_string();
    let text = text.replace("rotate_secret", "");
    assert!(
        !text.contains(PASSWORD) && !text.contains("another") && !text.contains(&all),
        "{text}"
    );
    let told = command(&cluster.nodes[0], &["audit", "-n", "1000"], 0);
    assert_eq!(told.lines().count(), operations.len(), "{told}");

    let exchanges = said.lock().unwrap().clone();
    let (is_good, said) = validated(&exchanges).unwrap();
    assert!(is_good, "{said}");
    println!("{said}");
    // And the validator is not content with anything.
    let is_account = |it: &&Value| it["status"] == 200 && it["path"] == format!("/api/v1{user0}");
    let at = exchanges.iter().position(|it| is_account(&it)).unwrap();
    let spoils: [fn(&mut Value); 3] = [
        |it| it["answer"]["sessions"] = "one".into(),
        |it| drop(it["answer"].as_object_mut().unwrap().remove("contacts")),
        |it| it["answer"]["shoe_size"] = 43.into(),
    ];
    for spoil in spoils {
        let mut spoiled = exchanges.clone();
        spoil(&mut spoiled[at]);
        let (is_good, said) = validated(&spoiled).unwrap();
        assert!(!is_good, "{said}");
    }
}

fn refusals(apis: &[Api], node: &Node, said: &Exchanges) {
    let bad = json!({ "account": "no address@", "password": "x" });
    let told = apis[0].expect("POST", "/accounts", &bad, 400).unwrap();
    assert_eq!(told["field"], "account");
    let nobody = format!("/accounts/{}", account("nobody"));
    for path in ["", "/roster", "/offline", "/sessions"] {
        apis[0]
            .expect("GET", &format!("{nobody}{path}"), &NONE, 404)
            .unwrap();
    }
    apis[0]
        .expect("DELETE", &format!("{nobody}/sessions"), &NONE, 404)
        .unwrap();
    let looks = Api::of(node, &token(node, "read"), said).unwrap();
    let path = format!("/accounts?domain={DOMAIN}");
    looks.get(&path).unwrap();
    let told = looks.expect("DELETE", &nobody, &NONE, 403).unwrap();
    assert_eq!(told["code"], "denied");
    // Revoked, it is nobody's.
    let listed = command(node, &["token", "list"], 0);
    let line = listed
        .lines()
        .find(|line| line.contains("\tread\t"))
        .unwrap();
    let id = line.split('\t').next().unwrap();
    command(node, &["token", "revoke", id], 0);
    command(node, &["token", "revoke", id], 3);
    let told = looks.ask("GET", &path, &NONE).unwrap();
    assert_eq!(
        (told.status, &told.body["code"]),
        (401, &json!("wrong_token"))
    );
    assert!(
        field(&told.header, "www-authenticate")
            .unwrap()
            .starts_with("Bearer ")
    );
}

async fn sessions_end(apis: &[Api], users: &[String], clients: Vec<Client>) {
    for (number, (user, mut client)) in users.iter().zip(clients).enumerate() {
        let api = &apis[number % 3];
        let path = format!("/accounts/{}/sessions", account(user));
        api.expect("DELETE", &format!("{path}/desk"), &NONE, 404)
            .unwrap();
        let which = if number % 2 == 0 { "" } else { "/phone" };
        let told = api
            .expect("DELETE", &format!("{path}{which}"), &NONE, 200)
            .unwrap();
        assert_eq!(told["sessions"], 1);
        let rest = client.rest().await.unwrap().concat();
        assert!(rest.contains("<not-authorized"), "{rest}");
        let until = Instant::now() + WAIT;
        while apis[2].get(&path).unwrap()["items"] != json!([]) {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Who waits for a contact's consent has it in the roster; what is said to who is away waits.
async fn rosters_and_queues(nodes: &[Node], apis: &[Api]) {
    let (to, from) = (account("user1"), account("user2"));
    let mut client = Client::online(nodes[0].plain, "user2", "desk")
        .await
        .unwrap();
    let set = format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='{to}' name='One'><group>Friends</group></item></query></iq>"
    );
    client.ask(&set).await.unwrap();
    client
        .send(&format!("<presence type='subscribe' to='{to}'/>"))
        .await
        .unwrap();
    for number in 0..3 {
        client
            .send(&message(to.as_str(), &format!("m{number}"), "do not tell"))
            .await
            .unwrap();
    }
    client
        .ask("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await
        .unwrap();
    let until = Instant::now() + WAIT;
    for api in apis {
        let roster = format!("/accounts/{from}/roster");
        while api.get(&roster).unwrap()["items"][0]["ask"] != true {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let contact = &api.get(&roster).unwrap()["items"][0];
        assert_eq!(
            *contact,
            json!({ "jid": to, "name": "One", "groups": ["Friends"], "subscription": "none", "ask": true })
        );
        let path = format!("/accounts/{to}/offline");
        while api.get(&path).unwrap()["items"].as_array().unwrap().len() < 3 {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let first = api.get(&format!("{path}?limit=2")).unwrap();
        assert_eq!(first["items"].as_array().unwrap().len(), 2);
        let rest = api
            .get(&format!("{path}?after={}", first["next"].as_str().unwrap()))
            .unwrap();
        assert_eq!(rest["items"].as_array().unwrap().len(), 1);
        let text = format!("{first}{rest}");
        assert!(
            text.contains(from.as_str()) && !text.contains("do not tell"),
            "{text}"
        );
        assert_eq!(api.get(&format!("/accounts/{to}")).unwrap()["waiting"], 3);
    }
    // Who comes takes it, and then nothing waits.
    let mut there = Client::managed(nodes[2].plain, "user1", "phone")
        .await
        .unwrap();
    there.send("<presence/>").await.unwrap();
    for _ in 0..3 {
        there.until(|text| name(text) == "message").await.unwrap();
    }
    there.acknowledge_all().await.unwrap();
    let path = format!("/accounts/{to}/offline");
    while apis[0].get(&path).unwrap()["items"] != json!([]) {
        assert!(Instant::now() < until + WAIT);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn rooms(nodes: &[Node], apis: &[Api]) {
    let service = format!("conference.{DOMAIN}");
    let mut client = Client::online(nodes[1].plain, "user3", "desk")
        .await
        .unwrap();
    let rooms: Vec<String> = (0..3)
        .map(|number| format!("room{number}@{service}"))
        .collect();
    for room in &rooms {
        let presence = format!(
            "<presence to='{room}/me'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        );
        client.send(&presence).await.unwrap();
        client
            .until(|text| text.contains("<subject"))
            .await
            .unwrap();
        let owner = "http://jabber.org/protocol/muc#owner";
        let form = format!(
            "<iq type='set' id='make' to='{room}'><query xmlns='{owner}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>"
        );
        assert_eq!(
            attr(&client.ask(&form).await.unwrap(), "type"),
            Some("result")
        );
    }
    for (number, room) in rooms.iter().enumerate() {
        for api in apis {
            let listed = api.get(&format!("/rooms?service={service}")).unwrap();
            assert_eq!(names(&listed, "room"), rooms[number..]);
        }
        let api = &apis[number % apis.len()];
        let facts = api.get(&format!("/rooms/{room}")).unwrap();
        assert_eq!(facts["facts"]["occupants"], "1");
        let path = format!("/rooms/{room}?reason=enough%20of+it");
        api.expect("DELETE", &path, &NONE, 204).unwrap();
        let told = client
            .until(|text| text.contains("<destroy"))
            .await
            .unwrap();
        assert!(told.contains("enough of it"), "{told}");
        api.expect("GET", &format!("/rooms/{room}"), &NONE, 404)
            .unwrap();
    }
    let told = apis[0]
        .expect("GET", "/rooms?service=no.such", &NONE, 400)
        .unwrap();
    assert_eq!(told["field"], "service");
}

async fn published(nodes: &[Node], apis: &[Api]) {
    let mut client = Client::online(nodes[2].plain, "user4", "desk")
        .await
        .unwrap();
    let publish = "<iq type='set' id='tune'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:a/b'><item id='1'><x xmlns='urn:a'>private</x></item></publish></pubsub></iq>";
    assert_eq!(
        attr(&client.ask(publish).await.unwrap(), "type"),
        Some("result")
    );
    for api in apis {
        let of = account("user4");
        let listed = api.get(&format!("/pubsub?service={of}")).unwrap();
        assert_eq!(listed["items"], json!(["urn:a/b"]));
        let node = api.get(&format!("/pubsub/{of}/urn:a%2Fb")).unwrap();
        assert_eq!((&node["items"], &node["creator"]), (&json!(1), &json!(of)));
        assert!(!node.to_string().contains("private"), "{node}");
        api.expect("GET", &format!("/pubsub/{of}/no"), &NONE, 404)
            .unwrap();
    }
}

/// A node drains, another is fenced; the third tells.
fn nodes(cluster: &mut Processes, apis: &[Api]) {
    let members = || apis[0].get("/cluster").unwrap()["cluster"]["members"].clone();
    let is_member = |id: &str| {
        let members = members();
        members
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["node"] == id)
    };
    let id = |node: &Node| node.facts().unwrap().cluster.unwrap().node;
    apis[0]
        .expect("POST", "/cluster/nodes/nobody/drain", &NONE, 404)
        .unwrap();
    apis[0]
        .expect("POST", "/cluster/secret/rotate", &NONE, 202)
        .unwrap();
    apis[1]
        .expect("POST", "/cluster/secret/rotate", &NONE, 409)
        .unwrap();
    let drains = id(&cluster.nodes[2]);
    let told = apis[0]
        .expect(
            "POST",
            &format!("/cluster/nodes/{drains}/drain"),
            &NONE,
            202,
        )
        .unwrap();
    assert_eq!(told["node"], drains.as_str());
    let (status, log) = cluster.ended(2).unwrap();
    assert!(status.success(), "{log}");
    let until = Instant::now() + WAIT;
    while is_member(&drains) {
        assert!(Instant::now() < until, "{}", members());
        std::thread::sleep(Duration::from_millis(50));
    }
    let fenced = id(&cluster.nodes[1]);
    apis[0]
        .expect(
            "POST",
            &format!("/cluster/nodes/{fenced}/fence"),
            &NONE,
            202,
        )
        .unwrap();
    while is_member(&fenced) {
        assert!(Instant::now() < until, "{}", members());
        std::thread::sleep(Duration::from_millis(50));
    }
}
