//! Clients that are a burden: what the server holds for them, and what others notice of it. All
//! figures are taken from outside the process; the server has its limits as by default, except where
//! every attempt must count.

use std::{net::SocketAddr, time::Instant};

use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    report::Line,
    servers::Server,
    session,
    stats::{figure, median, ms, percentile},
};

const LIMITED: (&str, &str) = ("RATE_LIMITS", "on");
const LIST: &str = "/api/read-source/";

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let mut lines = vec![sign_ins(options, cluster).await?];
    lines.push(silent(options, cluster).await?);
    lines.extend(lists(options, cluster).await?);
    lines.push(password_changes(options, cluster).await?);
    lines.push(handshakes(options, cluster).await?);
    Ok(lines)
}

/// Wrong passwords, many at once.
async fn sign_ins(options: Options, cluster: &Throwaway) -> Result<Line> {
    const AT_ONCE: usize = 60;
    let database = Database::new(cluster, "abuse_sign_ins").await?;
    let server = Server::product(database.url()).await?;
    let before = server.memory()?.resident;
    let count = options.pick(1_000, 60);
    let answers = stream::iter(0..count).map(|n| {
        let body = format!(r#"{{"username":"somebody {n}","password":"wrong"}}"#);
        let address = server.address;
        async move { session::post(address, "/api/login/", &body, None).await }
    });
    let mut answers = answers.buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        if !answer?.starts_with("HTTP/1.1 400 ") {
            return Err("a wrong password was not refused as such".into());
        }
    }
    drop(answers);
    let grown = server.memory()?.resident.saturating_sub(before);
    server.stop().await?;
    let what = format!("{count} wrong sign-ins, {AT_ONCE} at once: resident memory that stays");
    Ok(Line::new(what, "MB", megabytes(grown)).at_most(64.0))
}

/// As many connections of one address as there are places, with nothing sent on them.
async fn silent(options: Options, cluster: &Throwaway) -> Result<Line> {
    let database = Database::new(cluster, "abuse_silent").await?;
    let count = options.pick(4_000, 80);
    let places = count.to_string();
    let variables = [LIMITED, ("MAX_CONNECTIONS", places.as_str())];
    let server = Server::product_with(database.url(), &variables).await?;
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(connect_from([127, 0, 0, 2], server.address).await?);
    }
    let mut refused = 0;
    for _ in 0..200 {
        let mut other = connect_from([127, 0, 0, 3], server.address).await?;
        let answer = ask(&mut other, &get("/healthz", server.address, None)).await?;
        refused += u64::from(!answer.starts_with("HTTP/1.1 200 "));
    }
    drop(silent);
    server.stop().await?;
    let what = format!("{count} silent connections of one address: others refused, of 200");
    Ok(Line::new(what, "", figure(refused)).at_most(0.0))
}

/// One viewer who asks for the list on a hundred connections, and another.
async fn lists(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    const CONNECTIONS: usize = 100;
    let database = Database::new(cluster, "abuse_lists").await?;
    let rows = options.pick(5_000, 200);
    database.fill(rows).await?;
    let server = Server::product_with(database.url(), &[LIMITED]).await?;
    let viewer = session::sign_in_as(server.address, "viewer").await?;
    let other = session::sign_in_as(server.address, "other").await?;
    let before = server.memory()?.resident;
    let mut unread = Vec::new();
    for n in 0..CONNECTIONS {
        // Each list is another one.
        let sql = "update sources set panel = $1 where id = (select id from sources limit 1)";
        let panel = format!("panel {n}");
        database.client.execute(sql, &[&panel]).await?;
        let mut stream = TcpStream::connect(server.address).await?;
        let request = get(LIST, server.address, Some(&viewer));
        stream.write_all(request.as_bytes()).await?;
        unread.push(stream);
    }
    // All are answered: with the list, or that there are too many.
    for stream in &unread {
        stream.readable().await?;
    }
    let grown = server.memory()?.resident.saturating_sub(before);
    drop(unread);

    let (mut quiet, mut busy) = (Requests::default(), Requests::default());
    // In turns, so that what else the machine does is in both.
    for _ in 0..options.pick(5, 1) {
        quiet.make(&server, &other, options.pick(100, 10)).await?;
        let mut crowd = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (address, viewer) = (server.address, viewer.clone());
            crowd.spawn(async move {
                loop {
                    // What it gets is its own affair.
                    let _ = read_list(address, &viewer).await;
                }
            });
        }
        busy.make(&server, &other, options.pick(100, 10)).await?;
        crowd.shutdown().await;
    }
    server.stop().await?;
    let what = format!("{CONNECTIONS} connections of one viewer at {LIST}, {rows} rows");
    let mut lines = vec![
        Line::new(
            format!("{what}: resident memory for answers that are not read"),
            "MB",
            megabytes(grown),
        )
        .at_most(32.0),
    ];
    for (path, busy, quiet) in [
        ("the same", &busy.lists, &quiet.lists),
        ("/api/me/", &busy.others, &quiet.others),
    ] {
        let line = |percent| {
            let what = format!("{what}: another's request for {path}, p{percent}");
            let value = percentile(busy, percent);
            Line::new(what, "ms", value).beside(percentile(quiet, percent))
        };
        lines.extend([line(50.0), line(99.0).at_most_times(2.0)]);
    }
    Ok(lines)
}

/// How long another's requests took, in ms.
#[derive(Default)]
struct Requests {
    lists: Vec<f64>,
    others: Vec<f64>,
}

impl Requests {
    async fn make(&mut self, server: &Server, cookie: &str, count: usize) -> Result<()> {
        self.lists.extend(times(server, LIST, cookie, count).await?);
        let others = times(server, "/api/me/", cookie, count).await?;
        self.others.extend(others);
        Ok(())
    }
}

/// One user who changes the password, rightly, again and again.
async fn password_changes(options: Options, cluster: &Throwaway) -> Result<Line> {
    let database = Database::new(cluster, "abuse_changes").await?;
    let server = Server::product_with(database.url(), &[LIMITED]).await?;
    let (rounds, changes) = (options.pick(7, 1), options.pick(120, 12));
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Of each account the first sign-in is timed: what was right a moment ago is not hashed again.
        let names = [format!("first{round}"), format!("second{round}")];
        for name in &names {
            session::register(server.address, name).await?;
        }
        quiet.push(sign_in_time(server.address, &names[0]).await?);
        let user = session::sign_in_as(server.address, &format!("user{round}")).await?;
        let mut crowd = JoinSet::new();
        for _ in 0..changes {
            let (address, user) = (server.address, user.clone());
            crowd.spawn(async move {
                let password = session::PASSWORD;
                let body =
                    format!(r#"{{"old_password":"{password}","new_password":"{password}"}}"#);
                let _ = session::post(address, "/api/password/", &body, Some(&user)).await;
            });
        }
        busy.push(sign_in_time(server.address, &names[1]).await?);
        crowd.join_all().await;
    }
    server.stop().await?;
    let what = format!("{changes} changes of a password at once: another's first sign-in");
    Ok(Line::new(what, "ms", median(&busy))
        .beside(median(&quiet))
        .at_most(1_000.0))
}

/// Handshakes with a right password that are refused for something else.
async fn handshakes(options: Options, cluster: &Throwaway) -> Result<Line> {
    let database = Database::new(cluster, "abuse_handshakes").await?;
    let server = Server::product_with(database.url(), &[LIMITED]).await?;
    session::sign_in_as(server.address, "user").await?;
    let count = options.pick(200, 20);
    let before = sessions(&database).await?;
    for _ in 0..count {
        let mut stream = TcpStream::connect(server.address).await?;
        // `user` and the password.
        let request = format!(
            "GET /ws/read_source/ HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Basic dXNlcjpTM2NyZXQtcGFzcyEh\r\n\r\n",
            server.address
        );
        let answer = ask(&mut stream, &request).await?;
        if !answer.starts_with("HTTP/1.1 426 ") {
            return Err(format!("the handshake was not refused as meant: {answer}").into());
        }
    }
    let left = sessions(&database).await? - before;
    server.stop().await?;
    let what = format!("{count} refused handshakes with a password: sessions left behind");
    Ok(Line::new(what, "", figure(u64::try_from(left)?)).at_most(0.0))
}

async fn sessions(database: &Database) -> Result<i64> {
    let row = database
        .client
        .query_one("select count(*) as count from sessions", &[])
        .await?;
    Ok(row.try_get("count")?)
}

/// How long so many requests took, one after another, in ms.
async fn times(server: &Server, path: &str, cookie: &str, count: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let answer = session::get_with(server.address, path, cookie).await?;
        times.push(ms(started.elapsed()));
        if !answer.starts_with("HTTP/1.1 200 ") {
            let head: String = answer.chars().take(300).collect();
            return Err(format!("{path} was not answered: {head}").into());
        }
    }
    Ok(times)
}

async fn sign_in_time(address: SocketAddr, name: &str) -> Result<f64> {
    let started = Instant::now();
    session::sign_in_again(address, name).await?;
    Ok(ms(started.elapsed()))
}

/// Reads the whole list and throws it away.
async fn read_list(address: SocketAddr, cookie: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = get(LIST, address, Some(cookie));
    stream.write_all(request.as_bytes()).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn connect_from(own: [u8; 4], address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((own, 0)))?;
    Ok(socket.connect(address).await?)
}

async fn ask(stream: &mut TcpStream, request: &str) -> Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(String::from_utf8_lossy(&head).into_owned() + " ")
}

fn get(path: &str, address: SocketAddr, cookie: Option<&str>) -> String {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{cookie}\r\n")
}

fn megabytes(bytes: u64) -> f64 {
    figure(bytes) / 1e6
}
