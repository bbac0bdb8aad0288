//! The other places for uploads, and how much of a large file is in memory on its way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::{ADD, ANN, END, FORM, Store, add, head, lines, noted, send, update_path};
use crate::{
    api::emr::moto::Moto,
    support::{
        client::Http,
        postgres::TestDatabase,
        program::{PROGRAM, Running, command, program},
        server::{ORIGIN, SOON, TestServer, database, eventually},
    },
};

/// The program storing files somewhere, and somebody who may edit.
async fn serve(database: &TestDatabase, variables: &[(&str, &str)]) -> (Running, Http) {
    let command = program(&["serve", "--bind", "127.0.0.1:0"]);
    serve_by(command, database, variables).await
}

/// The same, started by this command.
async fn serve_by(
    command: Command,
    database: &TestDatabase,
    variables: &[(&str, &str)],
) -> (Running, Http) {
    serve_logging(command, database, variables, None).await
}

/// The same, with its log in a file.
async fn serve_logging(
    mut command: Command,
    database: &TestDatabase,
    variables: &[(&str, &str)],
    log: Option<&Path>,
) -> (Running, Http) {
    command.env("DATABASE_URL", &database.url);
    command.env("RATE_LIMITS", "off");
    command.env("UPLOADS_GRACE", "0s");
    command.envs(variables.iter().copied());
    let mut server = match log {
        Some(log) => Running::logging(command, log),
        None => Running::start(command),
    };
    let mut visitor = Http::new(&server.line("listening on ").await).on_page(ORIGIN);
    eventually("the server is ready", async || {
        visitor.get("/readyz").send().await.status == 200
    })
    .await;
    let password = "Correct-horse-7";
    let account = json!({
        "username": "editor", "email": "", "password": password, "confirm_password": password,
    });
    visitor.post("/api/register/").json(&account).send().await;
    let login = json!({ "username": "editor", "password": password });
    assert_eq!(
        visitor.post("/api/login/").json(&login).send().await.status,
        200
    );
    (server, visitor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_a_compatible_store_takes_files_gives_them_and_forgets_them() {
    let moto = Moto::start().await;
    let mut bucket = Http::new(&moto.base);
    assert_eq!(bucket.call("PUT", "/files").send().await.status, 200);
    let database = database().await;
    let variables = [
        ("UPLOADS_URL", "s3://files/up"),
        ("AWS_ENDPOINT_URL_S3", moto.base.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        // As good as not set.
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_SKIP_SIGNATURE", ""),
    ];
    let (_server, mut editor) = serve(&database, &variables).await;
    let objects = async || {
        let list = Http::new(&moto.base).get("/files?list-type=2").send().await;
        list.text().matches("<Key>up/").count()
    };
    // One that goes in one piece, and one in several.
    let large: Vec<u8> = (0..12_u32 << 20).map(|n| (n % 251) as u8).collect();
    for content in [&b"a,b\n"[..], &large] {
        let source = add(&mut editor, ("a.csv", content)).await;
        let path = source["data_upload"].as_str().unwrap().to_owned();
        assert_eq!(objects().await, 1);
        let file = editor.get(&path).send().await;
        assert_eq!(
            file.header("content-length"),
            Some(&*content.len().to_string())
        );
        assert!(file.body == content, "what was sent comes back");
        let update = update_path(&source);
        let answer = send(
            &mut editor,
            ("PATCH", &update),
            &[("end_date", "soon")],
            ("b.csv", b"1"),
        );
        assert_eq!(answer.await.status, 400);
        let dba = database.connect().await;
        let gone = "update sources set data_upload = null where data_upload is not null";
        assert_eq!(dba.execute(gone, &[]).await.unwrap(), 1);
        assert_eq!(editor.get(&path).send().await.status, 404);
        // Any removal lets the server look at once; this one has no file.
        let cleared = editor
            .call("PATCH", &update)
            .json(&json!({"data_upload": null}));
        assert_eq!(cleared.send().await.status, 200);
        eventually("the bucket is empty", async || {
            objects().await == 0 && noted(&database).await == 0
        })
        .await;
    }
    // Of one that breaks off half-way no part stays, which nobody would see and somebody pay for.
    let mut wire = editor.address().connect().await.unwrap();
    let request = format!(
        "POST /api/add-source/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n{}\r\n",
        64 << 20,
        lines(&editor)
    );
    wire.write_all(request.as_bytes()).await.unwrap();
    wire.write_all(&head(ANN, "a.csv")).await.unwrap();
    wire.write_all(&large).await.unwrap();
    let begun = async || {
        let list = Http::new(&moto.base).get("/files?uploads").send().await;
        list.text().matches("<UploadId>").count()
    };
    eventually("a part is stored", async || begun().await == 1).await;
    drop(wire);
    eventually("it is given up", async || {
        begun().await == 0 && noted(&database).await == 0
    })
    .await;
    drop(moto);
    let answer = send(&mut editor, ADD, ANN, ("a.csv", b"1")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let sources = editor.get("/api/read-source/").send().await.json();
    assert_eq!(
        sources.as_array().unwrap().len(),
        2,
        "none was added without its file"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_files_as_well() {
    let database = database().await;
    let server = TestServer::on(&database.url, &["--uploads-url", "memory://"]).await;
    let mut editor = server.visitor("editor").await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = source["data_upload"].as_str().unwrap();
    assert_eq!(editor.get(path).send().await.body, b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_to_be_and_keeps_nothing_of_what_it_could_not_take() {
    // A disk of 8 MB that nobody else sees, and that goes with the program.
    let mount = "mount -t tmpfs -o size=8m,mode=700 none";
    let try_out = ["--mount", "sh", "-c", &format!("{mount} /mnt")];
    let tried = command("unshare", &try_out).status().await;
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!(
            "NOT COVERED: this user may not mount, so nobody has seen a full disk of uploads"
        );
        return;
    }
    let (database, outside) = (database().await, Store::new());
    fs::create_dir(&outside.0).unwrap();
    let script = format!(
        "{mount} {} && exec {PROGRAM} serve --bind 127.0.0.1:0",
        outside.0.display()
    );
    let command = command("unshare", &["--mount", "sh", "-c", &script]);
    let url = outside.url();
    let (server, mut editor) = serve_by(command, &database, &[("UPLOADS_URL", &url)]).await;
    let root = format!("/proc/{}/root", server.child.id().expect("it runs"));
    let inside = outside.0.strip_prefix("/").unwrap();
    let store = Store(PathBuf::from(root).join(inside));
    add(&mut editor, ("a.csv", b"1")).await;
    // One that fails while it arrives, and one that does so when it is to be completed.
    for (size, noted_then) in [(24 << 20, 1), (8 << 20, 2)] {
        let content = vec![b'1'; size];
        let answer = send(&mut editor, ADD, ANN, ("b.csv", &content)).await;
        assert_eq!(answer.status, 507, "{}", answer.text());
        assert!(answer.text().contains("no space left"), "{}", answer.text());
        eventually("the disk has the first file alone", async || {
            store.files().len() == 1 && noted(&database).await == noted_then
        })
        .await;
    }
    add(&mut editor, ("c.csv", &vec![b'1'; 1 << 20])).await;
    let sources = editor.get("/api/read-source/").send().await.json();
    assert_eq!(sources.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_out_is_told_once_and_when_it_is_over() {
    let (database, store) = (database().await, Store::new());
    let log = store.0.with_extension("log");
    let lines = |level: &str, words: &str| {
        let text = fs::read_to_string(&log).unwrap();
        let of = |line: &&str| line.contains(level) && line.contains(words);
        text.lines().filter(of).count()
    };
    let command = program(&["serve", "--bind", "127.0.0.1:0"]);
    let url = store.url();
    let variables = [("UPLOADS_URL", url.as_str())];
    let (server, mut editor) = serve_logging(command, &database, &variables, Some(&log)).await;
    let path = add(&mut editor, ("a.csv", b"1")).await["data_upload"].clone();
    let path = path.as_str().unwrap();
    for outage in 1..=2 {
        let aside = store.0.with_extension("aside");
        fs::rename(&store.0, &aside).unwrap();
        fs::write(&store.0, "no directory").unwrap();
        for _ in 0..5 {
            let answer = send(&mut editor, ADD, ANN, ("b.csv", b"2")).await;
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert_eq!(editor.get(path).send().await.status, 503);
        }
        fs::remove_file(&store.0).unwrap();
        fs::rename(&aside, &store.0).unwrap();
        add(&mut editor, ("c.csv", b"3")).await;
        assert_eq!(editor.get(path).send().await.body, b"1");
        for (level, words) in [
            ("ERROR", "uploads cannot be stored"),
            ("ERROR", "uploads cannot be fetched"),
            ("INFO", "uploads can be stored again after="),
            ("INFO", "uploads can be fetched again after="),
        ] {
            assert_eq!(lines(level, words), outage, "{words}");
        }
    }
    assert_eq!(lines("ERROR", ""), 4, "nothing else is an error");
    drop(server);

    // Nobody listens there.
    let variables = [
        ("UPLOADS_URL", "s3://files"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let command = program(&["serve", "--bind", "127.0.0.1:0"]);
    let (_server, mut editor) = serve_logging(command, &database, &variables, Some(&log)).await;
    for _ in 0..3 {
        let answer = send(&mut editor, ADD, ANN, ("b.csv", b"2")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    assert_eq!(lines("ERROR", "uploads cannot be stored"), 1);
    assert_eq!(lines("ERROR", ""), 1, "nothing else is an error");
    fs::remove_file(log).unwrap();
}

/// Of each file.
const SIZE: usize = 200 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_mb_little_is_in_memory_either_way() {
    let (database, store) = (database().await, Store::new());
    let (server, editor) = serve(&database, &[("UPLOADS_URL", &store.url())]).await;
    let most = || {
        let status = format!("/proc/{}/status", server.child.id().expect("it runs"));
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<usize>().unwrap() << 10
    };
    let before = most();
    let head = head(ANN, "large.bin");
    let mut request = format!(
        "POST /api/add-source/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: {FORM}\r\nContent-Length: {}\r\n",
        head.len() + SIZE + END.len()
    );
    let cookies = lines(&editor);
    request += &cookies;
    request += "\r\n";
    let mut wire = editor.address().connect().await.unwrap();
    wire.write_all(request.as_bytes()).await.unwrap();
    wire.write_all(&head).await.unwrap();
    let piece = vec![7; 1 << 20];
    for _ in 0..SIZE >> 20 {
        wire.write_all(&piece).await.unwrap();
    }
    wire.write_all(END).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(4 * SOON, wire.read_to_string(&mut answer));
    read.await.expect("an answer comes").unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let path = answer.split("\"data_upload\":\"").nth(1).unwrap();
    let path = path.split('"').next().unwrap();

    let mut wire = editor.address().connect().await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{cookies}\r\n");
    wire.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
    let mut last = 0;
    loop {
        let count = wire.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        read += count;
        last = buffer[count - 1];
    }
    assert!(
        (SIZE..SIZE + 4096).contains(&read),
        "a head and the file: {read}"
    );
    assert_eq!(last, 7);
    let more = most() - before;
    assert!(more < 64 << 20, "{} MiB more than before", more >> 20);
    println!("{} MiB more than before", more >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_private_cluster_are_in_its_directory_unless_older_ones_lie_beside_it() {
    for lies_beside in [false, true] {
        let home = crate::support::postgres::Home::new();
        fs::create_dir(&home.dir).unwrap();
        // The name of its own, or it would be shared with other tests.
        let data_dir = home.dir.join("data");
        let beside = home.dir.join("uploads");
        if lies_beside {
            fs::create_dir(&beside).unwrap();
        }
        let arguments = ["--embedded", "--data-dir", data_dir.to_str().unwrap()];
        let mut command = program(&["serve", "--bind", "127.0.0.1:0"]);
        command.args(arguments);
        let mut server = Running::start(command);
        let account = server.line("sign in as: ").await;
        let base = server.line("listening on ").await;
        let (username, password) = account.split_once(" / ").expect("a name and a password");
        let mut page = Http::new(&base).on_page(&base);
        let body = serde_json::json!({ "username": username, "password": password });
        eventually("the account works", async || {
            page.post("/api/login/").json(&body).send().await.status == 200
        })
        .await;
        add(&mut page, ("a.csv", b"a,b")).await;
        let within = data_dir.join("uploads");
        let (used, unused) = if lies_beside {
            (&beside, &within)
        } else {
            (&within, &beside)
        };
        assert_eq!(super::names_in(used).len(), 1, "{}", used.display());
        assert!(!unused.exists(), "{}", unused.display());

        let mut check = program(&["check"]);
        let said = check.args(arguments).output().await.unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(
            said.contains(&format!("{} can be written", used.display())),
            "{said}"
        );
        let mut sweep = program(&["uploads", "sweep"]);
        let said = sweep.args(arguments).output().await.unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("0 of 1 files can be deleted"), "{said}");
    }
}
