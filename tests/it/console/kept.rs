//! What the console does not lose: a status that is to come back, what was typed, and who may do what,
//! while somebody edits by hand.

use super::{ANOTHER, PASSWORD, button, counts, grant, is_accessible, make, picture, row, sign_in};
use crate::support::{
    client::Browser,
    postgres::TestDatabase,
    server::{TestServer, database, eventually},
};

/// A server with a few sources, and a page on it whose user may edit.
async fn opened() -> (TestServer, TestDatabase, Browser) {
    let database = database().await;
    make(&database, 3).await;
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(3, 3)).await;
    (server, database, ann)
}

async fn by_hand(database: &TestDatabase, sql: &str) {
    let dba = database.connect().await;
    dba.batch_execute(sql).await.unwrap();
}

/// Waits until a query gives this text.
async fn gives(database: &TestDatabase, sql: &str, text: &str) {
    let dba = database.connect().await;
    eventually(sql, async || {
        let rows = dba.query(sql, &[]).await.unwrap();
        rows.first()
            .is_some_and(|row| row.get::<_, String>(0) == text)
    })
    .await;
}

/// Opens the form of a source from its row.
async fn open_form(window: &mut Browser, country: &str) {
    let edit = format!("{}.querySelector('.actions button')", row(country));
    window.click_on(&edit).await;
    window
        .until("document.activeElement?.name === 'country'")
        .await;
}

const STATUS: &str = "select status from sources where country = 'Italy'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undo_brings_back_the_status_that_was_there_and_waits_for_it() {
    let (_server, database, mut ann) = opened().await;
    let archive = "update sources set status = 'archived' where country = 'Italy'";
    by_hand(&database, archive).await;
    ann.until(&format!(
        "{}?.cells[8].textContent === 'archived'",
        row("Italy")
    ))
    .await;
    ann.click_on(&format!("{}.querySelector('a')", row("Italy")))
        .await;
    let activate = "document.querySelector('.buttons [aria-label^=Activate]')";
    ann.click_on(activate).await;
    gives(&database, STATUS, "active").await;
    let undo = button("Undo");
    ann.until(&format!("!!{undo}")).await;

    // It is still there when a message that only tells something has gone.
    grant(&database, "ann", "admin").await;
    let told = "[...document.querySelectorAll('.toast')].some((one) => one.textContent.includes('Your role'))";
    ann.until(told).await;
    ann.until(&format!("!{told}")).await;
    ann.until(&format!("!!{undo}")).await;
    is_accessible(&mut ann, "a message with something to do").await;

    // Tab goes to it from what was pressed, and from there on to what follows that.
    by_hand(&database, "update sources set granularity = 'Store'").await;
    let has_focus = |text: &str| format!("document.activeElement.textContent.trim() === '{text}'");
    ann.until(&has_focus("Deactivate")).await;
    for text in ["Undo", "✕", "Delete"] {
        ann.press("Tab").await;
        ann.until(&has_focus(text)).await;
    }
    ann.evaluate("document.querySelector('.buttons [aria-label^=Deactivate]').focus()")
        .await;
    ann.press("Tab").await;
    ann.until(&has_focus("Undo")).await;
    ann.press("Enter").await;
    gives(&database, STATUS, "archived").await;
    let both = "select concat(status, ' ', granularity) from sources where country = 'Italy'";
    gives(&database, both, "archived Store").await;
    ann.until(&format!("!{undo}")).await;

    // What somebody else has set meanwhile is not undone unasked.
    ann.click_on(activate).await;
    gives(&database, STATUS, "active").await;
    by_hand(
        &database,
        "update sources set status = 'paused' where country = 'Italy'",
    )
    .await;
    ann.until("document.querySelector('.badge[data-kind=paused]') !== null")
        .await;
    ann.click_on(&undo).await;
    ann.until(&format!("!!{}", button("Set to archived"))).await;
    gives(&database, STATUS, "paused").await;
    ann.click_on(&button("Set to archived")).await;
    gives(&database, STATUS, "archived").await;

    // Dismissed, it is gone.
    ann.click_on(activate).await;
    ann.until(&format!("!!{undo}")).await;
    ann.click("[aria-label=Dismiss]").await;
    ann.until(&format!("!{undo}")).await;
    gives(&database, STATUS, "active").await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_status_is_a_badge_and_survives_the_form() {
    let (_server, database, mut ann) = opened().await;
    // Texts that are names of the page's own styles among them.
    for status in ["archived", "unseen", "gap", "In Prüfung", "wide"] {
        let sql = format!("update sources set status = '{status}' where country = 'Italy'");
        by_hand(&database, &sql).await;
        let cell = format!("{}?.cells[8]", row("Italy"));
        ann.until(&format!("{cell}?.textContent === '{status}'"))
            .await;
        let is_badge = format!(
            "{cell}.querySelector('[role=switch]') === null && {cell}.querySelector('.badge').offsetWidth > 20"
        );
        assert_eq!(ann.evaluate(&is_badge).await, true, "{status}");
    }

    by_hand(
        &database,
        "update sources set status = 'archived' where country = 'Italy'",
    )
    .await;
    ann.until(&format!(
        "{}?.cells[8].textContent === 'archived'",
        row("Italy")
    ))
    .await;
    open_form(&mut ann, "Italy").await;
    let list = "document.querySelector('dialog select[name=status]')";
    assert_eq!(ann.evaluate(&format!("{list}.value")).await, "archived");
    let offered = format!(
        "['archived', 'active', 'inactive'].every((one) => [...{list}.options].some(({{ value }}) => value === one))"
    );
    assert_eq!(ann.evaluate(&offered).await, true);
    is_accessible(&mut ann, "the form with a third status").await;
    picture(&mut ann, "form").await;
    ann.fill("dialog [name=panel]", "Store").await;
    ann.click("dialog footer .primary").await;
    let both = "select concat(status, ' ', panel) from sources where country = 'Italy'";
    gives(&database, both, "archived Store").await;

    ann.until("!document.querySelector('dialog')").await;
    open_form(&mut ann, "Italy").await;
    ann.choose("dialog [name=status]", "inactive").await;
    ann.click("dialog footer .primary").await;
    gives(&database, STATUS, "inactive").await;
    ann.until("!document.querySelector('dialog')").await;
    open_form(&mut ann, "Italy").await;
    ann.choose("dialog [name=status]", ANOTHER).await;
    ann.until("document.activeElement.matches('input[name=status]')")
        .await;
    ann.insert("retired").await;
    ann.press("Enter").await;
    gives(&database, STATUS, "retired").await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_whose_source_is_deleted_keeps_what_was_typed() {
    let (_server, database, mut ann) = opened().await;
    let typed = "document.querySelector('dialog [name=panel]').value";
    let notice = "document.querySelector('dialog .notice')?.textContent.includes('was deleted')";
    // From the list, then from the source's own page.
    for country in ["Italy", "Spain"] {
        if country == "Spain" {
            ann.click_on(&format!("{}.querySelector('a')", row(country)))
                .await;
            ann.click(".buttons [aria-label^=Edit]").await;
        } else {
            open_form(&mut ann, country).await;
        }
        ann.fill("dialog [name=panel]", "typed by Ann").await;
        let delete = format!("delete from sources where country = '{country}'");
        by_hand(&database, &delete).await;
        ann.until(notice).await;
        assert_eq!(ann.evaluate(typed).await, "typed by Ann", "{country}");
        is_accessible(&mut ann, "a form whose source is gone").await;
        if country == "Italy" {
            picture(&mut ann, "form-deleted").await;
        }
        ann.click("dialog footer .primary").await;
        ann.until("!document.querySelector('dialog')").await;
        let saved = format!("select panel from sources where country = '{country}'");
        gives(&database, &saved, "typed by Ann").await;
    }
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_whose_session_ends_is_gone_on_with_after_signing_in_again() {
    let (_server, database, mut ann) = opened().await;
    open_form(&mut ann, "Italy").await;
    ann.fill("dialog [name=panel]", "typed by Ann").await;
    by_hand(&database, "delete from sessions").await;
    ann.until("!!document.querySelector('dialog .again')").await;
    ann.until("document.querySelectorAll('tbody tr').length === 0")
        .await;
    let typed = "document.querySelector('dialog [name=panel]').value";
    assert_eq!(ann.evaluate(typed).await, "typed by Ann");
    assert_eq!(
        ann.evaluate("document.querySelector('dialog [name=username]').value")
            .await,
        "ann"
    );
    is_accessible(&mut ann, "a form whose session is over").await;
    picture(&mut ann, "form-signed-out").await;
    by_hand(
        &database,
        "update sources set granularity = 'Store' where country = 'Italy'",
    )
    .await;
    ann.fill("dialog [name=password]", PASSWORD).await;
    ann.press("Enter").await;
    ann.until("!document.querySelector('dialog .again')").await;
    ann.until(&counts(3, 3)).await;
    assert_eq!(ann.evaluate(typed).await, "typed by Ann");
    ann.click("dialog footer .primary").await;
    let both = "select concat(panel, ' ', granularity) from sources where country = 'Italy'";
    gives(&database, both, "typed by Ann Store").await;
    ann.until("!document.querySelector('dialog')").await;

    // A form that adds, and is cancelled: then the page asks for the name as ever.
    ann.press("n").await;
    ann.fill("dialog [name=country]", "Norway").await;
    by_hand(&database, "delete from sessions").await;
    ann.until("!!document.querySelector('dialog .again')").await;
    ann.click("dialog footer button:not(.primary)").await;
    ann.until("!!document.querySelector('main.enter [name=username]')")
        .await;
    ann.complaints.clear(); // Of the sockets and questions that were refused.
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_taken_or_given_is_followed_without_a_reload() {
    let (_server, database, mut ann) = opened().await;
    ann.evaluate("window.same = true").await;
    let role = |role: &str| format!("document.querySelector('.role').textContent === '{role}'");
    let tools = "document.querySelectorAll('#add, tbody button').length";
    assert_ne!(ann.evaluate(tools).await, 0);
    open_form(&mut ann, "Italy").await;
    ann.fill("dialog [name=panel]", "typed by Ann").await;

    grant(&database, "ann", "viewer").await;
    ann.until(&role("viewer")).await;
    ann.until(&format!("{tools} === 0")).await;
    ann.until("document.querySelector('dialog .notice')?.textContent.includes('viewer')")
        .await;
    is_accessible(&mut ann, "a form of somebody who may only look by now").await;
    ann.click("dialog footer .primary").await;
    ann.until("!!document.querySelector('dialog form > .error')?.textContent")
        .await;
    ann.forgive("403").await;
    let panel = "select panel from sources where country = 'Italy'";
    let typed = "document.querySelector('dialog [name=panel]').value";
    assert_eq!(ann.evaluate(typed).await, "typed by Ann");

    grant(&database, "ann", "editor").await;
    ann.until(&role("editor")).await;
    ann.until("!document.querySelector('dialog .notice')").await;
    ann.click("dialog footer .primary").await;
    gives(&database, panel, "typed by Ann").await;

    grant(&database, "ann", "admin").await;
    ann.until("!!document.querySelector(\"nav a[href='#/users']\")")
        .await;
    ann.click("nav a[href='#/users']").await;
    ann.until("document.querySelector('main h1')?.textContent === 'Users'")
        .await;
    grant(&database, "ann", "viewer").await;
    ann.until("document.querySelector('main h1')?.textContent === 'Sources'")
        .await;
    assert_eq!(ann.evaluate("window.same").await, true, "without a reload");
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

/// Two reads of a source's runs may be under way, and the first may be answered last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_late_does_not_bring_back_what_a_run_was() {
    let (_server, database, mut ann) = opened().await;
    ann.click_on(&format!("{}.querySelector('a')", row("Italy")))
        .await;
    ann.until("document.querySelectorAll('.steps li').length > 0")
        .await;
    // Keeps the next answer back, and says when the page has done with it.
    ann.evaluate(
        "(() => {
            const real = window.fetch;
            window.holds = true;
            window.fetch = async (path, request) => {
                const answer = await real(path, request);
                if (!path.startsWith('/api/pipeline-runs/') || !window.holds) return answer;
                window.holds = false;
                const text = await answer.text();
                await new Promise((go) => { window.release = go; });
                const late = new Response(text, { status: answer.status });
                const read = late.text.bind(late);
                late.text = async () => {
                    setTimeout(() => setTimeout(() => { window.isDone = true; }));
                    return read();
                };
                return late;
            };
        })()",
    )
    .await;
    let badge = |says: &str| {
        format!(
            "[...document.querySelectorAll('.steps .badge')].some((one) => one.textContent === '{says}')"
        )
    };
    let run = "insert into pipeline_runs (source_id, step, state)
        select id, 'qc', 'RUNNING' from sources where country = 'Italy'";
    by_hand(&database, run).await;
    ann.until("!!window.release").await;
    by_hand(&database, "update pipeline_runs set state = 'COMPLETED'").await;
    ann.until(&badge("COMPLETED")).await;
    ann.evaluate("window.release()").await;
    ann.until("window.isDone === true").await;
    assert_eq!(ann.evaluate(&badge("COMPLETED")).await, true);
    assert_eq!(ann.evaluate(&badge("RUNNING")).await, false);
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}
