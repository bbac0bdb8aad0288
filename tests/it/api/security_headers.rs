//! What browsers are told of every answer, and that the page works under what it is told.

use std::collections::BTreeSet;

use marketplace::http::routes::ROUTES;
use tokio::io::AsyncReadExt;

use crate::{
    api::access::with_parts,
    support::{
        client::{Browser, Http, Refusal, Response, Socket},
        server::{ORIGIN, TestServer, database},
    },
};

/// On every answer.
const ALWAYS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn check(what: &str, answer: &Response) {
    for (name, value) in ALWAYS {
        assert_eq!(answer.header(name), Some(value), "{what}: {name}");
    }
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.starts_with("default-src 'none'; "),
        "{what}: {policy}"
    );
    assert!(
        policy.contains("frame-ancestors 'none'"),
        "{what}: {policy}"
    );
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    assert!(answer.header("cache-control").is_some(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_what_it_is_not_for() {
    let (server, _database) = TestServer::start().await;
    let mut visitor = server.visitor("visitor").await;
    let mut statuses = BTreeSet::new();
    let id = "00000000-0000-4000-8000-00000000000a";
    let paths = ROUTES.iter().map(|route| route.path);
    let paths = paths.chain(["/nothing", "/api/nothing/"]);
    for path in paths.map(|path| with_parts(path, id)) {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            for accept in ["*/*", "text/html"] {
                let answer = visitor
                    .call(method, &path)
                    .header("Accept", accept)
                    .send()
                    .await;
                let what = format!("{method} {path} {}", answer.status);
                check(&what, &answer);
                let is_page = answer
                    .header("content-type")
                    .is_some_and(|kind| kind.starts_with("text/html"));
                let cache = if is_page { "no-cache" } else { "no-store" };
                assert_eq!(answer.header("cache-control"), Some(cache), "{what}");
                statuses.insert(answer.status);
            }
        }
        let stranger = Http::new(&server.base);
        if let Err(Refusal::Answer(answer)) = Socket::open(&stranger, &path).await {
            check(&format!("a handshake at {path}"), &answer);
        }
    }
    let preflight = visitor
        .call("OPTIONS", "/api/login/")
        .header("Access-Control-Request-Method", "POST");
    check("a preflight", &preflight.send().await);
    for status in [200, 204, 400, 403, 404, 405] {
        assert!(
            statuses.contains(&status),
            "{status} was seen: {statuses:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_is_told_too() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--max-connections", "1"]).await;
    let visitor = Http::new(&server.base).on_page(ORIGIN);
    let answer = loop {
        // Its place is taken by whoever was accepted first and is not gone yet.
        let _first = visitor.address().connect().await.unwrap();
        let mut second = visitor.address().connect().await.unwrap();
        let mut answer = String::new();
        let read = second.read_to_string(&mut answer);
        if tokio::time::timeout(crate::support::server::SOON, read)
            .await
            .is_ok_and(|read| read.is_ok())
        {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for line in [
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_allows_its_own_script_and_style_alone() {
    let (server, _database) = TestServer::start().await;
    let mut visitor = Http::new(&server.base);
    let page = visitor.get("/").header("Accept", "text/html").send().await;
    let policy = page.header("content-security-policy").unwrap().to_owned();
    let tag = page.header("etag").unwrap().to_owned();
    for own in ["style-src 'self';", "script-src 'self';"] {
        assert!(policy.contains(own), "{own} is not in {policy}");
    }
    let page = page.text();
    assert!(!page.contains("<style"), "styles are files");
    let scripts: Vec<_> = page.split("<script").skip(1).collect();
    assert!(scripts.iter().all(|tag| tag.contains(" src=\"/console/")));
    // The files it names are there, and may be kept: another build names others.
    let named: Vec<_> = page.split("\"/console/").skip(1).collect();
    assert!(named.len() > scripts.len() + 1, "{page}");
    for path in named {
        let path = format!("/console/{}", path.split('"').next().unwrap());
        let file = visitor.get(&path).send().await;
        check(&path, &file);
        assert_eq!(file.status, 200, "{path}");
        let cache = file.header("cache-control").unwrap();
        assert!(cache.contains("immutable"), "{path}: {cache}");
    }
    let again = visitor
        .get("/")
        .header("Accept", "text/html")
        .header("If-None-Match", &tag);
    assert_eq!(again.send().await.status, 304);
    // Other clients are told where to look; a bare request finds nothing, as it always has.
    for (headers, status) in [
        (&[("User-Agent", "curl/8.5.0")][..], 200),
        (&[("Accept", "application/json")], 200),
        (&[], 404),
    ] {
        for method in ["GET", "HEAD"] {
            let mut call = visitor.call(method, "/");
            for (name, value) in headers {
                call = call.header(name, value);
            }
            let answer = call.send().await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
            if status == 200 {
                let varies = answer.header("vary").unwrap().to_lowercase();
                for by in ["accept", "upgrade", "user-agent"] {
                    assert!(varies.split(", ").any(|name| name == by), "{varies}");
                }
            }
            if status == 200 && method == "GET" {
                check("/", &answer);
                assert_eq!(answer.json()["health"], "/readyz");
            }
        }
    }
    // What the policy does not allow.
    for inline in [
        " style=\"",
        " onclick=",
        " onload=",
        " onerror=",
        "javascript:",
    ] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_works_in_chromium_under_its_policy() {
    let (server, database) = TestServer::start().await;
    server.visitor("newcomer").await;
    let mut page = Browser::open(&format!("{}/", server.base)).await;
    page.until("!!document.querySelector('form [name=username]')")
        .await;
    // Its style is applied.
    let styled = "getComputedStyle(document.querySelector('form')).display === 'grid'";
    assert_eq!(page.evaluate(styled).await, true);
    page.fill("[name=username]", "newcomer").await;
    page.fill("[name=password]", "Correct-horse-7").await;
    page.press("Enter").await;
    page.until("document.querySelector('#link')?.textContent === 'Live'")
        .await;
    let dba = database.connect().await;
    dba.batch_execute("insert into sources (country) values ('<b>by hand</b>')")
        .await
        .unwrap();
    page.until("document.querySelector('tbody [data-id] td')?.textContent === '<b>by hand</b>'")
        .await;
    let complaints = page.complaints.join("\n");
    assert!(
        !complaints.contains("Content Security Policy"),
        "{complaints}"
    );

    // The policy is in force: what is not the page's own does not run, and does not look like it did.
    let injected = "const script = document.createElement('script');
        try { script.text = 'window.injected = true'; document.body.append(script); } catch {}
        const link = document.createElement('style');
        link.textContent = 'body { display: none }'; document.body.append(link);
        window.injected === undefined && getComputedStyle(document.body).display !== 'none'";
    assert_eq!(page.evaluate(injected).await, true);
    page.evaluate("1").await;
    let complaints = page.complaints.join("\n");
    assert!(
        complaints.contains("Content Security Policy"),
        "{complaints}"
    );
    page.close().await;
}
