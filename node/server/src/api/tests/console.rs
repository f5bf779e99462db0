//! The console as it is served.

use super::*;

#[tokio::test]
async fn the_console_needs_nothing_from_elsewhere() {
    let scene = Scene::new();
    let mut files = vec![String::new()];
    let mut seen = 0;
    while let Some(name) = files.get(seen).cloned() {
        seen += 1;
        let page = pages::page(&format!("/console/{name}"));
        let page = page.unwrap_or_else(|| panic!("no file {name}"));
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
        let body = page.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for wrong in [
            "http:",
            "https:",
            "innerHTML",
            "style=",
            "eval(",
            "localStorage",
        ] {
            assert!(!text.contains(wrong), "{name}: {wrong}");
        }
        for quoted in text.split('"') {
            let name = quoted.trim_start_matches("./");
            let is_file = [".js", ".css", ".svg"]
                .iter()
                .any(|end| name.ends_with(end));
            if is_file && !name.contains(' ') && !files.iter().any(|it| it == name) {
                files.push(name.to_owned());
            }
        }
    }
    assert_eq!(files.len(), 11, "{files:?}");
    let told = scene.ask("", "GET", "/", Value::Null).await;
    assert_eq!((told.status, told.header("location")), (303, "/console/"));
    let told = scene.ask("", "POST", "/console/", Value::Null).await;
    assert_eq!((told.status, told.header("allow")), (405, "GET, HEAD"));
    let told = scene.ask("", "GET", "/console/no.js", Value::Null).await;
    assert_eq!(told.status, 404);
    let without = Api::new(administrator(), false);
    let request = Request::builder().uri("/console/");
    let request = request.body(Full::new(Bytes::new())).unwrap();
    assert_eq!(without.answer(request, PEER).await.status(), 404);
}
