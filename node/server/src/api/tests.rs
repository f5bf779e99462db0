//! What the API answers to whom.

mod console;
mod described;

use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes};
use serde_json::{Map, Value, json};
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::Operators,
};

use super::{Api, document, gate, pages, reply, route};
use crate::{
    admin::{
        self, Administrator, Caller, Response as Answer, Who,
        operations::{self, OPERATIONS, Parameter, Place, Scope},
    },
    keys::Keys,
    modules::{register::Accounts, roster::Rosters},
};

const PEER: std::net::IpAddr = std::net::IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A node that is down but for its API: what needs no running node is done.
fn administrator() -> Administrator {
    let table = Arc::new(MemoryTable::new());
    let stores = Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    Administrator {
        accounts: Accounts::new(stores, rosters, Arc::new(Keys::new(4_096))),
        domains: vec!["a.example".into()],
        admins: vec!["root@a.example".parse().unwrap()],
        operators: Operators::new(table),
        rooms: None,
        pubsub: Vec::new(),
        metrics: None,
        live: None,
        desk: None,
    }
}

struct Scene {
    api: Api,
}

impl Scene {
    fn new() -> Self {
        Self {
            api: Api::new(administrator(), true),
        }
    }

    async fn token(&self, scopes: &[Scope]) -> String {
        let scopes = scopes.iter().map(|scope| scope.as_str().to_owned());
        let request = admin::Request::TokenCreate {
            name: "tests".into(),
            scopes: scopes.collect(),
            lifetime_s: None,
        };
        let socket = Caller::from(Who::Socket);
        match self.api.administrator.ask(&socket, request).await {
            Answer::Token { token, .. } => token,
            other => panic!("{other:?}"),
        }
    }

    async fn ask(&self, token: &str, method: &str, path: &str, body: Value) -> Told {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.send(token, method, path, "application/json", body)
            .await
    }

    async fn send(
        &self,
        token: &str,
        method: &str,
        path: &str,
        kind: &str,
        body: impl Into<Bytes>,
    ) -> Told {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(body.into()))
            .unwrap();
        Told::of(self.api.answer(request, PEER).await).await
    }
}

struct Told {
    status: u16,
    headers: hyper::HeaderMap,
    body: Value,
}

impl Told {
    async fn of(response: Response<Full<Bytes>>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }
}

#[tokio::test]
async fn accounts_are_made_listed_and_removed() {
    let scene = Scene::new();
    let token = &scene.token(&[Scope::Accounts]).await;
    for name in ["bob", "ann", "eve"] {
        let account = json!({ "account": format!("{name}@a.example"), "password": "secret" });
        let told = scene.ask(token, "POST", "/api/v1/accounts", account).await;
        assert_eq!(told.status, 201, "{}", told.body);
        let location = format!("/api/v1/accounts/{name}@a.example");
        assert_eq!(told.header("location"), location);
    }
    let list = async |query: &str| {
        let path = format!("/api/v1/accounts?domain=a.example&{query}");
        let told = scene.ask(token, "GET", &path, Value::Null).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let items = told.body["items"].as_array().unwrap().iter();
        let names: Vec<_> = items.map(|it| it["name"].as_str().unwrap()).collect();
        (names.join(" "), told.body["next"].clone())
    };
    assert_eq!(list("").await, ("ann bob eve".into(), Value::Null));
    assert_eq!(list("limit=2").await, ("ann bob".into(), "bob".into()));
    let last = list("limit=2&after=bob").await;
    assert_eq!(last, ("eve".into(), Value::Null));
    for (method, path, status) in [
        ("POST", "/api/v1/accounts/bob@a.example/disable", 204),
        ("POST", "/api/v1/accounts/bob@a.example/enable", 204),
        ("DELETE", "/api/v1/accounts/b%6Fb@a.example", 204),
        ("DELETE", "/api/v1/accounts/bob@a.example", 404),
    ] {
        let told = scene.ask(token, method, path, Value::Null).await;
        assert_eq!(told.status, status, "{method} {path} {}", told.body);
    }
    assert_eq!(list("").await, ("ann eve".into(), Value::Null));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let scene = Scene::new();
    let token = &scene.token(&[Scope::Accounts, Scope::Read]).await;
    let check = async |method: &str, path: &str, body: Value, status: u16, field: Value| {
        let told = scene
            .ask(token, method, &format!("/api/v1{path}"), body)
            .await;
        assert_eq!(told.status, status, "{method} {path} {}", told.body);
        assert_eq!(told.body["field"], field, "{method} {path} {}", told.body);
        assert_eq!(told.header("content-type"), "application/problem+json");
        assert_eq!(told.body["status"], status);
    };
    let account =
        |account: Value, password: Value| json!({ "account": account, "password": password });
    let bob = "bob@a.example";
    let post =
        async |body: Value, field: &str| check("POST", "/accounts", body, 400, field.into()).await;
    post(json!({}), "account").await;
    post(account("bob".into(), "x".into()), "account").await;
    post(account("bob@b.example".into(), "x".into()), "account").await;
    post(account(7.into(), "x".into()), "account").await;
    post(account("".into(), "x".into()), "account").await;
    post(account(bob.into(), Value::Null), "password").await;
    // Not all clients would prepare it alike (RFC 4013).
    post(account(bob.into(), "\u{1f600}".into()), "password").await;
    post(
        json!({ "account": bob, "password": "x", "admin": true }),
        "admin",
    )
    .await;
    let get = async |path: &str, field: Value| check("GET", path, Value::Null, 400, field).await;
    get("/accounts", "domain".into()).await;
    get("/accounts?domain=b.example", "domain".into()).await;
    get("/accounts?domain=a.example&limit=some", "limit".into()).await;
    get("/accounts?domain=a.example&limit=1001", "limit".into()).await;
    get("/accounts?domain=a.example&limit=0", "limit".into()).await;
    get("/accounts?domain=a.example&times=1", "times".into()).await;
    get("/accounts?domain=a.example&domain=b", "domain".into()).await;
    get("/accounts?domain=a.example&page=2", "page".into()).await;
    get("/accounts?domain=%", Value::Null).await;
    check("GET", "/account", Value::Null, 404, Value::Null).await;
    check("GET", "/accounts/%ff", Value::Null, 404, Value::Null).await;
    check("PUT", "/accounts", Value::Null, 405, Value::Null).await;
    check(
        "DELETE",
        "/accounts/nobody@a.example",
        Value::Null,
        404,
        Value::Null,
    )
    .await;
    // It is nobody's business to be asked of a node that is down, which this one is.
    check("GET", "/sessions", Value::Null, 503, Value::Null).await;
    let kind = "application/json";
    for (kind, body, status) in [
        (kind, "[]".to_owned(), 400),
        (
            kind,
            r#"{"account":"bob@a.example","password":"x","password":"y"}"#.to_owned(),
            400,
        ),
        (kind, "{".to_owned(), 400),
        ("text/plain", "{}".to_owned(), 415),
        (kind, " ".repeat(super::MAX_BODY + 1), 413),
    ] {
        let told = scene
            .send(token, "POST", "/api/v1/accounts", kind, body)
            .await;
        assert_eq!(told.status, status, "{}", told.body);
    }
    let post = account(bob.into(), "x".into());
    let made = scene.ask(token, "POST", "/api/v1/accounts", post.clone());
    assert_eq!(made.await.status, 201);
    check("POST", "/accounts", post, 409, Value::Null).await;
}

#[tokio::test]
async fn what_can_be_got_has_a_head_and_domains_are_written_as_one_likes() {
    let scene = Scene::new();
    let token = &scene.token(&[Scope::Accounts, Scope::Read]).await;
    let account = json!({ "account": "bob@a.example", "password": "secret" });
    scene.ask(token, "POST", "/api/v1/accounts", account).await;
    for path in [
        "/api/v1/accounts?domain=a.example",
        "/api/v1/accounts?domain=A.Example",
        "/api/v1/accounts?domain=a.example.",
    ] {
        for method in ["GET", "HEAD"] {
            let told = scene.ask(token, method, path, Value::Null).await;
            assert_eq!(told.status, 200, "{method} {path}");
            assert_eq!(told.body["items"][0]["name"], "bob", "{path}");
        }
    }
    let told = scene.ask(token, "HEAD", "/api/v1/accounts", Value::Null);
    assert_eq!(told.await.status, 400);
    let told = scene
        .ask(token, "PUT", "/api/v1/accounts", Value::Null)
        .await;
    assert_eq!(told.header("allow"), "GET, HEAD, POST");
    assert_eq!(
        scene
            .ask("x", "HEAD", "/api/v1/accounts", Value::Null)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn only_a_good_token_with_the_scope_comes_in() {
    let scene = Scene::new();
    let path = "/api/v1/accounts?domain=a.example";
    let check = async |token: &str, path: &str, status: u16, code: &str| {
        let told = scene.ask(token, "GET", path, Value::Null).await;
        assert_eq!(told.status, status, "{path} {}", told.body);
        assert_eq!(told.body["code"], code, "{path}");
        assert!(told.header("www-authenticate").starts_with("Bearer "));
    };
    let metrics = scene.token(&[Scope::Metrics]).await;
    check(&metrics, path, 403, "denied").await;
    check(&metrics, "/api/v1/audit", 403, "denied").await;
    check("", path, 401, "wrong_token").await;
    check("", "/api/v1/no/such/path", 401, "wrong_token").await;
    check("starling_000000000000_x", path, 401, "wrong_token").await;
    let request = Request::builder().uri(path).body(Full::new(Bytes::new()));
    let told = Told::of(scene.api.answer(request.unwrap(), PEER).await).await;
    assert_eq!((told.status, &told.body["code"]), (401, &"no_token".into()));
    // A token in the address is none.
    let inside = format!("{path}&access_token={metrics}");
    check("", &inside, 401, "wrong_token").await;
}

#[tokio::test]
async fn who_shows_wrong_tokens_has_to_wait() {
    let scene = Scene::new();
    let good = scene.token(&[Scope::Read]).await;
    let path = "/api/v1/self";
    for _ in 0..gate::WRONG {
        assert_eq!(scene.ask("x", "GET", path, Value::Null).await.status, 401);
    }
    let told = scene.ask(&good, "GET", path, Value::Null).await;
    assert_eq!(told.status, 429);
    assert_eq!(told.header("retry-after"), "60");
    // Nobody else has to.
    let request = Request::builder()
        .uri(path)
        .header("authorization", format!("bearer {good}"))
        .body(Full::new(Bytes::new()));
    let other = "192.0.2.1".parse().unwrap();
    let told = Told::of(scene.api.answer(request.unwrap(), other).await).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.body["scopes"], json!(["read"]));
    assert_eq!(told.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_change_is_in_the_audit_log_with_who_made_it() {
    let scene = Scene::new();
    let token = &scene.token(&[Scope::Accounts, Scope::Audit]).await;
    let account = json!({ "account": "bob@a.example", "password": "top secret" });
    scene
        .ask(token, "POST", "/api/v1/accounts", account.clone())
        .await;
    scene.ask(token, "POST", "/api/v1/accounts", account).await;
    let told = scene
        .ask(token, "GET", "/api/v1/audit?limit=2", Value::Null)
        .await;
    let (items, next) = (&told.body["items"], &told.body["next"]);
    assert_eq!(items[0]["outcome"], "exists");
    assert_eq!(items[1]["outcome"], "done");
    for item in [&items[0], &items[1]] {
        assert_eq!(item["operation"], "add");
        assert_eq!(item["target"], "bob@a.example");
        assert_eq!(item["peer"], "127.0.0.1");
        let who = item["who"].as_str().unwrap();
        assert!(
            who.starts_with("token ") && who.ends_with(" tests"),
            "{who}"
        );
    }
    let path = format!("/api/v1/audit?before={}", next.as_str().unwrap());
    let rest = scene.ask(token, "GET", &path, Value::Null).await.body;
    assert_eq!(rest["items"][0]["operation"], "token_create");
    assert_eq!(rest["items"][0]["who"], "socket");
    assert_eq!(rest["next"], Value::Null);
    let all = format!("{} {rest}", told.body);
    assert!(
        !all.contains("secret") && !all.contains(token.as_str()),
        "{all}"
    );
}

#[tokio::test]
async fn who_may_change_accounts_may_not_become_an_administrator() {
    let scene = Scene::new();
    let account = json!({ "account": "root@a.example", "password": "top secret" });
    for (scopes, status) in [
        (vec![Scope::Accounts, Scope::Sessions], 403),
        (vec![Scope::Administrators], 403),
        (vec![Scope::Accounts, Scope::Administrators], 201),
    ] {
        let token = &scene.token(&scopes).await;
        let told = scene.ask(token, "POST", "/api/v1/accounts", account.clone());
        assert_eq!(told.await.status, status, "{scopes:?}");
    }
}

/// A store that takes nothing: a change is refused before it is begun, a look is not.
#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    use storage::{
        ErrorKind,
        layer::{
            Call, Faulty, Switchboard,
            faulty::{Fault, When},
        },
    };
    let mut administrator = administrator();
    let switchboard = Switchboard::new(1);
    let table = Faulty::new(Arc::new(MemoryTable::new()), switchboard.clone());
    administrator.operators = Operators::new(Arc::new(table));
    let fault = Fault::Fail(ErrorKind::Unavailable);
    switchboard.add(|target| target.call == Call::Write, When::Always, fault);
    let socket = Caller::from(Who::Socket);
    let add = admin::Request::Add {
        account: "bob@a.example".into(),
        password: "x".into(),
    };
    let told = administrator.ask(&socket, add).await;
    let why = |told: &Answer| match told {
        Answer::Refused { why, .. } => Some(*why),
        _ => None,
    };
    assert_eq!(why(&told), Some(admin::Why::Store), "{told:?}");
    let list = admin::Request::List {
        domain: "a.example".into(),
        after: None,
        limit: 1,
        times: false,
    };
    let told = administrator.ask(&socket, list).await;
    assert_eq!(told, Answer::Users(Vec::new()));
    // What rescues a cluster is tried all the same: here there is none.
    let told = administrator
        .ask(&socket, admin::Request::RotateSecret)
        .await;
    assert_eq!(why(&told), Some(admin::Why::NotRunning), "{told:?}");
}
