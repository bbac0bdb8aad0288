//! The documents in `docs/`: what they tell people to run is run, block after block, as it stands.

mod commands;

use std::{env, fs, os::unix::fs::symlink, path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

use crate::{
    cli::import,
    support::{
        client::{Browser, Http},
        postgres::{self, Home, TestDatabase},
        program::{PROGRAM, command},
        server::{ORIGIN, SOON, TestServer, database, open},
    },
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

/// Somebody at a terminal, in a directory like that of the repository: one shell for all blocks, so that
/// what one sets the next finds.
struct Terminal {
    home: Home,
    /// What of a block is elsewhere on this machine, and where.
    elsewhere: Vec<(String, String)>,
    // The shell ends when its input does, and takes the server along that it has started.
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _shell: Child,
}

/// What a machine for tests lacks, and must not have done to it. Units are those that were installed,
/// and systemd must understand them; the service is started with the settings of its file alone, and
/// counts as started when it is ready. Containers are brought up when their file is there.
const STAND_INS: &str = r#"
    exec 2>&1
    set -e
    trap stop_server EXIT
    start_server() {
        env -i PATH="$PATH" BIND="$BIND" sh -c 'set -a; . "$0"; exec marketplace serve' \
            "$SETTINGS" </dev/null >"$HOME/served" 2>&1 &
        server=$!
        until marketplace healthcheck >/dev/null 2>&1; do
            kill -0 "$server" || { cat "$HOME/served"; exit 1; }
            sleep 0.1
        done
    }
    stop_server() {
        if [ -n "$server" ]; then kill "$server"; wait "$server"; server=; fi
    }
    systemctl() {
        case $1 in
            daemon-reload) return ;;
            restart) shift; stop_server ;;
            enable) [ "$2" = --now ]; shift 2 ;;
            *) return 1 ;;
        esac
        for unit; do
            case $unit in *.*) ;; *) unit=$unit.service ;; esac
            systemd-analyze verify --man=no --recursive-errors=no "$UNITS/$unit" "$UNITS/marketplace.socket"
        done
        start_server
    }
    runuser() {
        [ "$1 $2 $3 $4" = "-u postgres -- psql" ]
        shift 4
        psql "$ADMIN_URL" "$@"
    }
    docker() {
        [ "$1 $2 $4 $5" = "compose -f up --build" ]
        [ -f "$3" ]
        [ -n "$POSTGRES_PASSWORD" ]
    }
"#;

/// The line that a shell prints after a block that went well.
const DONE: &str = "--- done ---";

impl Terminal {
    /// With variables that are set before the first block.
    async fn new(variables: &[(&str, &str)]) -> Self {
        let home = Home::new();
        fs::create_dir(&home.dir).unwrap();
        for name in ["Makefile", "ops"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            symlink(file, home.dir.join(name)).unwrap();
        }
        // What is asked for at a terminal is read from here.
        fs::write(home.dir.join("input"), "Correct-horse-7\n").unwrap();
        let at = home.dir.to_str().unwrap().to_owned();
        let program = Path::new(PROGRAM).parent().unwrap().to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(env::split_paths(&path).chain([program])).unwrap();
        let mut shell = command("sh", &[]);
        shell
            .current_dir(&home.dir)
            .stdin(Stdio::piped())
            .env("HOME", &at)
            .env("PATH", path)
            // `make install` would build one for hours.
            .env("PROGRAM", PROGRAM)
            .env("SETTINGS", format!("{at}/etc/marketplace/environment"))
            .env("UNITS", format!("{at}/usr/local/lib/systemd/system"))
            .envs(variables.iter().copied())
            .kill_on_drop(false);
        let mut shell = shell.spawn().unwrap();
        let mut terminal = Self {
            input: shell.stdin.take().unwrap(),
            output: BufReader::new(shell.stdout.take().unwrap()).lines(),
            _shell: shell,
            elsewhere: ["/etc/", "/usr/local", "/var/lib/"]
                .map(|directory| (directory.to_owned(), format!("{at}{directory}")))
                .into(),
            home,
        };
        terminal.run(STAND_INS).await;
        terminal
    }

    /// Runs a block as it stands, except for what is elsewhere on this machine. Gives what it says.
    async fn run(&mut self, block: &str) -> String {
        let mut block = block.to_owned();
        for (named, here) in &self.elsewhere {
            block = block.replace(named, here);
        }
        let input = self.home.dir.join("input");
        let script = format!("{{ {block}\n}} <{}; echo '{DONE}'\n", input.display());
        self.input.write_all(script.as_bytes()).await.unwrap();
        let mut said = String::new();
        loop {
            let line = timeout(SOON * 4, self.output.next_line()).await;
            match line
                .unwrap_or_else(|_| panic!("{block}\nhangs after {said}"))
                .unwrap()
            {
                Some(line) if line == DONE => return said,
                Some(line) => said += &(line + "\n"),
                None => panic!("{block}\nfailed: {said}"),
            }
        }
    }
}

/// A PostgreSQL as a distribution installs it: a superuser `postgres` and nothing else.
async fn fresh_postgres() -> (postgres::PrivateCluster, String) {
    let cluster = postgres::private_cluster(&[]).await;
    let maintenance = postgres::with_database(&cluster.url(), "postgres");
    let first = postgres::connect(&maintenance).await;
    first
        .batch_execute("create role postgres superuser login password 'hush'")
        .await
        .unwrap();
    drop(first);
    let url = format!(
        "postgres://postgres:hush@127.0.0.1:{}/postgres",
        cluster.port()
    );
    let dba = postgres::connect(&url).await;
    for sql in [
        "drop database marketplace with (force)",
        "alter role marketplace rename to initial",
    ] {
        dba.batch_execute(sql).await.unwrap();
    }
    (cluster, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_are_told_works_from_top_to_bottom() {
    let (cluster, admin) = fresh_postgres().await;
    let django = import::backend().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut terminal = Terminal::new(&[("ADMIN_URL", &admin), ("BIND", &address)]).await;
    terminal.elsewhere.extend([
        (
            "@localhost/".to_owned(),
            format!("@127.0.0.1:{}/", cluster.port()),
        ),
        (
            "postgres://reader:CHANGE-ME@old-server/backend".to_owned(),
            django.url.clone(),
        ),
    ]);
    let url = format!(
        "postgres://marketplace:CHANGE-ME@127.0.0.1:{}/marketplace",
        cluster.port()
    );

    let base = format!("http://{address}");
    let mut said = String::new();
    let mut list = None;
    for (kind, block) in blocks(include_str!("../../../docs/deploying.md")) {
        assert_eq!(kind, "sh");
        if block.contains("pg_dump") {
            let mut ann = Http::new(&base).on_page(ORIGIN);
            let account = json!({ "username": "ann", "password": "Correct-horse-7" });
            let answer = ann.post("/api/login/").json(&account).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let mut opened = open(&ann, "/ws/read_source/").await;
            assert_eq!(rows(&opened.next_json(SOON).await), 21, "they were brought");
            list = Some(opened);
        }
        if block.contains("pg_restore") {
            let dba = postgres::connect(&url).await;
            dba.batch_execute("delete from sources").await.unwrap();
            let list = list.as_mut().expect("a backup comes before");
            assert_eq!(rows(&list.next_json(SOON).await), 0);
        }
        said += &terminal.run(block).await;
        if block.contains("pg_restore") {
            let list = list.as_mut().expect("it is open");
            assert_eq!(rows(&list.next_json(SOON).await), 21, "the restore is seen");
        }
    }
    assert!(list.is_some(), "there is a backup");
    assert!(
        said.contains("ok    notifications"),
        "the doctor speaks: {said}"
    );
    let dba = postgres::connect(&url).await;
    let role = "select role from users where username = 'ann'";
    let role: String = dba.query_one(role, &[]).await.unwrap().get(0);
    assert_eq!(role, "admin");
    let registered = Http::new(&base)
        .post("/api/register/")
        .json(&json!({ "username": "eve", "password": "Correct-horse-7" }))
        .send()
        .await;
    assert_eq!(
        registered.status,
        403,
        "it was closed: {}",
        registered.text()
    );
    let installed = terminal.home.dir.join("usr/local/bin/marketplace");
    assert!(installed.is_file(), "{}", installed.display());
    drop(terminal);
    cluster.stop().await;
}

/// How many sources a list shows.
fn rows(list: &Value) -> usize {
    list["data"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dbas_are_told_works() {
    let database = database().await;
    let mut terminal = Terminal::new(&[("DATABASE_URL", &database.url)]).await;
    let mut said = String::new();
    for (kind, block) in blocks(include_str!("../../../docs/databases.md")) {
        said += &match kind {
            "sql" => said_by_psql(&database, block).await,
            "sh" => terminal.run(block).await,
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
    let (server, database) = TestServer::start().await;
    server.visitor("ann").await;
    let mut page = Browser::open(&server.base).await;
    let account = json!({ "username": "ann", "password": "Correct-horse-7" });
    let sign_in = format!(
        "fetch('/api/login/', {{ method: 'POST', headers: {{ 'content-type': 'application/json' }},
            body: JSON.stringify({account}) }}).then(({{ status }}) => status)"
    );
    assert_eq!(page.evaluate(&sign_in).await, 200);
    for (kind, block) in blocks(include_str!("../../../docs/frontend.md")) {
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
                && JSON.stringify(table) === JSON.stringify({countries}.sort())
                && counts[0].s1 === {}",
            countries.as_array().unwrap().len()
        )
    };
    page.until("!!window.list && !!window.deltas && !!window.counts && !!window.table")
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
