//! Routes: who answers what.

use hyper::{Method, StatusCode};

use crate::{
    accounts, logs,
    reply::{Answered, Asked, Reply},
    rosters,
    server::Kept,
};

pub(crate) async fn answer(kept: &Kept, asked: &Asked) -> Reply {
    route(kept, asked).await.unwrap_or_else(|refused| refused)
}

async fn route(kept: &Kept, asked: &Asked) -> Answered {
    let path: Vec<_> = asked.path.iter().map(String::as_str).collect();
    let (get, put) = (asked.method == Method::GET, asked.method == Method::PUT);
    let (post, delete) = (asked.method == Method::POST, asked.method == Method::DELETE);
    match path[..] {
        ["accounts"] if get => accounts::listed(kept, asked, false).await,
        ["accounts", _] if get => accounts::account(kept, asked).await,
        ["accounts", _] if put => accounts::create(kept, asked).await,
        ["accounts", _] if delete => accounts::remove(kept, asked).await,
        ["accounts", _, "check-password"] if post => accounts::check_password(kept, asked).await,
        ["accounts", _, "credentials"] if put => accounts::set_credentials(kept, asked).await,
        ["accounts", _, "disabled"] if put => accounts::set_disabled(kept, asked).await,
        ["accounts", _, "tokens"] if delete => accounts::remove_tokens(kept, asked).await,
        ["accounts", _, "tokens", _] if get => accounts::tokens(kept, asked).await,
        ["accounts", _, "tokens", _] if put => accounts::put_tokens(kept, asked).await,
        ["accounts", _, "tokens", _] if delete => accounts::remove_tokens(kept, asked).await,
        ["erasures"] if get => accounts::listed(kept, asked, true).await,
        ["erasures", _] if get => accounts::erasure(kept, asked).await,
        ["erasures", _] if put => accounts::begin_erasure(kept, asked).await,
        ["erasures", _] if delete => accounts::end_erasure(kept, asked).await,
        ["rosters", _] if get => rosters::get(kept, asked).await,
        ["rosters", _] if put => rosters::put(kept, asked).await,
        ["logs", _] if get => logs::tip(kept, asked).await,
        ["logs", _] if delete => logs::erase(kept, asked).await,
        ["logs", _, "entries"] if get => logs::read(kept, asked).await,
        ["logs", _, "entries"] if post => logs::append(kept, asked).await,
        ["logs", _, "entries", _] if get => logs::get(kept, asked).await,
        ["logs", _, "entries", _] if put => logs::rewrite(kept, asked).await,
        ["logs", _, "first-since"] if get => logs::first_since(kept, asked).await,
        ["logs", _, "truncate"] if post => logs::truncate(kept, asked).await,
        ["logs", _, "blank"] if post => logs::blank(kept, asked).await,
        _ => Err(Reply::refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "not_allowed",
            "nobody answers that",
        )),
    }
}
