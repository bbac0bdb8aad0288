//! The console, used in Chromium as people use it: with a mouse and keys, in two windows, while
//! others edit by hand and the server comes and goes. Screenshots go to `target/screenshots/`.

mod kept;
mod paper;
mod rows;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::support::{
    client::Browser,
    postgres::{self, TestDatabase},
    program::{Running, program},
    server::{TestServer, database},
};

const LIVE: &str = "document.querySelector('#link')?.dataset.state === 'live'";
const PASSWORD: &str = "Correct-horse-7";
/// The choice in the list of statuses that asks for a text.
const ANOTHER: &str = "\0another";

/// A source's row in the table, by its country.
fn row(country: &str) -> String {
    format!(
        "[...document.querySelectorAll('tbody tr[data-id]')].find((row) => row.cells[0].textContent === '{country}')"
    )
}

/// The newest message's button with this text.
fn button(text: &str) -> String {
    format!(
        "[...document.querySelectorAll('.toast button')].findLast((button) => button.textContent === '{text}')"
    )
}

/// Whether the table shows as many sources.
fn counts(shown: usize, all: usize) -> String {
    format!(
        "document.querySelector('#counted')?.textContent === (({shown}).toLocaleString() + ' of ' + ({all}).toLocaleString())"
    )
}

async fn sign_in(window: &mut Browser, name: &str) {
    window.until("!!document.querySelector('form')").await;
    window.fill("[name=username]", name).await;
    window.fill("[name=password]", PASSWORD).await;
    window.press("Enter").await;
    window.until(LIVE).await;
}

async fn make(database: &TestDatabase, sources: i32) {
    let sql = "insert into sources (country, data_vendor, panel, data_type, granularity,
                   current_update, next_update, status)
        select (array['France','Germany','Italy','Spain','Japan','Brazil','Poland'])[1 + n % 7],
               (array['Nielsen','IQVIA','Kantar','GfK','Circana'])[1 + n % 5],
               (array['Retail','Hospital','Consumer','Pharmacy'])[1 + n % 4],
               (array['Sell-out','Sell-in','Panel'])[1 + n % 3],
               (array['National','Regional','Store'])[1 + n % 3],
               local_date() + (n % 5 - 2), local_date() + n % 60,
               case when n % 6 = 0 then 'inactive' else 'active' end
          from generate_series(1, $1) n";
    let dba = database.connect().await;
    dba.execute(sql, &[&sources]).await.unwrap();
}

async fn grant(database: &TestDatabase, name: &str, role: &str) {
    let dba = database.connect().await;
    dba.execute(
        "update users set role = $2 where username = $1",
        &[&name, &role],
    )
    .await
    .unwrap();
}

pub async fn picture(window: &mut Browser, name: &str) {
    // What has just changed is marked for two seconds, and messages go after six.
    window
        .until("document.getAnimations().length === 0 && !document.querySelector('.toast')")
        .await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&folder).unwrap();
    let png = window.screenshot().await;
    fs::write(folder.join(format!("{name}.png")), png).unwrap();
}

/// Nothing on the page keeps people from using it, as far as axe can tell.
pub async fn is_accessible(window: &mut Browser, place: &str) {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/venv/lib")
        .read_dir()
        .expect("`make tools` has been run")
        .map(|python| {
            python
                .unwrap()
                .path()
                .join("site-packages/axe_core_python/axe.min.js")
        })
        .find(|script| script.exists())
        .expect("axe is there: run `make tools`");
    window
        .evaluate(&(fs::read_to_string(axe).unwrap() + ";1"))
        .await;
    let found = window
        .evaluate(
            "axe.run({ resultTypes: ['violations'] }).then((result) => result.violations
                .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                .map(({ id, nodes }) => `${id}: ${nodes[0].html}`))",
        )
        .await;
    assert_eq!(found, json!([]), "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_add_edit_switch_and_delete_and_see_each_other_do_it() {
    let database = database().await;
    make(&database, 40).await;
    let small_files = ["--uploads-url", "memory://", "--max-upload-mib", "1"];
    let server = TestServer::on(&database.url, &small_files).await;
    let mut ann = Browser::open(&server.base).await;

    // Registers, with a mistake first.
    ann.until("!!document.querySelector('form')").await;
    is_accessible(&mut ann, "signing in").await;
    ann.click("form button.quiet").await;
    ann.fill("[name=username]", "ann").await;
    ann.fill("[name=password]", PASSWORD).await;
    ann.fill("[name=confirm_password]", "another").await;
    ann.press("Enter").await;
    ann.until("!!document.querySelector('form .error')?.textContent")
        .await;
    ann.forgive("400").await;
    ann.fill("[name=confirm_password]", PASSWORD).await;
    ann.press("Enter").await;
    ann.until(LIVE).await;
    ann.until(&counts(40, 40)).await;
    is_accessible(&mut ann, "the dashboard").await;

    server.visitor("bob").await;
    grant(&database, "bob", "viewer").await;
    let mut bob = Browser::open(&server.base).await;
    sign_in(&mut bob, "bob").await;
    bob.until(&counts(40, 40)).await;

    edit(&mut ann, &mut bob, &database).await;
    hand_in(&mut ann, &mut bob).await;
    look(&mut ann, &mut bob, &database).await;
    let source = ann.evaluate("window.source").await;
    remove(&mut ann, &mut bob, source.as_str().unwrap()).await;
    manage(&mut ann, &mut bob, &database).await;

    bob.click("#leave").await;
    bob.until("!!document.querySelector('form [name=username]')")
        .await;
    for window in [ann, bob] {
        assert_eq!(window.complaints, [""; 0]);
        window.close().await;
    }
}

/// Ann gives Norway a file, first one that is too long; Bob finds it on Norway's page; she removes it.
async fn hand_in(ann: &mut Browser, bob: &mut Browser) {
    let norway = row("Norway");
    let edit = format!("{norway}.querySelector('.actions button')");
    let file = |text: &str| {
        format!(
            "(() => {{ const files = new DataTransfer();
                files.items.add(new File([{text}], 'Données 1.csv'));
                document.querySelector('dialog [type=file]').files = files.files; }})()"
        )
    };
    ann.click_on(&edit).await;
    ann.evaluate(&file("new Uint8Array(2 << 20)")).await;
    ann.click("dialog button.primary").await;
    ann.until(
        "document.querySelector('#data_upload-error')?.textContent === 'The file is too large.'
            && document.activeElement.name === 'data_upload'",
    )
    .await;
    ann.forgive("413").await;
    ann.evaluate(&file("'a;b'")).await;
    ann.click("dialog button.primary").await;
    ann.until("!document.querySelector('dialog')").await;

    bob.click_on(&format!("{norway}.querySelector('a')")).await;
    let link = "document.querySelector('dd a[download]')";
    bob.until(&format!("!!{link}")).await;
    let name = bob.evaluate(&format!("{link}.textContent")).await;
    assert!(name.as_str().unwrap().contains("csv"), "{name}");
    let text = format!("fetch({link}.href).then((answer) => answer.text())");
    assert_eq!(bob.evaluate(&text).await, "a;b");

    ann.click_on(&edit).await;
    ann.click("dialog [name=remove]").await;
    ann.click("dialog button.primary").await;
    bob.until(&format!("!{link}")).await;
    bob.evaluate("location.hash = '#/'").await;
    bob.until(&format!("!!{norway}")).await;
}

/// Ann adds Norway, edits and switches it, and Bob, who may only look, sees it.
async fn edit(ann: &mut Browser, bob: &mut Browser, database: &TestDatabase) {
    // What is wrong with a field is said at the field.
    ann.press("n").await;
    ann.until("document.activeElement?.name === 'country'")
        .await;
    is_accessible(ann, "the form").await;
    // A form that nobody has touched is not saved.
    ann.press("Enter").await;
    ann.until(
        "!!document.querySelector('dialog form.form > .error')?.textContent.includes('is empty')",
    )
    .await;
    ann.fill("dialog [name=country]", "Norway").await;
    ann.choose("dialog [name=status]", ANOTHER).await;
    ann.fill("dialog input[name=status]", &"x".repeat(51)).await;
    ann.press("Enter").await;
    ann.until(
        "document.querySelector('#status-error')?.textContent
            === 'Ensure this field has no more than 50 characters.'
            && document.activeElement.name === 'status'",
    )
    .await;
    ann.forgive("400").await;
    ann.fill("dialog [name=status]", "active").await;
    ann.press("Enter").await;
    let norway = row("Norway");
    for window in [&mut *ann, &mut *bob] {
        window.until(&format!("!!{norway}")).await;
        window.until(&counts(41, 41)).await;
    }

    // A viewer has nothing to edit with.
    let tools = "document.querySelectorAll('#add, tbody button, tbody input').length";
    assert_eq!(bob.evaluate(tools).await, 0);
    bob.press("n").await;
    assert_eq!(
        bob.evaluate("document.querySelector('dialog')").await,
        Value::Null
    );

    // Edits: only what was edited is written, also when somebody edits by hand meanwhile.
    ann.click_on(&format!("{norway}.querySelector('.actions button')"))
        .await;
    ann.fill("dialog [name=data_vendor]", "Kantar").await;
    let by_hand = "update sources set panel = 'by hand' where country = 'Norway'";
    assert!(database.psql(by_hand).await.status.success());
    ann.until("!!document.querySelector('dialog .notice')")
        .await;
    ann.click("dialog button.primary").await;
    let both = format!(
        "{norway}?.cells[1].textContent === 'Kantar' && {norway}.cells[2].textContent === 'by hand'"
    );
    for window in [&mut *ann, &mut *bob] {
        window.until(&both).await;
    }

    // Switches off, and takes it back.
    let is_active = |active: bool| {
        format!("{norway}?.querySelector('[role=switch]').ariaChecked === '{active}'")
    };
    ann.click_on(&format!("{norway}.querySelector('[role=switch]')"))
        .await;
    ann.until(&is_active(false)).await;
    bob.until(&format!("{norway}?.cells[8].textContent === 'inactive'"))
        .await;
    ann.click_on(&button("Undo")).await;
    ann.until(&is_active(true)).await;
}

/// A source's own page, which a link leads to, follows too; Activity says whose each change was.
async fn look(ann: &mut Browser, bob: &mut Browser, database: &TestDatabase) {
    let norway = row("Norway");
    ann.click_on(&format!("{norway}.querySelector('a')")).await;
    ann.until("document.querySelector('main h1')?.textContent === 'Norway · Kantar · by hand'")
        .await;
    is_accessible(ann, "a source").await;
    let by_hand = "update sources set country = 'Noreg' where country = 'Norway'";
    assert!(database.psql(by_hand).await.status.success());
    ann.until("document.querySelector('main h1')?.textContent === 'Noreg · Kantar · by hand'")
        .await;
    // Its steps follow what the cluster makes of them, or whoever writes it.
    let step = |n: usize, says: &str| {
        format!(
            "document.querySelector('.steps li:nth-child({n}) .badge')?.textContent === '{says}'"
        )
    };
    let run = "insert into pipeline_runs (source_id, step, state, reason)
        select id, 'collection', 'COMPLETED', null from sources where country = 'Noreg'
        union all select id, 'cleaning', 'FAILED', 'out of memory' from sources where country = 'Noreg'
        union all select id, 'qc', 'RUNNING', null from sources where country = 'Noreg'";
    assert!(database.psql(run).await.status.success());
    for (n, says) in [(1, "COMPLETED"), (2, "FAILED"), (3, "RUNNING")] {
        ann.until(&step(n, says)).await;
    }
    let done = "update pipeline_runs set state = 'COMPLETED' where step = 'qc'";
    assert!(database.psql(done).await.status.success());
    ann.until(&step(3, "COMPLETED")).await;
    // This server has no cluster: the page says so once, and offers nothing that cannot be done.
    ann.until("document.querySelectorAll('.pipeline > p').length === 1")
        .await;
    ann.until("document.querySelector('.pipeline > p').textContent.includes('EMR_CLUSTER_ID')")
        .await;
    ann.until("document.querySelector(\"[aria-label^='Start ']\") === null")
        .await;
    is_accessible(ann, "a pipeline").await;
    picture(ann, "source").await;
    let address = ann.evaluate("location.href").await;
    bob.go(address.as_str().unwrap()).await;
    bob.until("document.querySelector('main h1')?.textContent === 'Noreg · Kantar · by hand'")
        .await;

    ann.click("nav a[href='#/activity']").await;
    let says = |n: usize, who: &str, what: &str| {
        format!(
            "(({{ cells }}) => cells[1].textContent.trim() === '{who}' && cells[2].textContent.trim() === '{what}')
                (document.querySelector('.activity tbody tr:nth-child({n})') ?? {{ cells: Array(4).fill(document.body) }})"
        )
    };
    let role = "role marketplace in psql";
    ann.until(&says(1, role, "update 1 run")).await;
    ann.until(&says(2, role, "insert 3 runs")).await;
    ann.until(&says(3, role, "update 1 source")).await;
    ann.until(&says(4, "ann via marketplace", "update 1 source"))
        .await;
    let three = "update sources set panel = 'three' where id in (select id from sources limit 3)";
    assert!(database.psql(three).await.status.success());
    ann.until(&says(1, role, "update 3 sources")).await;
    is_accessible(ann, "activity").await;
    picture(ann, "activity").await;

    ann.click("nav a[href='#/health']").await;
    ann.until("document.querySelector('#state')?.textContent === 'ready'")
        .await;
    is_accessible(ann, "health").await;
    picture(ann, "health").await;
    ann.evaluate(&format!("window.source = {address}")).await;
}

/// Deletes, after a question; whoever looks at it is told.
async fn remove(ann: &mut Browser, bob: &mut Browser, source: &str) {
    ann.go(source).await;
    ann.until("!!document.querySelector('main button.danger')")
        .await;
    ann.click("main button.danger").await;
    ann.click("dialog button.danger").await;
    ann.until(&counts(40, 40)).await;
    bob.until(
        "document.querySelector('main .empty')?.textContent.startsWith('There is no such source')",
    )
    .await;
}

/// Roles take effect at once, and admins see everybody.
async fn manage(ann: &mut Browser, bob: &mut Browser, database: &TestDatabase) {
    grant(database, "ann", "admin").await;
    ann.until("!!document.querySelector(\"nav a[href='#/users']\")")
        .await;
    ann.click("nav a[href='#/users']").await;
    ann.until("document.querySelectorAll('tbody tr').length === 2")
        .await;
    is_accessible(ann, "users").await;
    ann.choose("[aria-label='Role of bob']", "editor").await;
    bob.evaluate("location.hash = '#/'").await;
    bob.until("!!document.querySelector('#add')").await;
    // A socket that is just being opened when he signs out would be refused, and that be logged.
    bob.until(LIVE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_says_what_it_knows_and_catches_up_after_a_restart() {
    let database = database().await;
    make(&database, 30).await;
    let server = TestServer::on(&database.url, &[]).await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.evaluate("window.same = true").await;

    server.stop().await.unwrap();
    ann.until(
        "document.querySelector('#link').dataset.state === 'reconnecting'
            && document.querySelector('#link').textContent.includes('stale since')",
    )
    .await;
    ann.until("/in \\d+ s/.test(document.querySelector('#link').textContent)")
        .await;
    picture(&mut ann, "reconnecting").await;
    let dba = database.connect().await;
    dba.batch_execute(
        "delete from sources where country = 'Spain';
         insert into sources (country) values ('Norway')",
    )
    .await
    .unwrap();
    let left: i64 = dba
        .query_one("select count(*) from sources", &[])
        .await
        .unwrap()
        .get(0);
    let left = usize::try_from(left).unwrap();

    let server = TestServer::on(&database.url, &["--bind", &address]).await;
    ann.until(LIVE).await;
    ann.until(&counts(left, left)).await;
    let doubled = "new Set([...document.querySelectorAll('tbody tr[data-id]')].map((row) => row.dataset.id)).size
        === document.querySelectorAll('tbody tr[data-id]').length";
    assert_eq!(ann.evaluate(doubled).await, true);
    assert_eq!(ann.evaluate("window.same").await, true, "without a reload");

    // The sockets are open, but the server itself hears nothing: that is said too.
    ann.complaints.clear(); // Of the server that was not there.
    let elsewhere = postgres::cluster().await.database(None).await;
    let admin = elsewhere.connect().await;
    let name = &database.name;
    admin
        .batch_execute(&format!("alter database {name} allow_connections false"))
        .await
        .unwrap();
    let deaf = "select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'marketplace listener'";
    assert_eq!(dba.query(deaf, &[]).await.unwrap().len(), 1);
    ann.until(
        "document.querySelector('#link').dataset.state === 'stale'
            && document.querySelector('#link').textContent.startsWith('Stale since')",
    )
    .await;
    dba.batch_execute("insert into sources (country) values ('Unheard of')")
        .await
        .unwrap();
    admin
        .batch_execute(&format!("alter database {name} allow_connections true"))
        .await
        .unwrap();
    ann.until(LIVE).await;
    ann.until(&counts(left + 1, left + 1)).await;
    assert_eq!(ann.complaints, [""; 0]);

    // Signed out elsewhere, the page shows nothing more.
    dba.batch_execute("delete from sessions").await.unwrap();
    ann.until("!!document.querySelector('form [name=username]')")
        .await;
    server.stop().await.unwrap();
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_load_sample_sources_with_one_click() {
    let (server, database) = TestServer::start().await;
    for name in ["ann", "bob"] {
        server.visitor(name).await;
    }
    grant(&database, "bob", "viewer").await;
    let mut bob = Browser::open(&server.base).await;
    sign_in(&mut bob, "bob").await;
    bob.until("document.querySelector('.empty')?.textContent.includes('No sources yet')")
        .await;
    assert_eq!(
        bob.evaluate("document.querySelector('#demo')").await,
        Value::Null,
        "viewers load nothing"
    );
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until("!!document.querySelector('#demo')").await;
    is_accessible(&mut ann, "an empty dashboard").await;
    picture(&mut ann, "empty").await;
    ann.click("#demo").await;
    for window in [&mut ann, &mut bob] {
        window.until(&counts(8, 8)).await;
    }
    ann.click("nav a[href='#/activity']").await;
    ann.until(
        "(({ cells }) => cells[1].textContent.trim() === 'ann via marketplace'
            && cells[2].textContent.trim() === 'insert 8 sources')
            (document.querySelector('.activity tbody tr') ?? { cells: Array(4).fill(document.body) })",
    )
    .await;
    for window in [ann, bob] {
        assert_eq!(window.complaints, [""; 0]);
        window.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_offers_registration_only_where_it_is_open() {
    for (setting, offered) in [("open", true), ("closed", false)] {
        let database = database().await;
        let server = TestServer::on(&database.url, &["--registration", setting]).await;
        let mut window = Browser::open(&server.base).await;
        window
            .until("!!document.querySelector('form button.primary')")
            .await;
        let offers = "[...document.querySelectorAll('form button')].some((button) => button.textContent.trim() === 'Register')";
        assert_eq!(
            window.evaluate(offers).await,
            Value::Bool(offered),
            "{setting}"
        );
        window.close().await;
        server.stop().await.unwrap();
    }
}

/// The program itself, which can be stopped as this process cannot.
async fn serve(database: &TestDatabase, bind: &str) -> (Running, String) {
    let mut command = program(&["serve", "--bind", bind, "--rate-limits", "off"]);
    command.env("DATABASE_URL", &database.url);
    let mut running = Running::start(command);
    let base = running.line("listening on ").await;
    (running, base)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_notices_a_server_that_is_silent_and_one_that_is_killed() {
    let database = database().await;
    make(&database, 30).await;
    let dba = database.connect().await;
    let (mut server, base) = serve(&database, "127.0.0.1:0").await;
    let address = base.strip_prefix("http://").unwrap().to_owned();
    let mut ann = Browser::open(&base).await;
    ann.until("!!document.querySelector('form')").await;
    ann.click("form button.quiet").await;
    for (field, text) in [
        ("username", "ann"),
        ("password", PASSWORD),
        ("confirm_password", PASSWORD),
    ] {
        ann.fill(&format!("[name={field}]"), text).await;
    }
    ann.press("Enter").await;
    ann.until(LIVE).await;
    ann.until(&counts(30, 30)).await;
    ann.evaluate("window.same = true").await;

    // Its sockets stay open and say nothing.
    server.signal("-STOP").await;
    ann.until("document.querySelector('#link').textContent.startsWith('Stale since')")
        .await;
    dba.batch_execute("insert into sources (country) values ('Norway')")
        .await
        .unwrap();
    server.signal("-CONT").await;
    ann.until(LIVE).await;
    ann.until(&counts(31, 31)).await;

    server.child.kill().await.unwrap();
    ann.until(
        "/^Reconnecting in \\d+ s, stale since/.test(document.querySelector('#link').textContent)",
    )
    .await;
    dba.batch_execute("insert into sources (country) values ('Chile')")
        .await
        .unwrap();
    let (mut server, _) = serve(&database, &address).await;
    ann.until(LIVE).await;
    ann.until(&counts(32, 32)).await;
    let ids = "[...document.querySelectorAll('tbody tr[data-id]')].map((row) => row.dataset.id)";
    let doubled = format!("new Set({ids}).size === {ids}.length");
    assert_eq!(ann.evaluate(&doubled).await, true);
    assert_eq!(ann.evaluate("window.same").await, true, "without a reload");
    server.child.kill().await.unwrap();
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sources_are_scrolled_filtered_and_sorted() {
    let database = database().await;
    make(&database, 10_000).await;
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(10_000, 10_000)).await;
    let few = "document.querySelectorAll('tbody tr').length < 100";
    assert_eq!(
        ann.evaluate(few).await,
        true,
        "only what is in sight is there"
    );

    ann.evaluate("document.querySelector('.scroller').scrollTop = 1e9")
        .await;
    ann.until("!!document.querySelector('[aria-rowindex=\"10001\"]')")
        .await;
    assert_eq!(ann.evaluate(few).await, true);
    ann.click("thead th:first-child button").await;
    ann.evaluate("document.querySelector('[aria-rowindex=\"10001\"] a').focus()")
        .await;
    ann.press("Home").await;
    ann.until("document.activeElement.closest('tr')?.ariaRowIndex === '2'")
        .await;
    ann.until("document.activeElement.textContent === 'Brazil'")
        .await;
    ann.press("ArrowDown").await;
    ann.until("document.activeElement.closest('tr')?.ariaRowIndex === '3'")
        .await;

    let filter = Instant::now();
    ann.press("/").await;
    ann.until("document.activeElement.id === 'search'").await;
    ann.insert("japan gfk").await;
    ann.until(&counts(286, 10_000)).await;
    println!(
        "10,000 sources searched, seen within {:?}",
        filter.elapsed()
    );
    ann.choose("select[name=status]", "inactive").await;
    let shown = "[...document.querySelectorAll('tbody tr[data-id]')].every(({ cells }) =>
        cells[0].textContent === 'Japan' && cells[1].textContent === 'GfK' && cells[8].textContent === 'inactive')
        && document.querySelectorAll('tbody tr[data-id]').length > 0";
    ann.until(shown).await;

    // What no longer fits the filter goes, and what does comes.
    let toggled =
        "update sources set status = case status when 'active' then 'inactive' else 'active' end";
    let before = ann
        .evaluate("document.querySelector('tbody tr[data-id]').dataset.id")
        .await;
    assert!(database.psql(toggled).await.status.success());
    ann.until(&format!(
        "document.querySelector('tbody tr[data-id]')?.dataset.id !== {before}"
    ))
    .await;
    ann.until(shown).await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_filter_shows_what_fits_it_and_all_of_them_what_fits_each() {
    let database = database().await;
    make(&database, 1_000).await;
    let dba = database.connect().await;
    // Else a source's vendor says where its delivery stands.
    let sql = "update sources set current_update = null where granularity = 'Regional'";
    dba.execute(sql, &[]).await.unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(1_000, 1_000)).await;
    let chosen = [
        ("country", "France"),
        ("data_vendor", "GfK"),
        ("panel", "Retail"),
        ("status", "active"),
        ("datadelivery_status", "awaiting"),
    ];
    let fit = async |filters: &[(&str, &str)]| {
        let filters = filters
            .iter()
            .map(|(column, value)| format!("{column} = '{value}'"));
        let filters = filters.collect::<Vec<_>>().join(" and ");
        let sql = format!("select count(*) from sources where {filters}");
        let count: i64 = dba.query_one(&sql, &[]).await.unwrap().get(0);
        usize::try_from(count).unwrap()
    };
    for (name, value) in chosen {
        let list = format!("select[name={name}]");
        let offered = format!(
            "JSON.stringify([...document.querySelectorAll('{list} option')].slice(1).map(({{ value }}) => value))"
        );
        let sql = format!("select distinct {name} from sources order by 1");
        let values = dba.query(&sql, &[]).await.unwrap();
        let values: Vec<String> = values.iter().map(|row| row.get(0)).collect();
        assert_eq!(ann.evaluate(&offered).await, json!(values).to_string());
        let alone = fit(&[(name, value)]).await;
        assert!((1..1_000).contains(&alone), "{name} tells sources apart");
        ann.choose(&list, value).await;
        ann.until(&counts(alone, 1_000)).await;
        ann.choose(&list, "").await;
        ann.until(&counts(1_000, 1_000)).await;
    }
    // Each takes something away from what the others leave.
    for n in 1..=chosen.len() {
        let (name, value) = chosen[n - 1];
        ann.choose(&format!("select[name={name}]"), value).await;
        let left = fit(&chosen[..n]).await;
        assert!(left > 0 && (n == 1 || left < fit(&chosen[..n - 1]).await));
        ann.until(&counts(left, 1_000)).await;
    }
    ann.click(".filters button").await;
    ann.until(&counts(1_000, 1_000)).await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sources_cost_few_rows_and_few_bytes_and_look_well() {
    let database = database().await;
    make(&database, 1_000).await;
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let (address, received) = counted(&server).await;
    let mut ann = Browser::open(&format!("http://{address}/")).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(1_000, 1_000)).await;

    received.store(0, Relaxed);
    ann.reload().await;
    ann.until(&counts(1_000, 1_000)).await;
    ann.until(
        "['first-contentful-paint', 'sources-drawn'].every((name) => performance.getEntriesByName(name).length)",
    )
    .await;
    let bytes = received.load(Relaxed);
    let cost = ann
        .evaluate(
            "({
                rows: document.querySelectorAll('tbody tr[data-id]').length,
                elements: document.querySelectorAll('*').length,
                requests: performance.getEntriesByType('resource').length,
                milliseconds: ['first-contentful-paint', 'sources-drawn'].map((name) =>
                    Math.round(performance.getEntriesByName(name)[0].startTime)),
            })",
        )
        .await;
    // How long it takes depends on what else the machine does, so that is only shown.
    println!("1,000 sources: {bytes} bytes transferred, {cost}");
    let at_most = |name: &str, limit: u64| {
        let is = cost[name].as_u64().unwrap();
        assert!((1..=limit).contains(&is), "{name}: {cost}");
    };
    at_most("rows", 60);
    at_most("elements", 2_000);
    at_most("requests", 50);
    assert!((10_000..300_000).contains(&bytes), "{bytes}");

    // Two sections count the past days, the deliveries are those of now.
    ann.until(
        "[...document.querySelectorAll('.tile h2')].map((title) => title.textContent).join() ===
            'Data Library past 30 days,Data Delivery,Data Update past 30 days'",
    )
    .await;

    picture(&mut ann, "dashboard-light").await;
    ann.prefer("dark").await;
    picture(&mut ann, "dashboard-dark").await;
    is_accessible(&mut ann, "the dark dashboard").await;
    ann.resize(390, 844).await;
    picture(&mut ann, "phone").await;
    is_accessible(&mut ann, "a phone").await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(ann.evaluate(fits).await, true);
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

/// A way to the server that counts what comes from it.
async fn counted(server: &TestServer) -> (SocketAddr, Arc<AtomicUsize>) {
    let upstream = server.base.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let count = received.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            let count = count.clone();
            tokio::spawn(async move {
                let mut part = vec![0; 16 << 10];
                while let Ok(n @ 1..) = from_server.read(&mut part).await {
                    count.fetch_add(n, Relaxed);
                    if to_client.write_all(&part[..n]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, received)
}
