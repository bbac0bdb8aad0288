//! Files that come with sources: from the form into the store, out of it again, and gone when no source
//! names them. In a directory, in a bucket of moto's, and half-way of either.

mod half_way;
mod kept;
mod links;
mod names;
mod places;
mod proxied;
mod slots;
mod still_admitted;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    client::{Http, Response},
    postgres::TestDatabase,
    server::{TestServer, database, eventually},
    sign_in::lines,
};

/// A directory for uploads, removed when dropped.
pub struct Store(PathBuf);

impl Store {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("marketplace-uploads-{}", Uuid::new_v4())))
    }

    /// As `UPLOADS_URL` names it.
    pub fn url(&self) -> String {
        format!("file://{}", self.0.display())
    }

    /// What is in it; nothing before it is made.
    pub fn files(&self) -> Vec<String> {
        names_in(&self.0)
    }
}

/// The names of what is in a directory; none when it is not there.
fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes files as soon as no source names them.
pub const AT_ONCE: [&str; 2] = ["--uploads-grace", "0s"];

/// A server that stores files in a directory and removes them at once, with somebody who may edit.
pub async fn start(arguments: &[&str]) -> (TestServer, TestDatabase, Store, Http) {
    start_with(&[&AT_ONCE, arguments].concat()).await
}

/// The same with these arguments alone.
pub async fn start_with(arguments: &[&str]) -> (TestServer, TestDatabase, Store, Http) {
    let (database, store) = (database().await, Store::new());
    let url = store.url();
    let arguments = [&["--uploads-url", &url], arguments].concat();
    let server = TestServer::on(&database.url, &arguments).await;
    let editor = server.visitor("editor").await;
    (server, database, store, editor)
}

pub const FORM: &str = "multipart/form-data; boundary=x";
/// The end of every form.
pub const END: &[u8] = b"\r\n--x--\r\n";

/// The beginning of a form, up to the content of its file.
pub fn head(fields: &[(&str, &str)], file: &str) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    let file = format!(
        "--x\r\nContent-Disposition: form-data; name=\"data_upload\"; filename=\"{file}\"\r\n\
         Content-Type: text/html\r\n\r\n"
    );
    (fields.concat() + &file).into_bytes()
}

/// Sends a form with a file.
pub async fn send(
    visitor: &mut Http,
    (method, path): (&str, &str),
    fields: &[(&str, &str)],
    (file, content): (&str, &[u8]),
) -> Response {
    let form = [&head(fields, file), content, END].concat();
    visitor.call(method, path).body(FORM, form).send().await
}

const ADD: (&str, &str) = ("POST", "/api/add-source/");
const ANN: &[(&str, &str)] = &[("created_by", "Ann"), ("country", "France")];

/// A source with a file.
async fn add(visitor: &mut Http, file: (&str, &[u8])) -> Value {
    let answer = send(visitor, ADD, ANN, file).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn update_path(source: &Value) -> String {
    format!("/api/update-source/{}/", source["id"].as_str().unwrap())
}

/// One more server with the same files, which looks for orphans as soon as it starts.
async fn another(database: &TestDatabase, store: &Store) -> TestServer {
    let url = store.url();
    let arguments = [&["--uploads-url", &url], &AT_ONCE[..]].concat();
    TestServer::on(&database.url, &arguments).await
}

/// How many rows the table has.
async fn noted(database: &TestDatabase) -> i64 {
    let sql = "select count(*) from uploads";
    let row = database.connect().await.query_one(sql, &[]).await;
    row.unwrap().get(0)
}

/// Waits until so many are noted; then their objects are gone, too.
async fn remain_noted(database: &TestDatabase, count: i64) {
    eventually(&format!("{count} are noted"), async || {
        noted(database).await == count
    })
    .await;
}

/// Waits until so many files are stored and noted.
async fn remain(store: &Store, database: &TestDatabase, count: i64) {
    eventually(&format!("{count} files remain"), async || {
        store.files().len() == usize::try_from(count).unwrap() && noted(database).await == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_stored_fetched_replaced_and_removed() {
    let (_server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("données 2024.csv", b"a,b\n1,2\n")).await;
    let path = source["data_upload"].as_str().unwrap().to_owned();
    let key = path.split('/').nth(3).unwrap().to_owned();
    assert_eq!(path, format!("/api/uploads/{key}/données_2024.csv"));
    assert_eq!(store.files(), [key.as_str()], "the name is kept beside");

    for path in [
        format!("/api/uploads/{key}"),
        format!("/api/uploads/{key}/"),
        format!("/api/uploads/{key}/donn%C3%A9es_2024.csv"),
    ] {
        let file = editor.get(&path).send().await;
        assert_eq!((file.status, &*file.body), (200, &b"a,b\n1,2\n"[..]));
        for (name, value) in [
            ("content-type", "application/octet-stream"),
            ("content-length", "8"),
            ("x-content-type-options", "nosniff"),
            (
                "content-disposition",
                "attachment; filename=\"donn_es 2024.csv\"; filename*=UTF-8''donn%C3%A9es%202024.csv",
            ),
        ] {
            assert_eq!(file.header(name), Some(value), "{name}");
        }
    }
    let head = editor.call("HEAD", &format!("/api/uploads/{key}")).send();
    assert_eq!(head.await.header("content-length"), Some("8"));

    // What does not touch the file leaves it.
    let form = "country=Spain";
    let kind = "application/x-www-form-urlencoded";
    let call = editor.call("PATCH", &update_path(&source));
    let renamed = call.body(kind, form).send().await;
    assert_eq!(renamed.json()["data_upload"], path);

    let update = update_path(&source);
    let replaced = send(&mut editor, ("PATCH", &update), &[], ("new.csv", b"c")).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    let new = replaced.json()["data_upload"].as_str().unwrap().to_owned();
    assert!(new.ends_with("/new.csv") && new != path);
    remain(&store, &database, 1).await;
    assert_eq!(editor.get(&path).send().await.status, 404);
    assert_eq!(editor.get(&new).send().await.body, b"c");

    let cleared = editor.call("PATCH", &update);
    let cleared = cleared.json(&serde_json::json!({"data_upload": null}));
    assert_eq!(cleared.send().await.json()["data_upload"], Value::Null);
    remain(&store, &database, 0).await;
    assert_eq!(editor.get(&new).send().await.status, 404);

    let other = add(&mut editor, ("a.csv", b"1")).await;
    let delete = format!("/api/delete-source/{}/", other["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &delete).send().await.status, 204);
    remain(&store, &database, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sweep_removes_what_sql_orphaned_and_nothing_that_is_on_its_way() {
    let (server, database, store, mut editor) = start(&[]).await;
    for n in 0..3 {
        add(&mut editor, (&format!("{n}.csv"), b"1")).await;
    }
    let dba = database.connect().await;
    // A file whose source is just being written, and one that was given up long ago.
    let sql = "insert into uploads (key, name, created_at) values
        ($1, 'young.csv', now() - interval '1 hour'), ($2, 'old.csv', now() - interval '3 hours')";
    let (young, old) = (Uuid::new_v4(), Uuid::new_v4());
    dba.execute(sql, &[&young, &old]).await.unwrap();
    for key in [young, old] {
        fs::write(store.0.join(key.to_string()), "1").unwrap();
    }
    fs::write(store.0.join(format!("{old}#1")), "killed meanwhile").unwrap();
    let sql = "update sources set data_upload = null where data_upload like '%/0.csv'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);
    let sql = "delete from sources where data_upload like '%/1.csv'";
    assert_eq!(dba.execute(sql, &[]).await.unwrap(), 1);
    // Another node, which looks as soon as it starts.
    let other = another(&database, &store).await;
    remain(&store, &database, 2).await;
    assert!(store.files().contains(&young.to_string()));
    let sql = "select count(*) from sources s join uploads u on s.data_upload = u.key || '/2.csv'";
    let kept: i64 = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(kept, 1, "what a source names stays");
    drop((server, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_could_not_remove_is_its_own_for_a_while_and_then_anybodys() {
    let (server, database, store, mut editor) = start(&[]).await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let key = source["data_upload"].as_str().unwrap();
    let key = key.split('/').nth(3).unwrap().to_owned();
    // No file, so that it cannot be removed as one.
    let object = store.0.join(&key);
    fs::remove_file(&object).unwrap();
    fs::create_dir(&object).unwrap();
    let delete = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &delete).send().await.status, 204);
    let dba = database.connect().await;
    let claimed =
        "select from uploads where claimed_until > clock_timestamp() + interval '1 minute'";
    eventually("the server has claimed it", async || {
        dba.query(claimed, &[]).await.unwrap().len() == 1
    })
    .await;
    // Its next look is over when what is an orphan by now is gone.
    let next = add(&mut editor, ("b.csv", b"1")).await;
    let delete = format!("/api/delete-source/{}/", next["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &delete).send().await.status, 204);
    remain_noted(&database, 1).await;
    assert_eq!(store.files(), [key.as_str()], "it is not lost track of");
    server.stop().await.unwrap();
    fs::remove_dir(&object).unwrap();
    fs::write(&object, "1").unwrap();

    // Another node, which looks as soon as it starts, and again and again.
    let orphan = "insert into uploads (key, name, attached) values (gen_random_uuid(), 'b', true)";
    dba.execute(orphan, &[]).await.unwrap();
    let other = another(&database, &store).await;
    remain_noted(&database, 1).await;
    let mut editor = other.visitor("another").await;
    let source = add(&mut editor, ("c.csv", b"1")).await;
    let delete = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &delete).send().await.status, 204);
    remain_noted(&database, 1).await;
    assert_eq!(store.files(), [key.as_str()], "the other's claim holds");

    let lapse = "update uploads set claimed_until = clock_timestamp()";
    assert_eq!(dba.execute(lapse, &[]).await.unwrap(), 1);
    let third = another(&database, &store).await;
    remain(&store, &database, 0).await;
    drop((other, third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_nothing_looks_all_the_same() {
    let (_server, database, store, mut editor) = start(&[]).await;
    for n in 0..3 {
        add(&mut editor, (&format!("{n}.csv"), b"1")).await;
        let deleted = database.psql("delete from sources").await;
        assert!(deleted.status.success(), "{deleted:?}");
        remain(&store, &database, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_keys_lead_nowhere_else() {
    let (server, _database, store, mut editor) = start(&[]).await;
    for name in [
        "../../evil.html",
        "..\\evil.html",
        "/etc/evil.html",
        "evil<\u{202e}>.html",
    ] {
        let source = add(&mut editor, (name, b"<script>")).await;
        let path = source["data_upload"].as_str().unwrap();
        assert!(path.ends_with("/evil.html"), "{path}");
        let file = editor.get(path).send().await;
        assert_eq!(
            file.header("content-type"),
            Some("application/octet-stream")
        );
        let disposition = file.header("content-disposition").unwrap();
        assert!(disposition.starts_with("attachment; filename=\"evil"));
        assert!(!disposition.contains("%E2%80%AE"), "{disposition}");
    }
    assert_eq!(store.files().len(), 4);
    fs::write(store.0.join("secret"), "secret").unwrap();
    let key = store.files().remove(0);
    for path in [
        "/api/uploads/".to_owned(),
        "/api/uploads/secret".to_owned(),
        format!("/api/uploads/{}", Uuid::new_v4()),
        format!("/api/uploads/{}", key.to_uppercase()),
        format!("/api/uploads/{key}%2f..%2fsecret"),
        format!("/api/uploads/{key}/../secret/x"),
        "/api/uploads/../secret".to_owned(),
        "/api/uploads/..%2fsecret/secret".to_owned(),
    ] {
        let answer = editor.get(&path).send().await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let stranger = Http::new(&server.base)
        .get(&format!("/api/uploads/{key}"))
        .send()
        .await;
    assert_eq!(stranger.status, 403);
}
