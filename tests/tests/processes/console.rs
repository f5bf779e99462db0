//! The console in a real browser, on a desk and on a phone: what an operator sees and does. `UPDATE_DOCS=1` takes the pictures of
//! the documentation.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use starling::membership::status::Status;
use tests::api::{Api, Exchanges};
use tests::browser::Browser;
use tests::faults::client::{Client, message};
use tests::faults::node::{DOMAIN, PASSWORD};
use tests::processes::{Processes, Shared};

use crate::administering::{API, account, command, token};

const NAMES: [&str; 8] = [
    "ann", "bob", "carol", "dave", "eve", "frank", "grace", "heidi",
];
/// Another node's.
const WAIT: Duration = Duration::from_secs(60);

/// Pictures go into the documentation, or nowhere that stays.
struct Pictures {
    room: tempfile::TempDir,
}

impl Pictures {
    fn take(&self, browser: &Browser, name: &str) {
        let to = match std::env::var_os("UPDATE_DOCS") {
            Some(_) => Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/console"),
            None => self.room.path().to_owned(),
        };
        std::fs::create_dir_all(&to).unwrap();
        let file: PathBuf = to.join(format!("{name}.png"));
        browser.picture(&file).unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() > 5_000, "{name}");
    }
}

fn quiet(browser: &Browser) {
    let said = browser.said().unwrap();
    // A refused token is logged by the browser as what it is: an answer of 401, 404 or 409.
    let wrong = said
        .lines()
        .filter(|line| !line.contains("the server responded with a status of"));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(
        browser.fits().unwrap(),
        "something is wider than the window"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_administers_with_a_browser() {
    let shared = Shared::database().unwrap();
    let mut cluster = Processes::start(3, shared, API).await.unwrap();
    let (all, said) = (token(&cluster.nodes[0], "all"), Exchanges::default());
    let api = Api::of(&cluster.nodes[0], &all, &said).unwrap();
    for name in NAMES {
        let body = json!({ "account": account(name), "password": PASSWORD });
        api.expect("POST", "/accounts", &body, 201).unwrap();
    }
    let mut clients = Vec::new();
    for (number, name) in NAMES.iter().take(5).enumerate() {
        let at = cluster.nodes[number % 3].plain;
        let mut client = Client::online(at, name, "phone").await.unwrap();
        for contact in ["grace", "heidi"] {
            let (to, text) = (account(contact), "hello");
            client
                .send(&message(to.as_str(), name, text))
                .await
                .unwrap();
        }
        let set = format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='{}' name='Grace'><group>Friends</group></item></query></iq>",
            account("grace")
        );
        client.ask(&set).await.unwrap();
        clients.push(client);
    }
    let room = format!("garden@conference.{DOMAIN}");
    let enter =
        format!("<presence to='{room}/Ann'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    clients[0].send(&enter).await.unwrap();
    clients[0]
        .until(|text| text.contains("<subject"))
        .await
        .unwrap();
    let form = format!(
        "<iq type='set' id='make' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field><field var='muc#roomconfig_roomname'><value>The garden</value></field></x></query></iq>"
    );
    clients[0].ask(&form).await.unwrap();

    let url = format!("http://{}/", cluster.nodes[0].api.unwrap());
    let pictures = Pictures {
        room: tempfile::tempdir().unwrap(),
    };
    let leaves = cluster.nodes[2].facts().unwrap().cluster.unwrap();
    tokio::task::block_in_place(|| {
        let browser = Browser::open(1180, 860, false, false).unwrap();
        sign_in(&browser, &url, &all, &pictures);
        accounts(&browser, &pictures);
        rooms(&browser, &room, &pictures);
        others(&browser, &pictures);
        drop(browser);
        phone(&url, &all, &pictures);
        looking_only(&url, &token(&cluster.nodes[0], "read"));
    });

    // The last node drains, and the browser follows it.
    let Status { node, name, .. } = leaves;
    tokio::task::block_in_place(|| {
        let browser = Browser::open(1180, 860, false, true).unwrap();
        sign_in_again(&browser, &url, &all);
        browser.shows("3 members").unwrap();
        browser
            .press(&format!(
                "//tr[.//div[text()='{node}']]//button[text()='Drain']"
            ))
            .unwrap();
        browser.shows(&format!("Drain {name}")).unwrap();
        pictures.take(&browser, "drain-dark");
        browser.confirm("Drain").unwrap();
        browser.shows(" has left.").unwrap();
        browser.confirm("Close").unwrap();
        browser.shows("2 members").unwrap();
        quiet(&browser);
    });
    let (status, log) = cluster.ended(2).unwrap();
    assert!(status.success(), "{log}");
    let told = command(&cluster.nodes[0], &["audit"], 0);
    for line in ["\tadd\t", "\tremove\t", "\tdestroy_room\t", "\tdrain\t"] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

fn sign_in(browser: &Browser, url: &str, token: &str, pictures: &Pictures) {
    browser.go(url).unwrap();
    browser.shows("starling token create").unwrap();
    pictures.take(browser, "sign-in");
    browser
        .write("token", "starling_000000000000_wrong")
        .unwrap();
    browser.click("Sign in").unwrap();
    browser
        .shows("the token is none, was revoked, or is over")
        .unwrap();
    browser.write("token", token).unwrap();
    browser.click("Sign in").unwrap();
    browser.shows("3 members").unwrap();
    pictures.take(browser, "cluster");
    // It is this tab's, and nothing of it is in the page or its address.
    let html =
        browser.run("return document.documentElement.outerHTML + location.href + document.cookie");
    assert!(!html.unwrap().to_string().contains(token));
    quiet(browser);
}

fn sign_in_again(browser: &Browser, url: &str, token: &str) {
    browser.go(url).unwrap();
    browser.write("token", token).unwrap();
    browser.click("Sign in").unwrap();
    browser.shows("Sign out").unwrap();
}

fn accounts(browser: &Browser, pictures: &Pictures) {
    browser.click("Accounts").unwrap();
    browser.shows(account("heidi").as_str()).unwrap();
    pictures.take(browser, "accounts");
    browser.click("Add account").unwrap();
    browser.write("name", "ivan").unwrap();
    browser.write("password", "pencil").unwrap();
    browser.confirm("Add").unwrap();
    browser.shows("ivan@").unwrap();
    browser.shows("messages wait").unwrap();
    // What is there is not made again, and the dialog says so.
    browser.click("Accounts").unwrap();
    browser.click("Add account").unwrap();
    browser.write("name", "bob").unwrap();
    browser.write("password", "pencil").unwrap();
    browser.confirm("Add").unwrap();
    browser.shows("exists already").unwrap();
    browser.confirm("Cancel").unwrap();
    browser.click(account("ann").as_str()).unwrap();
    browser.shows("phone").unwrap();
    browser.shows("Friends").unwrap();
    pictures.take(browser, "account");
    browser.click("Disable").unwrap();
    browser.confirm("Disable").unwrap();
    browser.shows("disabled").unwrap();
    browser.shows("Nobody is there.").unwrap();
    browser.click("Enable").unwrap();
    browser.shows("Disable").unwrap();
    // What cannot be undone wants to be written out.
    browser.click("Accounts").unwrap();
    browser.click(account("ivan").as_str()).unwrap();
    browser.click("Remove").unwrap();
    browser.shows("to confirm").unwrap();
    browser.confirm("Remove").unwrap();
    browser.write("confirm", account("ivan").as_str()).unwrap();
    browser.confirm("Remove").unwrap();
    browser.shows("is gone.").unwrap();
    browser.shows(account("heidi").as_str()).unwrap();
    quiet(browser);
}

fn rooms(browser: &Browser, room: &str, pictures: &Pictures) {
    browser.click("Rooms").unwrap();
    browser.click(room).unwrap();
    browser.shows("occupants").unwrap();
    pictures.take(browser, "room");
    browser.click("Destroy").unwrap();
    browser.write("confirm", room).unwrap();
    browser.write("reason", "it is late").unwrap();
    browser.confirm("Destroy").unwrap();
    browser.shows("There are no rooms.").unwrap();
    quiet(browser);
}

fn others(browser: &Browser, pictures: &Pictures) {
    browser.click("Sessions").unwrap();
    browser.shows(account("bob").as_str()).unwrap();
    browser.click("PubSub").unwrap();
    browser.shows("Service").unwrap();
    browser.click("Metrics").unwrap();
    browser.shows("messages a second").unwrap();
    browser.shows("xmpp_c2s_sessions").unwrap();
    // Live: a line has two points after the second look.
    let until = Instant::now() + WAIT;
    while browser
        .run("return document.querySelectorAll('polyline').length > 3")
        .unwrap()
        != true
    {
        assert!(Instant::now() < until, "{}", browser.text().unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    pictures.take(browser, "metrics");
    browser.click("Audit").unwrap();
    browser.shows("destroy_room").unwrap();
    browser.shows("exists").unwrap();
    pictures.take(browser, "audit");
    quiet(browser);
    browser.click("Sign out").unwrap();
    browser.shows("starling token create").unwrap();
    browser.go("about:blank").unwrap();
}

/// 390 pixels wide, in the dark: everything is there and nothing sticks out.
fn phone(url: &str, token: &str, pictures: &Pictures) {
    let browser = Browser::open(390, 844, true, true).unwrap();
    sign_in_again(&browser, url, token);
    browser.shows("3 members").unwrap();
    quiet(&browser);
    pictures.take(&browser, "phone-cluster");
    for (section, shown, picture) in [
        ("Accounts", "heidi@", Some("phone-accounts")),
        ("Sessions", "accounts online", None),
        ("Rooms", "There are no rooms.", None),
        ("PubSub", "Service", None),
        ("Metrics", "messages a second", None),
        ("Audit", "destroy_room", Some("phone-audit")),
    ] {
        browser.click(section).unwrap();
        browser.shows(shown).unwrap();
        quiet(&browser);
        if let Some(picture) = picture {
            pictures.take(&browser, picture);
        }
    }
    browser.click("Accounts").unwrap();
    browser.click(account("grace").as_str()).unwrap();
    browser.shows("Offline queue").unwrap();
    quiet(&browser);
    pictures.take(&browser, "phone-account");
    browser.click("Remove").unwrap();
    browser.shows("to confirm").unwrap();
    quiet(&browser);
    pictures.take(&browser, "phone-remove");
}

/// Who may only look is offered nothing else.
fn looking_only(url: &str, token: &str) {
    let browser = Browser::open(1180, 860, false, false).unwrap();
    sign_in_again(&browser, url, token);
    browser.shows("3 members").unwrap();
    let text = browser.text().unwrap();
    for not in ["Drain", "Fence", "Audit", "Replace the secret"] {
        assert!(!text.contains(not), "{not}\n{text}");
    }
    browser.click("Accounts").unwrap();
    browser.click(account("bob").as_str()).unwrap();
    browser.shows("Roster").unwrap();
    let text = browser.text().unwrap();
    for not in ["Remove", "Set password", "Disable", "End"] {
        assert!(!text.contains(not), "{not}\n{text}");
    }
}
