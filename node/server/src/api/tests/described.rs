//! Document, operations, requests and paths are one.

use super::*;

fn example(parameter: &Parameter) -> Value {
    match parameter.value {
        operations::Value::Text | operations::Value::Secret => json!("text"),
        operations::Value::Whole(_) | operations::Value::Count(_) => json!(7),
        operations::Value::Flag => json!(true),
    }
}

/// What the table says an operation needs is what the request has: not more, not less, of that kind.
#[test]
fn operations_are_requests() {
    let mut names = BTreeSet::new();
    for operation in OPERATIONS {
        assert!(
            names.insert(operation.name),
            "{} is there twice",
            operation.name
        );
        if operation.http.is_none() {
            continue;
        }
        let mut fields = Map::new();
        fields.insert("do".into(), operation.name.into());
        for parameter in operation.parameters {
            fields.insert(parameter.name.into(), example(parameter));
        }
        let read = |fields: &Map<String, Value>| {
            serde_json::from_value::<admin::Request>(Value::Object(fields.clone()))
        };
        let request = read(&fields).unwrap_or_else(|error| panic!("{}: {error}", operation.name));
        assert_eq!(request.name(), operation.name);
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(written, Value::Object(fields.clone()), "{}", operation.name);
        for parameter in operation.parameters {
            let default = parameter.default;
            let default = default.map(|text| serde_json::from_str::<Value>(text).unwrap());
            let mut fewer = fields.clone();
            match default {
                Some(default) => drop(fewer.insert(parameter.name.into(), default)),
                None => drop(fewer.remove(parameter.name)),
            }
            let is_good = parameter.default.is_some() || operation.name == "drain";
            assert_eq!(
                read(&fewer).is_ok(),
                is_good,
                "{} without {}",
                operation.name,
                parameter.name
            );
        }
        let http = operation.http.unwrap();
        let in_path = operation.parameters.iter();
        let in_path = in_path.filter(|it| it.place == Place::Path);
        for parameter in in_path.clone() {
            let name = format!("{{{}}}", parameter.name);
            assert!(http.path.contains(&name), "{} {name}", http.path);
        }
        assert_eq!(http.path.matches('{').count(), in_path.count());
        assert!(!operation.scopes.is_empty() || operation.name == "whoami");
    }
}

#[test]
fn a_path_is_one_operation() {
    let check = |method: &str, path: &str, expected: &str| {
        let found = match route::find(method, path) {
            route::Found::Operation(operation, _) => operation.name.to_owned(),
            route::Found::Other(allowed) => allowed,
            route::Found::Nothing => String::new(),
        };
        assert_eq!(found, expected, "{method} {path}");
    };
    check("GET", "/accounts", "list");
    check("GET", "/accounts/", "");
    check("GET", "/accounts/a@b", "account");
    check("PATCH", "/accounts/a@b", "GET, HEAD, DELETE");
    check("DELETE", "/accounts/a@b/sessions/c%2Fd", "end");
    check("DELETE", "/accounts/a@b/sessions/c/d", "");
    check("GET", "/pubsub", "pubsub");
    check("GET", "/pubsub/pubsub.b/urn:x%2Fy", "pubsub_node");
    check("POST", "/cluster/nodes/node1/drain", "drain");
    check("GET", "/tokens", "");
    check("GET", "", "");
    assert_eq!(route::decoded("a%2Fb+c", false).unwrap(), "a/b+c");
    assert_eq!(route::decoded("a%2Fb+c", true).unwrap(), "a/b c");
    for wrong in ["%", "%4", "%zz", "%ff"] {
        assert_eq!(route::decoded(wrong, false), None);
    }
    let name = "ä b/c%d@e";
    let there_and_back = route::decoded(&route::encoded(name), false);
    assert_eq!(there_and_back.as_deref(), Some(name));
}

/// `UPDATE_DOCS=1` writes the document instead of comparing it.
#[test]
fn the_document_in_the_documentation_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../docs/administration.openapi.json");
    let text = document::text();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let [written, text] = [written, text].map(|it| serde_json::from_str::<Value>(&it).ok());
    assert!(
        written == text && text.is_some(),
        "docs/administration.openapi.json is out of date: run this test with UPDATE_DOCS=1"
    );
    // All words of refusals are among those that are described.
    for why in [
        admin::Why::Invalid,
        admin::Why::Exists,
        admin::Why::Absent,
        admin::Why::NotRunning,
        admin::Why::Elsewhere,
        admin::Why::Store,
        admin::Why::Alone,
        admin::Why::Busy,
        admin::Why::Denied,
    ] {
        assert!(reply::CODES.contains(&why.as_str()), "{why:?}");
        assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
    }
}
