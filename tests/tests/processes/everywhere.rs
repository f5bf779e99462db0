//! What an administrator asks of the service is asked of all its nodes.

use tests::faults::client::{Client, attr, name};
use tests::faults::node::{DOMAIN, create_accounts};
use tests::processes::{Processes, Shared, Told};

/// Runs a command with one form; its last answer.
async fn run(admin: &mut Client, command: &str, fields: &[(&str, &str)]) -> String {
    let node = format!("http://jabber.org/protocol/admin#{command}");
    let command = |rest: &str| {
        format!(
            "<iq type='set' id='{node}' to='{DOMAIN}'>\
             <command xmlns='http://jabber.org/protocol/commands' node='{node}' {rest}</command></iq>"
        )
    };
    let first = admin.ask(&command("action='execute'>")).await.unwrap();
    if fields.is_empty() {
        return first;
    }
    let (_, rest) = first.split_once("sessionid='").expect(&first);
    let (session, _) = rest.split_once('\'').unwrap();
    let field = |(name, value): &(&str, &str)| {
        format!("<field var='{name}'><value>{value}</value></field>")
    };
    let fields: String = fields.iter().map(field).collect();
    let form = format!(
        "sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/admin</value></field>{fields}</x>"
    );
    admin.ask(&command(&form)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_sees_and_reaches_all() {
    let told = Told {
        variables: vec![("STARLING_ADMINS".to_owned(), format!("admin@{DOMAIN}"))],
        ..Told::default()
    };
    let told = [told.clone(), told.clone(), told];
    let shared = Shared::database().unwrap();
    let cluster = Processes::start_told(shared, &told).await.unwrap();
    let users: Vec<_> = (0..12).map(|number| format!("user{number:02}")).collect();
    let stores = cluster.stores().await.unwrap();
    let accounts = users.iter().cloned().chain(["admin".to_owned()]);
    create_accounts(&stores, accounts).await.unwrap();
    let mut clients = Vec::new();
    for (number, user) in users.iter().enumerate() {
        let node = &cluster.nodes[number % 3];
        clients.push(Client::online(node.plain, user, "phone").await.unwrap());
    }
    for node in &cluster.nodes {
        let mut admin = Client::online(node.plain, "admin", "desk").await.unwrap();
        for command in ["get-online-users-num", "get-active-users-num"] {
            let number = run(&mut admin, command, &[]).await;
            assert!(number.contains("<value>13</value>"), "{number}");
            assert!(!number.contains("<note"), "{number}");
        }
        let most = [("max_items", "25")];
        let listed = run(&mut admin, "get-online-users-list", &most).await;
        for user in users.iter().chain([&"admin".to_owned()]) {
            let value = format!("<value>{user}@{DOMAIN}</value>");
            assert_eq!(listed.matches(&value).count(), 1, "{user}\n{listed}");
        }
        let text = [("announcement", "all of you")];
        let sent = run(&mut admin, "announce", &text).await;
        assert!(sent.contains("sent to 13 sessions"), "{sent}");
        for client in &mut clients {
            let got = client.until(|text| name(text) == "message").await.unwrap();
            assert!(got.contains("all of you"), "{got}");
            assert_eq!(attr(&got, "to"), Some(&*client.jid));
        }
        admin.close().await.unwrap();
    }
}
