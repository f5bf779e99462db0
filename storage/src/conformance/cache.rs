//! What every cache must do. A cache may forget; this suite asks for so little that none has reason to.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use crate::{clock::ManualClock, shape::Cache};

const LONG: Duration = Duration::from_secs(1000);

/// Examines a cache, with its clock if it can be moved; all keys start with `run`, which nobody else uses.
pub async fn cache(cache: Arc<dyn Cache>, clock: Option<&ManualClock>, run: &str) {
    values(&*cache, run).await;
    tokens(&*cache, run).await;
    races(cache.clone(), run).await;
    if let Some(clock) = clock {
        expiry(&*cache, clock, run).await;
    }
}

async fn get(cache: &dyn Cache, key: &str) -> Option<(Vec<u8>, u64)> {
    let mut found = cache.get_many(&[key]).await;
    assert_eq!(found.len(), 1);
    found
        .pop()
        .expect("one answer")
        .expect("get_many")
        .map(|cached| (cached.value.to_vec(), cached.token))
}

async fn add(cache: &dyn Cache, key: &str, value: &'static str) -> Option<u64> {
    cache.add(key, value.into(), LONG).await.expect("add")
}

/// The token, if it was set.
async fn swap(cache: &dyn Cache, key: &str, token: u64, value: &'static str) -> Option<u64> {
    cache
        .compare_and_set(key, token, value.into(), LONG)
        .await
        .expect("compare_and_set")
}

async fn values(cache: &dyn Cache, run: &str) {
    let names: Vec<String> = (0..5).map(|n| format!("{run}:values:{n}")).collect();
    for name in [&names[1], &names[3]] {
        cache
            .set(name, name.clone().into(), LONG)
            .await
            .expect("set");
    }
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = cache.get_many(&keys).await;
    let found: Vec<_> = found
        .into_iter()
        .map(|cached| cached.expect("get_many").map(|cached| cached.value))
        .collect();
    assert_eq!(
        found,
        [
            None,
            Some(names[1].clone().into()),
            None,
            Some(names[3].clone().into()),
            None
        ]
    );
    assert!(cache.get_many(&[]).await.is_empty());
    assert_eq!(add(cache, keys[1], "other").await, None);
    assert!(add(cache, keys[0], "new").await.is_some());
    assert_eq!(
        get(cache, keys[0]).await.map(|found| found.0),
        Some(b"new".to_vec())
    );
    for _ in 0..2 {
        cache.remove(keys[0]).await.expect("removing twice is fine");
        assert_eq!(get(cache, keys[0]).await, None);
    }
    let long = format!("{run}:{}", "k".repeat(250 - run.len() - 1));
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    cache
        .set(&long, binary.clone().into(), LONG)
        .await
        .expect("set");
    assert_eq!(get(cache, &long).await.map(|found| found.0), Some(binary));
    cache.set(&long, "".into(), LONG).await.expect("set");
    assert_eq!(
        get(cache, &long).await.map(|found| found.0),
        Some(Vec::new())
    );
}

async fn tokens(cache: &dyn Cache, run: &str) {
    let key = format!("{run}:tokens");
    assert_eq!(swap(cache, &key, 1, "x").await, None);
    cache.set(&key, "one".into(), LONG).await.expect("set");
    let (_, token) = get(cache, &key).await.expect("a value");
    let told = swap(cache, &key, token, "two").await;
    assert_eq!(swap(cache, &key, token, "three").await, None);
    let (value, next) = get(cache, &key).await.expect("a value");
    assert_eq!((&value[..], Some(next)), (&b"two"[..], told));
    assert_ne!(token, next);
    cache.set(&key, "two".into(), LONG).await.expect("set");
    let stale = swap(cache, &key, next, "x").await;
    assert_eq!(stale, None, "set changes tokens");
    let (_, token) = get(cache, &key).await.expect("a value");
    cache.remove(&key).await.expect("remove");
    let told = add(cache, &key, "back").await;
    let stale = swap(cache, &key, token, "x").await;
    assert_eq!(stale, None, "tokens do not return");
    assert_eq!(get(cache, &key).await.map(|found| found.1), told);
    let told = told.expect("it was absent");
    assert!(swap(cache, &key, told, "x").await.is_some());
}

async fn races(cache: Arc<dyn Cache>, run: &str) {
    let key = format!("{run}:races");
    let mut rivals = JoinSet::new();
    for rival in 0..16 {
        let (cache, key) = (cache.clone(), key.clone());
        rivals.spawn(async move {
            (
                rival,
                cache
                    .add(&key, format!("{rival}").into(), LONG)
                    .await
                    .expect("add")
                    .is_some(),
            )
        });
    }
    let winners: Vec<_> = rivals
        .join_all()
        .await
        .into_iter()
        .filter(|(_, won)| *won)
        .map(|(rival, _)| rival)
        .collect();
    let [winner] = winners[..] else {
        panic!("{winners:?} all won")
    };
    assert_eq!(
        get(&*cache, &key).await.map(|found| found.0),
        Some(format!("{winner}").into_bytes())
    );
}

async fn expiry(cache: &dyn Cache, clock: &ManualClock, run: &str) {
    let key = format!("{run}:expiry");
    cache
        .set(&key, "x".into(), Duration::from_secs(10))
        .await
        .expect("set");
    clock.advance(Duration::from_secs(9));
    let (_, token) = get(cache, &key).await.expect("not yet");
    clock.advance(Duration::from_secs(1));
    assert_eq!(get(cache, &key).await, None);
    assert_eq!(swap(cache, &key, token, "y").await, None);
    assert!(add(cache, &key, "y").await.is_some());
}
