//! Signing in, as a browser does: register, log in, keep the cookie.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Result;

/// Makes an account and signs it in; gives the session's cookie as it is sent back.
pub(crate) async fn sign_in(server: SocketAddr) -> Result<String> {
    let credentials = r#""username":"bench","password":"S3cret-pass!""#;
    let account = format!(r#"{{{credentials},"email":"","confirm_password":"S3cret-pass!"}}"#);
    let registered = post(server, "/api/register/", &account).await?;
    // It is there already when another server of the same database was asked before.
    if !registered.starts_with("HTTP/1.1 201 ") && !registered.contains("exists") {
        return Err(format!("registering failed: {registered}").into());
    }
    let answer = post(server, "/api/login/", &format!("{{{credentials}}}")).await?;
    let cookies = answer.lines().filter_map(|line| line.split_once(": "));
    let mut cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let session = cookies.find_map(|(_, value)| {
        value
            .split(';')
            .next()
            .filter(|v| v.starts_with("sessionid="))
    });
    Ok(session
        .ok_or_else(|| format!("signing in failed: {answer}"))?
        .to_owned())
}

/// Asks for a page and gives the whole answer as text.
pub(crate) async fn get(server: SocketAddr, path: &str) -> Result<String> {
    ask(
        server,
        format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"),
    )
    .await
}

async fn post(server: SocketAddr, path: &str, body: &str) -> Result<String> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(server, request).await
}

async fn ask(server: SocketAddr, request: String) -> Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
