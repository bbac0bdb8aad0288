//! Sessions and passwords: what a sign-in gives, what ends it, and what the cookies say.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    client::{Http, Response, Socket},
    observe::blocked,
    server::{ORIGIN, SOON, TestServer, open},
    sign_in::basic,
};

const PASSWORD: &str = "Correct-horse-7";
const NEW_PASSWORD: &str = "Battery-staple-8";

async fn log_in(visitor: &mut Http, name: &str, password: &str) -> Response {
    let body = json!({ "username": name, "password": password });
    visitor.post("/api/login/").json(&body).send().await
}

async fn change_password(visitor: &mut Http, old: &str, new: &str) -> Response {
    let body = json!({ "old_password": old, "new_password": new });
    visitor.post("/api/password/").json(&body).send().await
}

/// The status of a reading request.
async fn read(visitor: &mut Http) -> u16 {
    visitor.get("/api/read-source/").send().await.status
}

async fn read_with_password(base: &str, name: &str, password: &str) -> u16 {
    let mut visitor = Http::new(base);
    let call = visitor.get("/api/read-source/");
    let basic = basic(name, password);
    call.header("Authorization", &basic).send().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sign_in_gives_a_session_of_its_own_and_takes_none_over() {
    let (server, _database) = TestServer::start().await;
    let mut first = server.visitor("ann").await;
    let token = first.cookie("sessionid").unwrap().to_owned();

    // What somebody else planted in the browser, be it made up or a real session of theirs.
    let planted = server.visitor("mallory").await;
    let theirs = planted.cookie("sessionid").unwrap().to_owned();
    for planted in [&theirs, &"a".repeat(64), "", &token] {
        let mut victim = Http::new(&server.base).on_page(ORIGIN);
        let body = json!({ "username": "ann", "password": PASSWORD });
        let call = victim.post("/api/login/").json(&body);
        let call = call.header("Cookie", &format!("sessionid={planted}"));
        assert_eq!(call.send().await.status, 200);
        let given = victim.cookie("sessionid").unwrap();
        assert_ne!(given, planted);
        assert_ne!(given, token);
        assert_eq!(read(&mut victim).await, 200);
    }
    let mut attacker = Http::new(&server.base);
    for (planted, status) in [(theirs, 200), ("a".repeat(64), 403)] {
        let call = attacker.get("/api/read-source/");
        let call = call.header("Cookie", &format!("sessionid={planted}"));
        assert_eq!(call.send().await.status, status);
    }
    // The page signs in twice in a row, and its sockets may be opened with either.
    assert_eq!(
        read(&mut first).await,
        200,
        "a later sign-in ends no session"
    );
    open(&first, "/ws/read_source/").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_kept_off_plain_http_when_they_came_by_https() {
    let database = crate::support::server::database().await;
    let trusting = ["--trusted-proxies", "10.0.0.0/8,127.0.0.1"];
    for (settings, proto, secure) in [
        (&[][..], None, false),
        // Anybody can say so; only a proxy that is known is believed.
        (&[], Some("https"), false),
        (&trusting, None, false),
        (&trusting, Some("http"), false),
        (&trusting, Some("https"), true),
        (&["--cookie-secure", "always"], None, true),
        (
            &["--cookie-secure", "never", trusting[0], trusting[1]],
            Some("https"),
            false,
        ),
    ] {
        let server = TestServer::on(&database.url, settings).await;
        let mut visitor = Http::new(&server.base).on_page(ORIGIN);
        let body = json!({
            "username": "ann", "password": PASSWORD, "confirm_password": PASSWORD,
        });
        visitor.post("/api/register/").json(&body).send().await;
        let mut lines = Vec::new();
        for (method, path) in [
            ("POST", "/api/login/"),
            ("GET", "/api/logout/"),
            ("POST", "/api/login/"),
            ("POST", "/api/logout-everywhere/"),
        ] {
            let call = visitor.call(method, path).json(&body);
            let answer = match proto {
                Some(proto) => call.header("X-Forwarded-Proto", proto).send().await,
                None => call.send().await,
            };
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let cookies = answer
                .headers
                .iter()
                .filter(|(name, _)| name == "set-cookie");
            lines.extend(cookies.map(|(_, value)| value.clone()));
        }
        assert_eq!(lines.len(), 6, "{lines:?}");
        for line in lines {
            assert_eq!(
                line.ends_with("; Secure"),
                secure,
                "{settings:?} {proto:?}: {line}"
            );
            assert!(line.contains("SameSite=Lax"), "{line}");
            let is_given_session = line.starts_with("sessionid=") && !line.contains("Max-Age=0");
            assert_eq!(line.contains("HttpOnly"), is_given_session, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_everywhere_ends_all_sessions_and_sockets_on_every_node() {
    let (one, database) = TestServer::start().await;
    let other = TestServer::on(&database.url, &[]).await;
    let mut visitor = one.visitor("ann").await;
    let bystander = one.visitor("bob").await;
    let mut elsewhere = Http::new(&other.base).on_page(ORIGIN);
    for with_password in [false, true] {
        one.sign_in(&mut visitor, "ann").await;
        other.sign_in(&mut elsewhere, "ann").await;
        let mut sockets = [
            open(&visitor, "/ws/read_source/").await,
            open(&elsewhere, "/ws/source/").await,
            open_with_password(&other, "ann", PASSWORD).await,
        ];
        let untouched = open(&bystander, "/ws/source/").await;

        // A page of somebody else's may not do it, and looking does not.
        let mut foreign = Http::new(&one.base)
            .on_page("http://evil.example")
            .with_cookies_of(&visitor);
        let refused = foreign.post("/api/logout-everywhere/").send().await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        let looked = visitor.get("/api/logout-everywhere/").send().await;
        assert_eq!(looked.status, 405, "{}", looked.text());
        assert_eq!(read(&mut elsewhere).await, 200);

        let answer = if with_password {
            let mut script = Http::new(&one.base);
            let call = script.post("/api/logout-everywhere/");
            call.header("Authorization", &basic("ann", PASSWORD))
                .send()
                .await
        } else {
            visitor.post("/api/logout-everywhere/").send().await
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(visitor.cookie("sessionid").is_some(), with_password);
        for socket in &mut sockets {
            // Deleted rows of sessions are told within a second: see the tests of faults.
            assert_eq!(socket.closed_within(SOON).await.code, 1008);
        }
        assert_eq!(read(&mut visitor).await, 403);
        assert_eq!(read(&mut elsewhere).await, 403);
        assert_eq!(untouched.closed(), None, "somebody else's");
    }
    let nobody = visitor.post("/api/logout-everywhere/").send().await;
    assert_eq!(nobody.status, 403, "{}", nobody.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_password_ends_the_other_sessions_and_keeps_this_one() {
    let (one, database) = TestServer::start().await;
    let other = TestServer::on(&database.url, &[]).await;
    let mut visitor = one.visitor("ann").await;
    let bystander = one.visitor("bob").await;
    let mut thief = Http::new(&other.base).on_page(ORIGIN);
    other.sign_in(&mut thief, "ann").await;
    let own = open(&visitor, "/ws/source/").await;
    let untouched = open(&bystander, "/ws/source/").await;
    let mut stolen = open(&thief, "/ws/read_source/").await;
    let mut known = open_with_password(&other, "ann", PASSWORD).await;
    // So that it is remembered.
    assert_eq!(read_with_password(&other.base, "ann", PASSWORD).await, 200);

    // A thief who has no more than the session gets no further.
    let wrong = change_password(&mut thief, "guessed", NEW_PASSWORD).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(
        wrong.json(),
        json!({ "old_password": ["Wrong password."], "error": "old password: Wrong password." })
    );
    let blank = change_password(&mut visitor, PASSWORD, " ").await;
    assert_eq!(blank.status, 400);
    assert_eq!(
        blank.json()["new_password"],
        json!(["This field may not be blank."])
    );
    let mut nobody = Http::new(&one.base).on_page(ORIGIN);
    assert_eq!(
        change_password(&mut nobody, PASSWORD, NEW_PASSWORD)
            .await
            .status,
        403
    );
    let mut foreign = Http::new(&one.base)
        .on_page("http://evil.example")
        .with_cookies_of(&visitor);
    assert_eq!(
        change_password(&mut foreign, PASSWORD, NEW_PASSWORD)
            .await
            .status,
        403
    );
    assert_eq!(
        read_with_password(&other.base, "ann", PASSWORD).await,
        200,
        "nothing was changed"
    );
    assert_eq!(
        (stolen.closed(), known.closed()),
        (None, None),
        "nothing was ended"
    );

    let changed = change_password(&mut visitor, PASSWORD, NEW_PASSWORD).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    // At once, although it was right a moment ago.
    assert_eq!(read_with_password(&other.base, "ann", PASSWORD).await, 403);
    assert_eq!(
        read_with_password(&other.base, "ann", NEW_PASSWORD).await,
        200
    );
    assert_eq!(log_in(&mut nobody, "ann", PASSWORD).await.status, 400);
    assert_eq!(stolen.closed_within(SOON).await.code, 1008);
    assert_eq!(known.closed_within(SOON).await.code, 1008);
    assert_eq!(read(&mut thief).await, 403);
    assert_eq!(read(&mut visitor).await, 200, "this session is kept");
    assert_eq!((own.closed(), untouched.closed()), (None, None));
    assert!(Socket::open(&thief, "/ws/read_source/").await.is_err());

    // With a password instead of a session there is none to keep.
    let mut script = Http::new(&one.base);
    let body = json!({ "old_password": NEW_PASSWORD, "new_password": PASSWORD });
    let call = script.post("/api/password/").json(&body);
    let call = call.header("Authorization", &basic("ann", NEW_PASSWORD));
    assert_eq!(call.send().await.status, 200);
    assert_eq!(read(&mut visitor).await, 403);
    assert_eq!(log_in(&mut visitor, "ann", PASSWORD).await.status, 200);
}

/// A socket of somebody who sends a name and a password instead of a cookie.
async fn open_with_password(server: &TestServer, name: &str, password: &str) -> Socket {
    let script = Http::new(&server.base);
    let headers = vec![("Authorization".to_owned(), basic(name, password))];
    Socket::connect(script.address(), "/ws/source/", headers)
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_of_the_old_password_survives_a_change_that_is_under_way() {
    let (server, database) = TestServer::start().await;
    let mut visitor = server.visitor("ann").await;
    let (dba, observer) = (database.connect().await, database.connect().await);

    // The change has been made but not committed when somebody signs in with the old password.
    dba.batch_execute(
        "begin; update users set password_hash = password_hash || 'x' where username = 'ann';
         delete from sessions",
    )
    .await
    .unwrap();
    let mut thief = Http::new(&server.base).on_page(ORIGIN);
    let signing_in = tokio::spawn(async move { log_in(&mut thief, "ann", PASSWORD).await });
    blocked(&observer).await;
    dba.batch_execute("commit").await.unwrap();
    let answer = signing_in.await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    let sessions = observer.query("select 1 from sessions", &[]).await.unwrap();
    assert_eq!(sessions.len(), 0);

    // Somebody has signed in but that is not committed when the password is changed.
    dba.batch_execute("update users set password_hash = rtrim(password_hash, 'x')")
        .await
        .unwrap();
    assert_eq!(log_in(&mut visitor, "ann", PASSWORD).await.status, 200);
    dba.batch_execute(
        "begin; insert into sessions (user_id, token_hash, expires_at)
         select id, sha256('a'), clock_timestamp() + interval '1 hour' from users for share",
    )
    .await
    .unwrap();
    let mut changing = visitor.clone();
    let changing =
        tokio::spawn(async move { change_password(&mut changing, PASSWORD, NEW_PASSWORD).await });
    blocked(&observer).await;
    dba.batch_execute("commit").await.unwrap();
    let answer = changing.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let left = observer
        .query("select token_hash = sha256('a') from sessions", &[])
        .await
        .unwrap();
    assert_eq!(left.len(), 1, "only the one that changed it");
    assert!(!left[0].get::<_, bool>(0));
    assert_eq!(read(&mut visitor).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_cookies_never_matter_and_any_good_session_is_taken() {
    let (server, _database) = TestServer::start().await;
    let visitor = server.visitor("ann").await;
    let good = visitor.cookie("sessionid").unwrap().to_owned();
    let stale = "p".repeat(64);
    let many = format!("sessionid={stale}; ").repeat(20);
    for cookies in [
        format!("greeting=h\u{e9}llo; sessionid={good}"),
        format!("sessionid={good}; greeting=\u{1f600}"),
        format!("sessionid=\"{good}\""),
        format!("sessionid={stale}; sessionid={good}"),
        format!("sessionid={good}; sessionid={stale}"),
        format!("sessionid={good}; sessionid=h\u{e9}llo; sessionid="),
        format!("{many}sessionid={good}; {many}"),
    ] {
        let mut browser = Http::new(&server.base).on_page(ORIGIN);
        let call = browser.get("/api/read-source/").header("Cookie", &cookies);
        let answer = call.send().await;
        assert_eq!(answer.status, 200, "{cookies}: {}", answer.text());
        assert_eq!(
            answer.header("set-cookie"),
            None,
            "the good one is kept: {cookies}"
        );
        if cookies.is_ascii() {
            let headers = [("Cookie", cookies.as_str()), ("Origin", ORIGIN)];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let socket =
                Socket::connect(browser.address(), "/ws/read_source/", headers.into()).await;
            assert!(socket.is_ok(), "{cookies}: {socket:?}");
        }
    }
    let mut browser = Http::new(&server.base);
    let call = browser.get("/api/read-source/");
    let answer = call
        .header("Cookie", &format!("sessionid={stale}"))
        .send()
        .await;
    assert_eq!(answer.status, 403);
    let cleared = answer.header("set-cookie").expect("nothing good was sent");
    assert!(cleared.contains("Max-Age=0"), "{cleared}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_every_session_that_was_sent() {
    let (server, database) = TestServer::start().await;
    let mut first = server.visitor("ann").await;
    let mut second = server.visitor("bob").await;
    let mut third = server.visitor("cid").await;
    let cookies =
        [&first, &second].map(|it| format!("sessionid={}", it.cookie("sessionid").unwrap()));
    let mut browser = Http::new(&server.base).on_page(ORIGIN);
    let call = browser
        .get("/api/logout/")
        .header("Cookie", &cookies.join("; "));
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(read(&mut first).await, 403);
    assert_eq!(read(&mut second).await, 403);
    assert_eq!(read(&mut third).await, 200);
    let dba = database.connect().await;
    let left = dba.query("select from sessions", &[]).await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_link_and_no_image_of_another_site_signs_anybody_out() {
    const SITE: &str = "Sec-Fetch-Site";
    let (server, _database) = TestServer::start().await;
    let visitor = server.visitor("ann").await;
    let own = server.base.as_str();
    let [own_page, frontend] = [own, ORIGIN].map(|origin| format!("{origin}/page?a=/b"));
    let evil = "http://evil.example/page";
    for (headers, is_let_in) in [
        (&[(SITE, "cross-site")][..], false),
        // Another port or subdomain.
        (&[(SITE, "same-site")], false),
        (
            &[(SITE, "cross-site"), ("Origin", "http://evil.example")],
            false,
        ),
        (&[(SITE, "cross-site"), ("Origin", "null")], false),
        (&[(SITE, "cross-site"), ("Referer", &own_page)], false),
        (&[(SITE, "same-site"), ("Origin", ORIGIN)], true),
        (&[(SITE, "same-origin"), ("Origin", own)], true),
        (&[(SITE, "same-origin")], true),
        (&[(SITE, "none")], true),
        // A browser that sends no such header, as over plain HTTP.
        (&[("Origin", "http://evil.example")], false),
        (&[("Origin", ORIGIN), ("Referer", evil)], true),
        (&[("Referer", evil)], false),
        (&[("Referer", &frontend)], true),
        (&[("Referer", &own_page)], true),
        (&[], true),
    ] {
        let mut browser = Http::new(&server.base).on_page(ORIGIN);
        server.sign_in(&mut browser, "ann").await;
        let mut page = Http::new(&server.base).with_cookies_of(&browser);
        for path in ["/api/logout/", "/api/logout"] {
            let mut call = page.get(path);
            for (name, value) in headers {
                call = call.header(name, value);
            }
            let answer = call.send().await;
            assert_eq!(
                answer.status == 200,
                is_let_in,
                "{headers:?}: {}",
                answer.text()
            );
            assert!([200, 403].contains(&answer.status), "{}", answer.text());
        }
        assert_eq!(read(&mut browser).await, if is_let_in { 403 } else { 200 });
    }
    // Nor does a form of another site change anything, should a browser send no origin with it.
    let mut page = Http::new(&server.base).with_cookies_of(&visitor);
    for path in [
        "/api/add-demo/",
        "/api/logout-everywhere/",
        "/api/login/",
        "/api/register/",
    ] {
        for (name, value) in [(SITE, "cross-site"), ("Referer", evil)] {
            let call = page.post(path).header(name, value);
            assert_eq!(call.send().await.status, 403, "{path} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_hashes_are_imported_every_wrong_sign_in_takes_as_long() {
    use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};

    let (server, database) = TestServer::start().await;
    server.visitor("own").await;
    let dba = database.connect().await;
    let params = Params::new(1024, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let other = argon2
        .hash_password(PASSWORD.as_bytes())
        .unwrap()
        .to_string();
    let pbkdf2 = "pbkdf2_sha256$1000$salt$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=";
    let costly = "pbkdf2_sha256$4000000000$salt$qYA1X4WIB2oX59pFrsdIC83YgHqMSQj8aYzRpWI5mlU=";
    let sql = "insert into users (username, password_hash, is_active) values ($1, $2, $3)";
    for (name, hash, is_active) in [
        ("argon2", other.as_str(), true),
        ("pbkdf2", pbkdf2, true),
        ("costly", costly, true),
        ("unusable", "!", true),
        ("disabled", pbkdf2, false),
    ] {
        dba.execute(sql, &[&name, &hash, &is_active]).await.unwrap();
    }
    let names = [
        "own", "argon2", "pbkdf2", "costly", "unusable", "disabled", "nobody", "nul\0",
    ];
    let mut visitor = Http::new(&server.base).on_page(ORIGIN);
    for name in names {
        // Only that none is faster: what is slower is the machine.
        let began = Instant::now();
        let answer = log_in(&mut visitor, name, "wrong").await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(
            began.elapsed() >= Duration::from_secs(1),
            "{name}: {:?}",
            began.elapsed()
        );
        let began = Instant::now();
        assert_eq!(read_with_password(&server.base, name, "wrong").await, 403);
        assert!(
            began.elapsed() >= Duration::from_secs(1),
            "{name}: {:?}",
            began.elapsed()
        );
    }
    // A right one makes a hash of this program's own.
    assert_eq!(log_in(&mut visitor, "argon2", PASSWORD).await.status, 200);
    let sql = "select password_hash from users where username = 'argon2'";
    let renewed: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    assert!(renewed.starts_with(marketplace::hashes::OWN), "{renewed}");
    assert_eq!(log_in(&mut visitor, "argon2", PASSWORD).await.status, 200);
}
