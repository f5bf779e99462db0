//! Accounts and vCards in LDAP, rosters in DynamoDB, the archive in PostgreSQL, in one running server.

use services::{Certificate, Dynoxide, Postgres, SeaweedFs, Slapd};
use storage::Stores;
use tests::server::{DOMAIN, Server};

use crate::keeping::{Identity, jid, look, messages};
use crate::people::{entries, password};
use crate::talk::{Talk, error, mechanisms, secured, verdict, verdict_at_last};

/// The systems, and the server over them.
struct World {
    server: Server,
    slapd: Slapd,
    /// What is in DynamoDB.
    dynamodb: Stores,
    /// What is in PostgreSQL.
    postgresql: Stores,
    _systems: (Dynoxide, SeaweedFs, Postgres, tempfile::TempDir),
}

fn in_dynamodb(tables: &Dynoxide, objects: &SeaweedFs) -> String {
    format!(
        "backend = \"dynamodb\"\nregion = \"eu-west-1\"\nendpoint = {:?}\ncredentials = {:?}\n\
         bucket = \"mixed\"\nbucket_endpoint = {:?}\nbucket_credentials = {:?}\npath_style = true\n",
        tables.url(),
        tables.credentials(),
        objects.url(),
        objects.credentials(),
    )
}

fn in_directory(slapd: &Slapd, authority: &str) -> String {
    format!(
        "backend = \"ldap\"\nservers = [\"localhost\"]\nport = {}\nencrypt = \"starttls\"\n\
         ca_file = {authority:?}\nroot_dn = {:?}\npassword = {:?}\nbase = {:?}\n\
         filter = \"(objectClass=inetOrgPerson)\"\nrfilter = \"(&(objectClass=posixGroup)(memberUid=%u))\"\n\
         groupdesc = \"description\"\ngroup_cache_validity = \"1s\"\nconnect_timeout = \"20s\"\ntimeout = \"20s\"\n",
        slapd.port,
        Slapd::READER,
        Slapd::PASSWORD,
        Slapd::BASE,
    )
}

async fn world() -> World {
    let identity = Identity::new();
    let tls = Certificate {
        certificate: &identity.certificate,
        key: &identity.key,
    };
    let directory = tempfile::tempdir().unwrap();
    let slapd = Slapd::start(&entries(), &tls, 500).unwrap();
    let (tables, objects) = (Dynoxide::start().unwrap(), SeaweedFs::start().unwrap());
    let database = Postgres::start(&[]).unwrap();
    let main = in_dynamodb(&tables, &objects);
    let archive = format!("backend = \"postgresql\"\nurl = {:?}\n", database.url());
    let people = in_directory(&slapd, &identity.authority(directory.path()));
    let storage = format!(
        "{main}accounts = \"people\"\nvcards = \"people\"\ngroups = \"people\"\nmessages = \"archive\"\n\
         [storage.stores.people]\n{people}[storage.stores.archive]\n{archive}"
    );
    let server = Server::over(&[DOMAIN], &storage).unwrap();
    World {
        server,
        slapd,
        dynamodb: look(&main).await,
        postgresql: look(&archive).await,
        _systems: (tables, objects, database, directory),
    }
}

impl World {
    async fn log_in(&self, user: &str) -> Talk {
        Talk::plain(&self.server.target, user, &password(user)).await
    }

    async fn check(&self, cases: &[(&str, &str, &str)]) {
        for (user, password, expected) in cases {
            let found = verdict(&self.server.target, user, password).await;
            assert_eq!(found, *expected, "{user} {password:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_in_ldap_rosters_in_dynamodb_archive_in_postgresql() {
    let mut world = world().await;
    only_what_a_directory_can_do_is_offered(&world).await;
    let right = password("user001");
    world
        .check(&[
            ("user001", &right, "success"),
            ("USER001", &right, "success"),
            ("user001", "wrong", "not-authorized"),
            ("user001", &password("user002"), "not-authorized"),
            ("nobody", &right, "not-authorized"),
        ])
        .await;
    let (mut ann, mut user) = (world.log_in("ann").await, world.log_in("user001").await);
    each_thing_is_kept_where_it_belongs(&world, &mut ann, &mut user).await;
    what_waits_is_delivered(&world, &mut ann).await;
    colleagues_are_seen_and_not_changed(&mut user).await;
    groups_of_the_directory_are_in_rosters(&world).await;
    commands_say_where_accounts_are_managed(&world);
    a_directory_that_is_gone_is_waited_for(&mut world, &mut ann, &mut user).await;
}

async fn groups_of_the_directory_are_in_rosters(world: &World) {
    let get = "<iq type='get' id='ID'><query xmlns='jabber:iq:roster'/></iq>";
    let mut one = world.log_in("user002").await;
    let roster = one.ask(get).await.to_string();
    for expected in [
        "jid='user003@localhost'",
        "subscription='both'",
        "<group>The team</group>",
    ] {
        assert!(roster.contains(expected), "{roster}");
    }
    assert!(!roster.contains("jid='user002@localhost'"), "{roster}");
    let mut other = world.log_in("user004").await;
    let roster = other.ask(get).await.to_string();
    assert!(!roster.contains("<item"), "{roster}");
    let add = ["group", "add", "team", "user004@localhost"];
    let edited = world.server.command(&add).unwrap();
    assert!(!edited.status.success());
    let told = String::from_utf8_lossy(&edited.stderr);
    assert!(
        told.contains("another system has the groups of localhost"),
        "{told}"
    );
}

async fn only_what_a_directory_can_do_is_offered(world: &World) {
    let (mut wire, features) = secured(&world.server.target).await;
    assert_eq!(mechanisms(&features), ["PLAIN"]);
    assert!(features.named("register").is_none(), "{features}");
    let refused = wire.register("new", "pencil").await.unwrap_err();
    assert!(refused.to_string().contains("<not-allowed"), "{refused}");
}

async fn each_thing_is_kept_where_it_belongs(world: &World, ann: &mut Talk, user: &mut Talk) {
    let (account, contact) = (jid("ann@localhost"), jid("user001@localhost"));
    ann.add("user001@localhost").await;
    let roster = world.dynamodb.rosters.load(&account).await.unwrap();
    let items: Vec<_> = roster.items.iter().map(|item| &item.jid).collect();
    assert_eq!(items, [&contact]);
    let elsewhere = world.postgresql.rosters.load(&account).await.unwrap();
    assert_eq!(elsewhere.version, 0);

    ann.kept("user001@localhost", "archived").await;
    user.receive("archived").await;
    for of in [&account, &contact] {
        let kept = messages(&*world.postgresql.logs, of).await;
        assert_eq!(kept.len(), 1, "{of}: {kept:?}");
        assert!(kept[0].contains("<body>archived</body>"), "{kept:?}");
        assert_eq!(world.dynamodb.logs.tip(of).await.unwrap().head, 0);
    }
    let page = "<iq type='set' id='ID'><query xmlns='urn:xmpp:mam:2'/></iq>";
    let answer = user.ask(page).await;
    assert!(answer.to_string().contains("complete"), "{answer}");
}

async fn what_waits_is_delivered(world: &World, ann: &mut Talk) {
    ann.kept("user002@localhost", "waiting").await;
    let mut late = world.log_in("user002").await;
    let found = late.receive("waiting").await;
    assert!(found.named("delay").is_some(), "{found}");
    // Nobody is sent anything: the directory knows who there is.
    ann.message("nobody@localhost", "to-nobody").await;
    let refused = ann.until(|it| it.attr("id") == Some("to-nobody")).await;
    assert_eq!(error(&refused).1, "service-unavailable");
}

async fn colleagues_are_seen_and_not_changed(user: &mut Talk) {
    let vcard = "<iq type='get' id='ID' to='ann@localhost'><vCard xmlns='vcard-temp'/></iq>";
    let answer = user.ask(vcard).await;
    let name = answer.named("vCard").and_then(|it| it.named("FN"));
    assert_eq!(name.unwrap().text(), "Ann Marie Lee");
    for change in [
        "<iq type='set' id='ID'><vCard xmlns='vcard-temp'><FN>Another</FN></vCard></iq>",
        "<iq type='set' id='ID' to='localhost'><query xmlns='jabber:iq:register'>\
         <username>user001</username><password>another</password></query></iq>",
        "<iq type='set' id='ID'><query xmlns='jabber:iq:register'><remove/></query></iq>",
    ] {
        let answer = user.ask(change).await;
        assert_eq!(error(&answer).1, "not-allowed", "{change}");
    }
    let disco = "<iq type='get' id='ID' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let answer = user.ask(disco).await;
    let query = answer.named("query").unwrap();
    let features: Vec<_> = query.elements().filter_map(|it| it.attr("var")).collect();
    assert!(features.contains(&"vcard-temp"), "{features:?}");
    assert!(!features.contains(&"jabber:iq:register"), "{features:?}");
}

fn commands_say_where_accounts_are_managed(world: &World) {
    let new = "new@localhost";
    let ann = "ann@localhost";
    for refused in [
        &["user", "add", new, "pencil"][..],
        &["user", "password", ann, "pencil"],
        &["user", "remove", ann],
    ] {
        let answer = world.server.command(refused).unwrap();
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        let expected = "another system has the accounts of localhost";
        assert!(
            !answer.status.success() && said.contains(expected),
            "{said}"
        );
    }
    let listed = world.server.command(&["user", "list"]).unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 301, "{listed}");
    assert!(listed.starts_with("ann@localhost\nuser000@localhost\n"));
}

async fn a_directory_that_is_gone_is_waited_for(
    world: &mut World,
    ann: &mut Talk,
    user: &mut Talk,
) {
    let right = password("user001");
    world.slapd.kill();
    world
        .check(&[
            ("user001", &right, "temporary-auth-failure"),
            ("user001", "wrong", "temporary-auth-failure"),
            ("nobody", &right, "temporary-auth-failure"),
        ])
        .await;
    ann.kept("user001@localhost", "meanwhile").await;
    user.receive("meanwhile").await;
    user.add("ann@localhost").await;
    // Whether there is such an account nobody can tell, so it is not said that there is none.
    for to in ["user003@localhost", "absent@localhost"] {
        ann.message(to, to).await;
        let refused = ann.until(|it| it.attr("id") == Some(to)).await;
        assert_eq!(error(&refused).0, "wait", "{refused}");
    }
    world.slapd.restart().unwrap();
    let found = verdict_at_last(&world.server.target, "user001", &right).await;
    assert_eq!(found, "success");
    world
        .check(&[
            ("user001", "wrong", "not-authorized"),
            ("nobody", &right, "not-authorized"),
        ])
        .await;
    ann.kept("user003@localhost", "afterwards").await;
    world.log_in("user003").await.receive("afterwards").await;
}
