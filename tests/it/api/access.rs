//! Strangers at every path: without a session, with a cookie that is no session or no longer one, and
//! on pages of other origins. A path that is not in the table fails the test.

use std::collections::BTreeSet;

use marketplace::{auth::access::Access, http::routes::ROUTES};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    client::{Http, Refusal, Response, Socket},
    postgres::TestDatabase,
    server::{ORIGIN, TestServer, open},
};

/// Who may come to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Anybody may look; nobody can change anything here.
    Shown,
    /// Anybody may come who is not on a foreign page.
    Open,
    /// Whoever has signed in, as far as their role goes.
    SignedIn,
    /// A socket that only shows what is there.
    Reading,
    /// A socket that changes something, or shows who did.
    Writing,
}

/// Every path that answers a stranger; the table of routes says what each other path needs.
const PUBLIC: &[(&str, Door)] = &[
    ("/", Door::Shown),
    ("/console/<build>/<file>", Door::Shown),
    ("/console/<build>/vendor/<file>", Door::Shown),
    ("/healthz", Door::Shown),
    ("/readyz", Door::Shown),
    // Here the tests are operators.
    ("/metrics", Door::Shown),
    ("/api/docs", Door::Shown),
    ("/api/register/", Door::Open),
    ("/api/login/", Door::Open),
    ("/api/logout/", Door::Open),
];

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Pages that are none of the server's; the second is what a sandboxed frame says.
const FOREIGN: [&str; 3] = ["http://evil.example", "null", "https://localhost:3000"];

/// What the table of routes says of who may come to each path.
fn doors() -> Vec<(&'static str, Door)> {
    let mut doors = Vec::new();
    for route in ROUTES.iter() {
        let methods = METHODS.map(|method| method.parse().unwrap());
        let least = methods.iter().map(|method| route.access(method)).min();
        let door = match (route.is_socket(), least.unwrap()) {
            (true, Access::Reader) => Door::Reading,
            (true, _) => Door::Writing,
            (false, Access::Public | Access::Operator) if route.is_api => Door::Open,
            (false, Access::Public | Access::Operator) => Door::Shown,
            (false, _) => Door::SignedIn,
        };
        doors.push((route.path, door));
    }
    doors
}

#[test]
fn only_the_listed_paths_are_public() {
    let doors = doors();
    assert_eq!(doors.len(), ROUTES.len());
    let is_public = |(_, door): &&(&str, Door)| matches!(door, Door::Shown | Door::Open);
    let public: BTreeSet<_> = doors
        .iter()
        .filter(is_public)
        .map(|(path, door)| (*path, format!("{door:?}")))
        .collect();
    let listed: BTreeSet<_> = PUBLIC
        .iter()
        .map(|(path, door)| (*path, format!("{door:?}")))
        .collect();
    assert_eq!(public, listed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_everywhere() {
    let (server, database) = TestServer::start().await;
    let kept = admin(&server, &database, "kept").await;
    let source = add_source(&database).await;
    let strangers = strangers(&server, &database).await;
    let before = everything(&database).await;
    let mut refused = 0;
    for (who, stranger) in &strangers {
        for (path, door) in paths(&source) {
            match door {
                Door::Shown | Door::Open => {}
                Door::SignedIn => {
                    for method in METHODS {
                        let answer = ask(stranger, method, &path).await;
                        assert_eq!(answer.status, 403, "{who}: {method} {path}");
                        refused += 1;
                    }
                }
                Door::Reading | Door::Writing => {
                    assert_eq!(handshake(stranger, &path).await, 403, "{who}: {path}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500, "the table was gone through: {refused}");
    assert_eq!(everything(&database).await, before, "nothing was changed");
    // All of them would have been let in with a session.
    for (path, door) in paths(&source) {
        match door {
            Door::SignedIn => assert_ne!(ask(&kept, "GET", &path).await.status, 403, "{path}"),
            Door::Reading | Door::Writing => drop(open(&kept, &path).await),
            Door::Shown | Door::Open => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_pages_do_nothing_with_their_visitors_session() {
    let (server, database) = TestServer::start().await;
    let visitor = admin(&server, &database, "visitor").await;
    let source = add_source(&database).await;
    let before = everything(&database).await;
    for origin in FOREIGN {
        let page = Http::new(&server.base)
            .with_cookies_of(&visitor)
            .on_page(origin);
        for (path, door) in paths(&source) {
            match door {
                Door::Reading | Door::Writing => {
                    assert_eq!(handshake(&page, &path).await, 403, "{origin}: {path}");
                }
                Door::Shown | Door::Open | Door::SignedIn => {
                    for method in METHODS {
                        let answer = ask(&page, method, &path).await;
                        let case = format!("{origin}: {method} {path}: {}", answer.status);
                        assert_eq!(answer.header("access-control-allow-origin"), None, "{case}");
                        let is_safe = matches!(method, "GET" | "HEAD");
                        let changes = !is_safe || path == "/api/logout/";
                        let refused = match door {
                            Door::Shown => [404, 405].contains(&answer.status),
                            // Before it is looked whether the method fits, and after.
                            Door::Open => [403, 405].contains(&answer.status),
                            _ => answer.status == 403,
                        };
                        assert!(refused || !changes, "{case}");
                    }
                    let asked = preflight(&page, &path).await;
                    assert_eq!(asked.header("access-control-allow-origin"), None, "{path}");
                }
            }
        }
    }
    assert_eq!(everything(&database).await, before, "nothing was changed");
    // The same requests do something on the frontend's page.
    let mut visitor = visitor;
    assert_eq!(
        ask(&visitor, "DELETE", &format!("/api/delete-source/{source}/"))
            .await
            .status,
        204
    );
    assert_eq!(visitor.get("/api/logout/").send().await.status, 200);
    assert_ne!(everything(&database).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_strangers_may_look_they_change_nothing_and_foreign_pages_do_not_look() {
    let database = crate::support::server::database().await;
    let server = TestServer::on(&database.url, &["--anonymous", "read"]).await;
    let source = Uuid::new_v4().to_string();
    for (who, stranger) in &strangers(&server, &database).await {
        for (path, door) in paths(&source) {
            match door {
                Door::Shown | Door::Open => {}
                Door::SignedIn => {
                    assert_eq!(
                        ask(stranger, "GET", &path).await.status,
                        403,
                        "{who}: {path}"
                    );
                }
                Door::Writing => {
                    assert_eq!(handshake(stranger, &path).await, 403, "{who}: {path}");
                }
                Door::Reading => drop(open(stranger, &path).await),
            }
        }
    }
    for origin in FOREIGN {
        let page = Http::new(&server.base).on_page(origin);
        for (path, door) in paths(&source) {
            if matches!(door, Door::Reading | Door::Writing) {
                assert_eq!(handshake(&page, &path).await, 403, "{origin}: {path}");
            }
        }
    }
}

/// The paths with an id where one belongs.
fn paths(id: &str) -> Vec<(String, Door)> {
    let named = |(path, door): (&str, Door)| (with_parts(path, id), door);
    doors().into_iter().map(named).collect()
}

/// A path of the table with that in the place of each name.
pub fn with_parts(path: &str, id: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('<') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Visitors without a session that is valid, each on the frontend's page.
async fn strangers(server: &TestServer, database: &TestDatabase) -> Vec<(&'static str, Http)> {
    let dba = database.connect().await;
    let nobody = || Http::new(&server.base).on_page(ORIGIN);
    let mut strangers = vec![("nobody", nobody())];
    let letters = "abcdefghijklmnop".repeat(4);
    for (who, cookie) in [
        ("forged", letters.as_str()),
        ("empty", ""),
        ("short", "a"),
        ("sql", "' or true --"),
    ] {
        strangers.push((who, nobody().with_cookie("sessionid", cookie)));
    }

    let expired = server.visitor("expired").await;
    let sql = "update sessions set expires_at = now() - interval '1 second'
        where user_id = (select id from users where username = 'expired')";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);

    // What is in the table is no key: neither the id nor the digest.
    let stolen = server.visitor("stolen").await;
    let sql = "select id::text, encode(token_hash, 'hex') from sessions
        where user_id = (select id from users where username = 'stolen')";
    let row = dba.query_one(sql, &[]).await.unwrap();
    for column in 0..2 {
        let cookie: String = row.get(column);
        strangers.push(("stolen", nobody().with_cookie("sessionid", &cookie)));
    }
    drop(stolen);

    let left = server.visitor("left").await;
    let answer = left.clone().get("/api/logout/").send().await;
    assert_eq!(answer.status, 200);

    let deleted = server.visitor("deleted").await;
    let sql = "delete from users where username = 'deleted'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);

    for (who, visitor) in [("expired", expired), ("left", left), ("deleted", deleted)] {
        assert!(visitor.cookie("sessionid").is_some(), "{who} has a cookie");
        strangers.push((who, visitor));
    }
    strangers
}

/// A visitor whom no role keeps from anything.
async fn admin(server: &TestServer, database: &TestDatabase, name: &str) -> Http {
    let visitor = server.visitor(name).await;
    let sql = "update users set role = 'admin' where username = $1";
    let dba = database.connect().await;
    assert_eq!(dba.execute(sql, &[&name]).await.unwrap(), 1);
    visitor
}

async fn add_source(database: &TestDatabase) -> String {
    let sql = "insert into sources (country) values ('here') returning id::text";
    let row = database.connect().await.query_one(sql, &[]).await;
    row.expect("a source can be added").get(0)
}

/// A request with a body that would be taken, on a copy of the visitor.
async fn ask(visitor: &Http, method: &str, path: &str) -> Response {
    let body = json!({
        "username": "visitor", "password": "Correct-horse-7", "confirm_password": "Correct-horse-7",
        "email": "", "created_by": "a stranger",
    });
    let mut visitor = visitor.clone();
    let call = visitor.call(method, path).csrf();
    if matches!(method, "GET" | "HEAD") {
        call.send().await
    } else {
        call.json(&body).send().await
    }
}

async fn preflight(page: &Http, path: &str) -> Response {
    let mut page = page.clone();
    page.call("OPTIONS", path)
        .header("Access-Control-Request-Method", "POST")
        .send()
        .await
}

/// The status of the answer to a handshake.
async fn handshake(visitor: &Http, path: &str) -> u16 {
    match Socket::open(visitor, path).await {
        Ok(_) => 101,
        Err(Refusal::Answer(answer)) => answer.status,
        Err(Refusal::Broken(error)) => panic!("{path}: {error}"),
    }
}

/// All that a stranger could have changed.
async fn everything(database: &TestDatabase) -> String {
    let sql = "select concat(
        (select json_agg(s order by id) from sources s),
        (select json_agg(json_build_array(id, username, password_hash) order by id) from users),
        (select json_agg(json_build_array(id, token_hash) order by id) from sessions))";
    database
        .connect()
        .await
        .query_one(sql, &[])
        .await
        .unwrap()
        .get(0)
}
