//! What operations ask of DynamoDB and S3, exactly: whoever makes one dearer changes a line here.

use tests::cost::{
    cloud::Lag,
    prices::Prices,
    report::Report,
    row::Row,
    scenarios::{BEHIND, BURST, DRAIN},
};

/// What a home is loaded from.
const HOME: [&str; 5] = [
    "core get account",
    "core get archive preferences",
    "core get mailbox",
    "core get privacy lists",
    "log query log",
];

fn row<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let found = rows.iter().find(|row| row.name == name);
    found.unwrap_or_else(|| panic!("no row {name}"))
}

/// What the home is loaded from and this, where what stands here counts.
fn home_and(others: &[&str]) -> Vec<String> {
    let what = |ask: &str| ask.split(" x").next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = others.iter().map(|ask| what(ask)).collect();
    let home = HOME.iter().filter(|ask| !replaced.contains(&what(ask)));
    let mut all: Vec<String> = home.chain(others).map(|ask| (*ask).to_owned()).collect();
    all.sort();
    all
}

/// Requests and write units of each operation that always asks for the same.
fn requests_are_as_before(rows: &[Row]) {
    let check = |name: &str, expected: Vec<String>, write_units: f64| {
        let row = row(rows, name);
        let mut asks = row.asks();
        asks.sort();
        assert_eq!(asks, expected, "{name}");
        assert_eq!(row.requests.0, row.requests.1, "{name}");
        assert_eq!(
            row.each(row.spent.total().write_units),
            write_units,
            "{name}"
        );
    };
    let only = |asks: &[&str]| asks.iter().map(|ask| (*ask).to_owned()).collect();
    let here = ["core get account x3", "core get roster", "core get vcard"];
    let with = |others: &[&str]| home_and(&[&here, others].concat());
    check("login: SCRAM, bind, roster, presence", with(&[]), 0.0);
    let first = [
        "core get tokens",
        "core query tokens",
        "core write tokens",
        "log query log x3",
    ];
    check("login: SASL2 with SCRAM, first token", with(&first), 4.0);
    let fast = ["core get tokens", "log query log x3"];
    check("login: SASL2 with a FAST token", with(&fast), 0.0);
    let counted = ["core get tokens", "core write tokens", "log query log x3"];
    check("login: the same, logins counted", with(&counted), 4.0);
    check("logout", only(&[]), 0.0);
    check(
        "message, recipient online",
        only(&["log write log x2"]),
        2.0,
    );
    let cold = home_and(&["log write log x2"]);
    check("message, recipient offline and not in memory", cold, 2.0);
    check(
        "message, recipient offline, the next one",
        only(&["log write log x2"]),
        2.0,
    );
    check(
        "archive, newest page of 250",
        only(&["log query log x3"]),
        0.0,
    );
    check(
        "archive, the page of 250 before it",
        only(&["log query log x4"]),
        0.0,
    );
    check(
        "roster, a contact changes",
        only(&["core write roster"]),
        4.0,
    );
    check("vCard, get", only(&["core get vcard"]), 0.0);
    let large = only(&["blobs blob_get object", "core get vcard"]);
    check("vCard with a photo, first get", large.clone(), 0.0);
    check("vCard with a photo, get", large, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_cost_what_they_did() {
    let prices = Prices::load(None).unwrap();
    let report = Report::measure(prices, Lag::default(), 2).await.unwrap();
    requests_are_as_before(&report.plain);

    // The first of a row has no vCard to replace, the first photo no other; both are read at most twice. A photo is published as
    // an avatar as well (XEP-0398): its data and what they are, each an item and its node, which the first makes.
    for (name, most) in [("vCard, set", 3), ("vCard with a photo, set", 15)] {
        let found = row(&report.plain, name).requests.1;
        assert!(found <= most, "{name}: {found} requests");
    }
    // How messages share items is chance; a put for each on both sides is what they would take alone.
    let burst = row(&report.plain, BURST);
    assert!(burst.requests.1 < 100, "{:?}", burst.asks());
    // A login (eight gets and the head), and what waits read twice: to know how much it is, and to hand it over in two
    // parts. A read is at most three queries: for the item it begins in, for what follows, for what is compacted.
    let drain = row(&report.plain, DRAIN);
    assert!(drain.requests.1 <= 18, "{:?}", drain.asks());
    let behind = row(&report.plain, BEHIND);
    assert_eq!(behind.asks(), ["core write mailbox"]);
    // A transaction of two records; one that another save was faster than takes less.
    let units = behind.each(behind.spent.total().write_units);
    assert!(units > 0.0 && units <= 4.0, "{units}");

    for row in report.plain.iter().chain(&report.cached) {
        assert_eq!(row.scans(), [""; 0], "{}", row.name);
        assert_eq!(row.spent.total().retries, 0, "{}", row.name);
    }
    // Roster and vCard come from memcached once somebody has read them.
    let spared = |name: &str| {
        let (plain, cached) = (row(&report.plain, name), row(&report.cached, name));
        plain.requests.0 - cached.requests.0
    };
    for (name, expected) in [
        ("login: SCRAM, bind, roster, presence", 2),
        ("login: SASL2 with a FAST token", 2),
        ("vCard, get", 1),
        ("vCard with a photo, first get", 1),
        ("vCard with a photo, get", 2),
        ("message, recipient online", 0),
        ("archive, newest page of 250", 0),
    ] {
        assert_eq!(spared(name), expected, "{name}");
    }
}
