//! The documents in `docs/`: what they tell people to run is run, block after block, as it stands.

mod commands;

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::{
    client::{Browser, Http},
    import,
    postgres::{self, Home, TestDatabase},
    program::{PROGRAM, command},
    server::{ORIGIN, SOON, TestServer, database, open},
};

/// Kinds of blocks that are shown and not run: what is printed, and what `commands` looks at.
const SHOWN: [&str; 2] = ["text", "console"];

/// The blocks of a document, with their kinds.
fn blocks(document: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts: Vec<&str> = document.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block does not end");
    let blocks = parts.into_iter().skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').expect("a block has lines"))
        .filter(|(kind, _)| !SHOWN.contains(kind))
}

/// Somebody at a terminal, in a directory like that of the repository.
struct Terminal {
    home: Home,
}

/// What a machine for tests lacks, and must not have done to it: here a unit is enabled when systemd
/// understands it where it was installed, and containers are brought up when their file is there.
const STAND_INS: &str = r#"
    systemctl() {
        case $1 in
            restart) shift ;;
            enable) [ "$2" = --now ]; shift 2 ;;
            *) return 1 ;;
        esac
        for unit; do
            case $unit in *.*) ;; *) unit=$unit.service ;; esac
            systemd-analyze verify --man=no --recursive-errors=no "$UNITS/$unit" "$UNITS/marketplace.socket"
        done
    }
    docker() {
        [ "$1 $2 $4 $5" = "compose -f up --build" ]
        [ -f "$3" ]
        [ -n "$POSTGRES_PASSWORD" ]
    }
"#;

impl Terminal {
    fn new() -> Self {
        let home = Home::new();
        fs::create_dir(&home.dir).unwrap();
        for name in ["Makefile", "ops"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            symlink(file, home.dir.join(name)).unwrap();
        }
        // What is asked for at a terminal is read from here.
        fs::write(home.dir.join("input"), "Correct-horse-7\n").unwrap();
        Self { home }
    }

    /// A file of the machine's, which for whoever sits here is below this terminal's directory.
    fn write(&self, file: &str, text: &str) {
        let file = self.home.dir.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Runs a block as it stands, except that the machine's directories are below this terminal's.
    async fn run(&self, block: &str, database: Option<&str>) -> String {
        let home = self.home.dir.to_str().unwrap();
        let mut script = format!("{STAND_INS}{block}");
        for directory in ["/etc/", "/usr/local"] {
            script = script.replace(directory, &format!("{home}{directory}"));
        }
        let program = Path::new(PROGRAM).parent().unwrap().to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(env::split_paths(&path).chain([program])).unwrap();
        let mut shell = command("sh", &["-ec", &script]);
        shell
            .current_dir(home)
            .stdin(Stdio::from(
                fs::File::open(self.home.dir.join("input")).unwrap(),
            ))
            .env("PATH", path)
            // `make install` would build one for hours.
            .env("PROGRAM", PROGRAM)
            .env("UNITS", format!("{home}/usr/local/lib/systemd/system"))
            .envs(database.map(|url| ("DATABASE_URL", url)));
        let output = shell.output().await.unwrap();
        assert!(output.status.success(), "{block}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_are_told_works() {
    let database = postgres::cluster().await.database(None).await;
    let django = import::backend().await;
    let url = owned(&database).await;
    let server = TestServer::on(&url, &[]).await;
    let terminal = Terminal::new();
    terminal.write("etc/marketplace/url", &url);
    terminal.write("etc/marketplace/django", &django.url);

    let mut said = String::new();
    let mut list = None;
    for (kind, block) in blocks(include_str!("../../docs/deploying.md")) {
        assert_eq!(kind, "sh");
        if block.contains("pg_dump") {
            let mut ann = Http::new(&server.base).on_page(ORIGIN);
            server.sign_in(&mut ann, "ann").await;
            let mut opened = open(&ann, "/ws/read_source/").await;
            assert_eq!(rows(&opened.next_json(SOON).await), 21, "they were brought");
            list = Some(opened);
        }
        if block.contains("pg_restore") {
            let gone = database.psql("delete from sources").await;
            assert!(gone.status.success(), "{gone:?}");
            let list = list.as_mut().expect("a backup comes before");
            assert_eq!(rows(&list.next_json(SOON).await), 0);
        }
        said += &terminal.run(block, None).await;
    }
    let mut list = list.expect("there is a backup");
    assert_eq!(rows(&list.next_json(SOON).await), 21, "the restore is seen");
    assert!(said.contains("notifications"), "the doctor speaks: {said}");
    let role = database
        .psql("select role from users where username = 'ann'")
        .await;
    assert_eq!(role.stdout, b"admin\n", "{role:?}");
    let installed = terminal.home.dir.join("usr/local/bin/marketplace");
    assert!(installed.is_file(), "{}", installed.display());
    let settings = fs::read_to_string(terminal.home.dir.join("etc/marketplace/environment"));
    assert!(settings.unwrap().starts_with("DATABASE_URL="));
}

/// Gives the database to an ordinary role of its own, which has no other rights; the address for it.
async fn owned(database: &TestDatabase) -> String {
    let role = format!("owner_of_{}", database.name);
    let sql = format!(
        "create role {role} login nosuperuser password 'hush';
         alter database {} owner to {role}",
        database.name
    );
    said_by_psql(database, &sql).await;
    let (_, server) = database.url.split_once('@').expect("somebody connects");
    format!("postgres://{role}:hush@{server}")
}

/// How many sources a list shows.
fn rows(list: &Value) -> usize {
    list["data"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dbas_are_told_works() {
    let database = database().await;
    let terminal = Terminal::new();
    let mut said = String::new();
    for (kind, block) in blocks(include_str!("../../docs/databases.md")) {
        said += &match kind {
            "sql" => said_by_psql(&database, block).await,
            "sh" => terminal.run(block, Some(&database.url)).await,
            other => panic!("a block of {other} is run by nobody"),
        };
    }
    assert!(
        said.contains("Asynchronous notification \"crud\" with payload \"{\"op\":\"update\""),
        "{said}"
    );
    let state = "select string_agg(concat_ws(' ', country, panel, status, panel_group), ',' order by country),
            (select string_agg(operation || ' ' || role_name, ',' order by at) from changes) like '%update clerk%',
            (select every(tgenabled = 'A') from pg_trigger
              where tgrelid = 'sources'::regclass and not tgisinternal)
       from sources";
    let state = database.psql(state).await.stdout;
    assert_eq!(
        String::from_utf8_lossy(&state).trim(),
        "France Retail inactive DKM,Italy  active GPI,Spain  active DKM|t|t"
    );
}

async fn said_by_psql(database: &TestDatabase, script: &str) -> String {
    let output = database.psql(script).await;
    assert!(output.status.success(), "{script}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_frontend_developers_are_told_works() {
    if Browser::is_missing() {
        return;
    }
    let (server, database) = TestServer::start().await;
    server.visitor("ann").await;
    let mut page = Browser::open(&server.base).await;
    let account = json!({ "username": "ann", "password": "Correct-horse-7" });
    let sign_in = format!(
        "fetch('/api/login/', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }},
            body: JSON.stringify({account}) }}).then(({{ status }}) => status)"
    );
    assert_eq!(page.evaluate(&sign_in).await, 200);
    for (kind, block) in blocks(include_str!("../../docs/frontend.md")) {
        assert_eq!(kind, "js");
        page.evaluate(&format!("{block}; undefined")).await;
    }
    page.until("window.refused?.[0] === 400 && Array.isArray(window.refused[1].status)")
        .await;
    page.forgive("400").await;
    let shows = |countries: Value| {
        format!(
            "JSON.stringify(list.map(({{ country }}) => country)) === '{countries}'
                && JSON.stringify(deltas.map(({{ country }}) => country)) === '{countries}'
                && counts[0].s1 === {}",
            countries.as_array().unwrap().len()
        )
    };
    page.until("!!window.list && !!window.deltas && !!window.counts")
        .await;
    for (sql, countries) in [
        (
            "insert into sources (country) values ('one')",
            json!(["one"]),
        ),
        (
            "insert into sources (country) values ('two')",
            json!(["two", "one"]),
        ),
        (
            "update sources set country = 'uno' where country = 'one'",
            json!(["two", "uno"]),
        ),
        ("delete from sources where country = 'two'", json!(["uno"])),
    ] {
        assert!(database.psql(sql).await.status.success());
        page.until(&shows(countries)).await;
    }
    assert_eq!(page.complaints, [""; 0]);
    page.close().await;
}
