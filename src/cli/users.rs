//! `marketplace users`: people and what they may do, from the command line. What open sockets and
//! sessions make of it they learn from the table, on every node; nothing here tells them.

use jiff::tz::TimeZone;

use super::{say, secret, target};
use crate::{
    auth::password,
    config::users::{Action, PasswordFrom, Users},
    db::{
        sessions,
        users::{self, Account, Change, Role, User},
    },
    error::{Error, Result},
    forms::{Errors, registration},
    local_time::InZone,
    pg::{Pool, PooledClient, dsn::Dsn},
};

/// Does what the command line says.
///
/// # Errors
/// [`Error::Config`] when no database is named, [`Error::Unavailable`] when it does not answer,
/// [`Error::Start`] with a sentence when what was asked for cannot be done.
pub async fn run(command: Users) -> Result<()> {
    let Users { target, action } = command;
    let zone = &target.database.time_zone.rules;
    target::visit(&target, async |url: &Dsn| act(url, action, zone).await).await
}

async fn act(database: &Dsn, action: Action, zone: &TimeZone) -> Result<()> {
    let pool = Pool::new(&database.clone().named("marketplace users"), 1)?;
    let mut client = pool.client().await?;
    match action {
        Action::Add {
            name,
            email,
            role,
            admin,
            password,
        } => {
            let role = if admin { Role::Admin } else { role };
            add(&client, &name, &email, role, &password).await
        }
        Action::List { json: true } => list_json(&client, zone).await,
        Action::List { json: false } => list(&client).await,
        Action::Role { name, role } => {
            let to = Change {
                role: Some(role),
                ..Change::default()
            };
            change(&mut client, &name, to, &format!("is {role} now")).await
        }
        Action::Password { name, password } => set_password(&client, &name, &password).await,
        Action::Disable { name } => change(&mut client, &name, active(false), "is disabled").await,
        Action::Enable { name } => change(&mut client, &name, active(true), "is enabled").await,
    }
}

async fn add(
    client: &PooledClient,
    name: &str,
    email: &str,
    role: Role,
    password: &PasswordFrom,
) -> Result<()> {
    let is_taken = users::is_taken(client, name).await?;
    // A name that cannot be had is said before a password is asked for.
    registration::check_name(name, email, is_taken).map_err(|errors| refused(&errors))?;
    let password = secret::read(password.password_file.as_deref()).await?;
    let form =
        registration::new(name, email, &password, false).map_err(|errors| refused(&errors))?;
    let hash = password::hash(&form.password);
    users::insert(client, &form.username, &form.email, &hash, role)
        .await?
        .ok_or_else(|| refused(&registration::taken()))?;
    say(&format!("{} was added as {role}", form.username))
}

async fn set_password(client: &PooledClient, name: &str, password: &PasswordFrom) -> Result<()> {
    let user = named(client, name).await?;
    let account = users::find(client, user.id)
        .await?
        .ok_or_else(|| nobody(name))?;
    let password = secret::read(password.password_file.as_deref()).await?;
    let password = registration::new_password(name, &account.email, &password)
        .map_err(|errors| refused(&errors))?;
    let hash = password::hash(&password);
    users::set_password_hash(client, user.id, &hash).await?;
    // Afterwards, or somebody could still open one with the old password in between.
    sessions::delete_of_user(client, user.id).await?;
    say(&format!(
        "the password of {name} was changed, and every session ended"
    ))
}

async fn change(client: &mut PooledClient, name: &str, to: Change, done: &str) -> Result<()> {
    let user = named(client, name).await?;
    users::change(client, user.id, to)
        .await?
        .ok_or_else(|| nobody(name))?;
    say(&format!("{name} {done}"))
}

fn active(is_active: bool) -> Change {
    Change {
        is_active: Some(is_active),
        ..Change::default()
    }
}

async fn list_json(client: &PooledClient, zone: &TimeZone) -> Result<()> {
    let accounts = users::list(client).await?;
    let accounts = InZone(zone, &accounts);
    say(&serde_json::to_string_pretty(&accounts).expect("keys are strings, so it is JSON"))
}

async fn list(client: &PooledClient) -> Result<()> {
    let accounts = users::list(client).await?;
    let width = |text: fn(&Account) -> &str, least: usize| {
        let widths = accounts.iter().map(|account| text(account).chars().count());
        widths.max().unwrap_or_default().max(least)
    };
    let name = width(|account| &account.username, "USER".len());
    let email = width(|account| &account.email, "EMAIL".len());
    let mut lines = vec![format!(
        "{:name$}  {:email$}  ROLE    STATE     LAST SIGN-IN",
        "USER", "EMAIL"
    )];
    lines.extend(accounts.iter().map(|account| {
        let state = if account.is_active {
            "active"
        } else {
            "disabled"
        };
        let last = account
            .last_login_at
            .map_or("never".to_owned(), |at| format!("{:.0}", *at));
        format!(
            "{:name$}  {:email$}  {:6}  {state:8}  {last}",
            account.username, account.email, account.role
        )
    }));
    say(&lines.join("\n"))
}

async fn named(client: &PooledClient, name: &str) -> Result<User> {
    users::by_username(client, name)
        .await?
        .ok_or_else(|| nobody(name))
}

fn nobody(name: &str) -> Error {
    Error::Start(format!("there is no user {name}"))
}

fn refused(errors: &Errors) -> Error {
    let (field, message) = errors.first().unwrap_or(("", "not accepted"));
    Error::Start(format!("{field}: {message}"))
}
