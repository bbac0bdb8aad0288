//! Making an account, signing in and out.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header::ORIGIN};

use super::{
    answer::{Created, Json, WithCookies},
    operation::{Call, Public, Viewer},
    serve::has_session_cookie,
};
use crate::{
    app::App,
    auth::{self, cookies, origin, sessions},
    config::Registration,
    db::users,
    forms::{json, password, registration},
    peer::Peer,
    pg,
    reply::Problem,
};

/// Success.
#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    message: String,
}

impl Message {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Makes an account.
pub(super) async fn register(call: Call<Public>) -> Result<Created<Message>, Problem> {
    let Call {
        app, mut request, ..
    } = call;
    check_origin(&app, &request.headers)?;
    if app.settings.registration == Registration::Closed {
        return Err(Problem::detail(
            StatusCode::FORBIDDEN,
            "Registration is closed.",
        ));
    }
    app.limits.registrations.from_address(&request.peer)?;
    let input = request.input(&app).await?;
    let draft = registration::parse(&input).map_err(Problem::Form)?;
    let taken = match draft.username() {
        None => false,
        Some(name) => {
            app.limits.registrations.for_name(name)?;
            pg::in_time(async { users::is_taken(&*app.pool.client().await?, name).await }).await?
        }
    };
    let form = draft.finish(taken).map_err(Problem::Form)?;
    // Whoever waits for a turn keeps nothing but what is needed then.
    drop(input);
    let asker = app.limits.sign_ins.asker(&request.peer, &form.username);
    let hash = app.auth.hasher.hash(&asker, form.password).await?;
    let user = pg::in_time(async {
        let client = app.pool.client().await?;
        users::insert(
            &client,
            &form.username,
            &form.email,
            &hash,
            app.settings.registration_role,
        )
        .await
    })
    .await?;
    if user.is_none() {
        return Err(Problem::Form(registration::taken()));
    }
    tracing::info!(user = form.username, "user registered");
    Ok(Json::new(&Message::new("User registered successfully")))
}

/// Opens a session. The body is JSON, whatever type it claims to be.
pub(super) async fn login(call: Call<Public>) -> Result<WithCookies<Json<Message>>, Problem> {
    let Call {
        app, mut request, ..
    } = call;
    // Without this, a foreign page could sign its visitor in as somebody else.
    check_origin(&app, &request.headers)?;
    let unread = app.limits.sign_ins.unread(&request.peer)?;
    let body = request.bytes().await?;
    let sent = json::parse(&body).unwrap_or_default();
    let (Some(username), Some(password)) = (text(&sent, "username"), text(&sent, "password"))
    else {
        return Err(WRONG);
    };
    unread.becomes_attempt();
    // Whoever waits for a turn keeps nothing but what is needed then.
    drop((body, sent));
    let Some(user) = auth::verify_password(&app.auth, &request.peer, &username, &password).await?
    else {
        // Not the name: people type passwords there.
        tracing::info!(address = %request.peer.address, "sign-in failed");
        return Err(WRONG);
    };
    // Whatever session the request came with is neither taken over nor ended.
    let Some(token) = pg::in_time(sessions::open(&app.auth, &user)).await? else {
        return Err(WRONG);
    };
    tracing::info!(user = user.username, address = %request.peer.address, "signed in");
    let secure = app.auth.cookie_secure.applies(&request.peer);
    Ok(WithCookies {
        answer: Json::new(&Message::new(format!("Hello {}", user.username))),
        cookies: vec![
            cookies::set_csrf(&sessions::new_token(), secure),
            cookies::set_session(&token, sessions::LIFETIME, secure),
        ],
    })
}

/// Ends the sessions that the request came with, if any.
pub(super) async fn logout(call: Call<Public>) -> Result<WithCookies<Json<Message>>, Problem> {
    let Call { app, request, .. } = call;
    check_origin(&app, &request.headers)?;
    if request.method != Method::GET {
        check_token(&request.headers)?;
    }
    pg::in_time(sessions::close(&app.auth, &request.headers)).await?;
    let mut cookies = Vec::new();
    if has_session_cookie(&request.headers) {
        cookies.push(clear_session(&app, &request.peer));
    }
    Ok(WithCookies {
        answer: Json::new(&Message::new("Logged out successfully")),
        cookies,
    })
}

/// Ends all sessions of whoever asks.
pub(super) async fn logout_everywhere(
    call: Call<Viewer>,
) -> Result<WithCookies<Json<Message>>, Problem> {
    let Call {
        app, who, request, ..
    } = call;
    pg::in_time(sessions::close_all(&app.auth, who.user_id)).await?;
    Ok(WithCookies {
        answer: Json::new(&Message::new("Logged out everywhere")),
        cookies: vec![clear_session(&app, &request.peer)],
    })
}

/// Changes the password of whoever asks and ends their other sessions: whoever knew the old password
/// may have opened one.
pub(super) async fn change_password(call: Call<Viewer>) -> Result<Json<Message>, Problem> {
    let Call {
        app,
        who: Viewer(who),
        mut request,
        ..
    } = call;
    let input = request.input(&app).await?;
    let account =
        pg::in_time(async { users::find(&*app.pool.client().await?, who.user_id).await }).await?;
    let account = account.ok_or_else(|| Problem::Form(password::wrong()))?;
    let change = password::parse(&input, &who.username, &account.email).map_err(Problem::Form)?;
    drop(input);
    let counted = app.limits.password_changes.take(who.user_id)?;
    // A session alone is not enough: it may be somebody else who found the browser open.
    let proved =
        auth::verify_password(&app.auth, &request.peer, &who.username, &change.old).await?;
    let Some(user) = proved.filter(|user| user.id == who.user_id) else {
        // Wrong passwords are counted where they are looked at.
        return Err(Problem::Form(password::wrong()));
    };
    let asker = app.limits.sign_ins.asker(&request.peer, &who.username);
    let hash = app.auth.hasher.hash(&asker, change.new).await?;
    counted.stays();
    let kept = who.session.map(|session| session.id);
    let changed = pg::in_time(async {
        let mut client = app.pool.client().await?;
        users::change_password(&mut client, &user, &hash, kept).await
    })
    .await?;
    if !changed {
        return Err(Problem::Form(password::wrong()));
    }
    Ok(Json::new(&Message::new("Password changed successfully")))
}

fn clear_session(app: &App, peer: &Peer) -> HeaderValue {
    cookies::clear_session(app.auth.cookie_secure.applies(peer))
}

/// Refuses a request that a foreign page sends with its visitor's cookies.
pub(super) fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if origin::allowed(&app.auth, headers) {
        return Ok(());
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Err(refused("The request comes from a page of another site."));
    };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    Err(refused(&format!(
        "Origin checking failed - {origin} does not match any trusted origins."
    )))
}

/// Refuses a request that does not repeat the cookie's token in a header, which only a script that
/// can read the cookie does.
fn check_token(headers: &HeaderMap) -> Result<(), Problem> {
    let sent = headers.get("x-csrftoken");
    let sent = sent.map(HeaderValue::as_bytes).unwrap_or_default();
    // A browser may send several, as with the session's.
    let cookies = cookies::values(headers, cookies::CSRF);
    let cookies: Vec<_> = cookies.filter(|token| !token.is_empty()).collect();
    let Some(last) = cookies.last() else {
        return Err(refused("CSRF cookie not set."));
    };
    match sent {
        b"" => Err(refused("CSRF token missing.")),
        // All come from the request, so there is no secret that timing could give away.
        sent if cookies.contains(&sent) => Ok(()),
        sent if sent.len() != last.len() => Err(refused(
            "CSRF token from the 'X-Csrftoken' HTTP header has incorrect length.",
        )),
        _ => Err(refused(
            "CSRF token from the 'X-Csrftoken' HTTP header incorrect.",
        )),
    }
}

/// What is said whether the name or the password was wrong.
const WRONG: Problem = Problem::Error(StatusCode::BAD_REQUEST, "Invalid credentials");

fn refused(why: &str) -> Problem {
    Problem::detail(StatusCode::FORBIDDEN, format!("CSRF Failed: {why}"))
}

fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name)?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use warp::http::header::COOKIE;

    use super::*;

    #[test]
    fn the_token_must_be_the_cookies() {
        for (cookie, header, is_right) in [
            (Some("csrftoken=abc"), Some("abc"), true),
            (Some("csrftoken=abc; csrftoken=abcd"), Some("abc"), true),
            (Some("csrftoken=abc"), Some("abd"), false),
            (Some("csrftoken=abc"), Some("ab"), false),
            (Some("csrftoken=abc"), None, false),
            (Some("csrftoken="), Some(""), false),
            (None, Some("abc"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(cookie) = cookie {
                headers.insert(COOKIE, HeaderValue::from_static(cookie));
            }
            if let Some(header) = header {
                headers.insert("x-csrftoken", HeaderValue::from_static(header));
            }
            assert_eq!(
                check_token(&headers).is_ok(),
                is_right,
                "{cookie:?} {header:?}"
            );
        }
    }
}
