//! Signing in, as a browser does: register, log in, keep the cookie.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::Result;

/// What everybody has.
pub(crate) const PASSWORD: &str = "S3cret-pass!!";

/// Makes an account and signs it in; gives the session's cookie as it is sent back.
pub(crate) async fn sign_in(server: SocketAddr) -> Result<String> {
    sign_in_as(server, "bench").await
}

/// The same for an account of that name.
pub(crate) async fn sign_in_as(server: SocketAddr, name: &str) -> Result<String> {
    register(server, name).await?;
    sign_in_again(server, name).await
}

/// Makes an account.
pub(crate) async fn register(server: SocketAddr, name: &str) -> Result<()> {
    let account = format!(
        r#"{{"username":"{name}","password":"{PASSWORD}","email":"","confirm_password":"{PASSWORD}"}}"#
    );
    let registered = post(server, "/api/register/", &account, None).await?;
    // It is there already when another server of the same database was asked before.
    if !registered.starts_with("HTTP/1.1 201 ") && !registered.contains("exists") {
        return Err(format!("registering failed: {registered}").into());
    }
    Ok(())
}

/// Signs in an account that is there.
pub(crate) async fn sign_in_again(server: SocketAddr, name: &str) -> Result<String> {
    let credentials = format!(r#"{{"username":"{name}","password":"{PASSWORD}"}}"#);
    let answer = post(server, "/api/login/", &credentials, None).await?;
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

/// The same as somebody who has signed in.
pub(crate) async fn get_with(server: SocketAddr, path: &str, cookie: &str) -> Result<String> {
    ask(
        server,
        format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
        ),
    )
    .await
}

/// Sends JSON, as somebody who has signed in or not, and gives the whole answer as text.
pub(crate) async fn post(
    server: SocketAddr,
    path: &str,
    body: &str,
    cookie: Option<&str>,
) -> Result<String> {
    let cookie = cookie.map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{cookie}\
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
