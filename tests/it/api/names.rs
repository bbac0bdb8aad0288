//! New names: none that looks like one that is there, also when several come at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    client::Http,
    server::{ORIGIN, TestServer},
    sign_in::register,
};

const TAKEN: &str = "A user with that username already exists.";

fn taken() -> Value {
    json!({ "username": [TAKEN], "error": format!("username: {TAKEN}") })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_looks_like_one_that_is_there_is_taken() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    server.visitor("ann").await;
    // Imported ones stay as they are, also those that look alike.
    dba.batch_execute(
        "insert into users (username, password_hash) values ('Zo\u{e9}', '!'), ('ZO\u{c9}', '!'), ('old name', '!')",
    )
    .await
    .unwrap();
    for name in [
        "ann",
        "Ann",
        "ANN",
        " ann ",
        "\u{ff41}\u{ff4e}\u{ff4e}",
        "\u{430}nn",
        "\u{1d41a}nn",
        "zo\u{e9}",
        "ZO\u{c9}",
        "z\u{43e}\u{e9}",
    ] {
        let answer = register(&server.base, name, "Correct-horse-7").await;
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.json(), taken(), "{name}");
    }
    for name in ["anna", "a.nn", "zoe", "Ali", "All"] {
        let answer = register(&server.base, name, "Correct-horse-7").await;
        assert_eq!(answer.status, 201, "{name}: {}", answer.text());
    }
    // Who signs in writes the name as it was given.
    let mut visitor = Http::new(&server.base).on_page(ORIGIN);
    for (name, status) in [("ann", 200), ("Ann", 400), ("ANN", 400)] {
        let body = json!({ "username": name, "password": "Correct-horse-7" });
        let answer = visitor.post("/api/login/").json(&body).send().await;
        assert_eq!(answer.status, status, "{name}");
    }
    // A name that nobody has any more is free; one that somebody was renamed to is not.
    dba.batch_execute("update users set username = 'Bea' where username = 'anna'")
        .await
        .unwrap();
    let answer = register(&server.base, "BEA", "Correct-horse-7").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = register(&server.base, "Anna", "Correct-horse-7").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let sql = "select count(*) from users where username in ('Zo\u{e9}', 'ZO\u{c9}', 'old name')";
    let kept: i64 = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(kept, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_names_that_look_alike_and_come_at_once_one_is_given() {
    let (server, database) = TestServer::start().await;
    let other = TestServer::on(&database.url, &[]).await;
    let names = [
        "bob",
        "Bob",
        "BOB",
        "b\u{43e}b",
        "\u{ff42}ob",
        "bOb",
        "b\u{3bf}b",
        "BoB",
    ];
    let answers = join_all(names.iter().enumerate().map(|(n, name)| {
        let base = [&server.base, &other.base][n % 2];
        async move { register(base, name, "Correct-horse-7").await }
    }))
    .await;
    let given = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(given, 1);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, refused.json()), (400, taken()));
    }
    let dba = database.connect().await;
    let users = dba.query("select from users", &[]).await.unwrap();
    assert_eq!(users.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_is_long_and_neither_a_name_of_the_user_nor_a_common_one() {
    let (server, database) = TestServer::start().await;
    for password in [
        "1",
        "short-7",
        "password",
        "PASSWORD1",
        "Jane-Doe",
        "jane@example.com",
    ] {
        let answer = register(&server.base, "jane-doe", password).await;
        assert_eq!(answer.status, 400, "{password}");
        let told = answer.json();
        assert!(told["password"][0].is_string(), "{password}: {told}");
        assert_eq!(told.get("confirm_password"), None, "{password}: {told}");
    }
    // One that was brought here stays, and may be changed into a better one only.
    let mut ann = server.visitor("ann").await;
    let dba = database.connect().await;
    let sql = "update users set password_hash = $1, email = 'jane.doe7@example.com'";
    let weak = marketplace::auth::password::hash("1");
    dba.execute(sql, &[&weak]).await.unwrap();
    let body = json!({ "username": "ann", "password": "1" });
    assert_eq!(ann.post("/api/login/").json(&body).send().await.status, 200);
    for (password, status) in [
        ("2", 400),
        ("Password1", 400),
        ("ann", 400),
        ("Jane.Doe7", 400),
        ("jane.doe7@Example.com", 400),
        ("Staple-88", 200),
    ] {
        let body = json!({ "old_password": "1", "new_password": password });
        let answer = ann.post("/api/password/").json(&body).send().await;
        assert_eq!(answer.status, status, "{password}: {}", answer.text());
    }
}
