//! Rows as the console shows them: named so that none is meant for another, and whatever a value is,
//! the page stays.

use super::{counts, is_accessible, make, picture, row, sign_in};
use crate::support::{
    client::Browser,
    server::{TestServer, database},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_of_one_country_are_told_apart_wherever_they_are_named() {
    let database = database().await;
    let dba = database.connect().await;
    dba.batch_execute(
        "insert into sources (country, data_vendor, panel) values
            ('France', 'IQVIA', 'Retail'), ('France', 'Kantar', 'Retail'),
            ('France', 'IQVIA', 'Hospital'), ('France', '', ''), ('', 'GfK', 'Store')",
    )
    .await
    .unwrap();
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(5, 5)).await;
    let labels = "[...document.querySelectorAll('tbody [aria-label]')].map((one) => one.ariaLabel)";
    let differ = format!("{labels}.length === 20 && new Set({labels}).size === 20");
    assert_eq!(ann.evaluate(&differ).await, true);

    let name = "France · IQVIA · Retail";
    let find = |label: &str| format!("document.querySelector('[aria-label=\"{label} {name}\"]')");
    ann.click_on(&find("Edit")).await;
    ann.until(&format!(
        "document.querySelector('dialog h2').textContent === 'Edit {name}'"
    ))
    .await;
    ann.click("dialog footer button:not(.primary)").await;
    ann.click_on(&format!(
        "document.querySelector('[aria-label=\"{name}: active\"]')"
    ))
    .await;
    let told = |text: &str| {
        format!(
            "[...document.querySelectorAll('.toast span')].some((one) => one.textContent === '{text}')"
        )
    };
    ann.until(&told(&format!("{name} is inactive now."))).await;
    ann.click("[aria-label=Dismiss]").await;

    // The question names the one, also where another has the same name.
    let asks = |more: &str| {
        format!(
            "document.querySelector('dialog p').textContent === '{name} will be gone for everybody. This cannot be undone.{more}'"
        )
    };
    ann.click_on(&find("Delete")).await;
    ann.until(&asks("")).await;
    is_accessible(&mut ann, "the question before a deletion").await;
    picture(&mut ann, "delete").await;
    ann.click("dialog footer button:not(.danger)").await;
    let twin = "insert into sources (country, data_vendor, panel) values ('France', 'IQVIA', 'Retail') returning id::text";
    let id: String = dba.query_one(twin, &[]).await.unwrap().get(0);
    ann.until(&counts(6, 6)).await;
    ann.click_on(&format!(
        "document.querySelector('tr[data-id=\"{id}\"] [aria-label^=Delete]')"
    ))
    .await;
    ann.until(&asks(&format!(
        " It is the one with the id {id}; there are others of this name."
    )))
    .await;
    ann.click("dialog button.danger").await;
    ann.until(&told(&format!("{name} was deleted."))).await;
    ann.until(&counts(5, 5)).await;
    let left = "select count(*) from sources where data_vendor = 'IQVIA' and panel = 'Retail'";
    let left: i64 = dba.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 1);

    ann.click("nav a[href='#/activity']").await;
    ann.until(&format!(
        "[...document.querySelectorAll('.activity a')].some((one) => one.textContent === '{name}')"
    ))
    .await;
    ann.click_on(&format!(
        "[...document.querySelectorAll('.activity a')].find((one) => one.textContent === '{name}')"
    ))
    .await;
    ann.until(&format!(
        "document.querySelector('main h1').textContent === '{name}' && document.title.startsWith('{name}')"
    ))
    .await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

/// What no API would write, and a hand may. Of a row: its upload, status, country and a date.
const ODD: [(&str, &str, &str, &str); 14] = [
    ("%", "active", "Chile", "0001-01-01"),
    ("http://[", "", "Peru", "9999-12-31"),
    ("javascript:alert(1)", "%", "Cuba", "2026-02-28"),
    ("/api/logout/", "__proto__", "Togo", "1582-10-10"),
    (
        "/api/uploads/../logout/",
        "constructor",
        "Mali",
        "1970-01-01",
    ),
    (
        "11111111-1111-4111-8111-111111111111/%",
        "badge",
        "Oman",
        "0001-12-31",
    ),
    (
        "11111111-1111-4111-8111-111111111111/%E0%A4%A",
        "unseen",
        "Iran",
        "9999-01-01",
    ),
    (
        "11111111-1111-4111-8111-111111111111/..",
        "\u{202e}evitca",
        "Iraq",
        "2024-02-29",
    ),
    ("", "active", "", "2024-02-29"),
    (
        "<img src=x onerror=alert(1)>",
        "<b>",
        "<script>",
        "2024-02-29",
    ),
    (
        "\u{1f469}\u{200d}\u{1f469}",
        "\u{feff}",
        "\u{202e}ecnarF",
        "2024-02-29",
    ),
    (
        "data:text/html,x",
        "toString",
        "a\u{0301}\u{0301}\u{0301}\u{0301}",
        "2024-02-29",
    ),
    ("//[::", " ", "\u{1}\u{7f}", "2024-02-29"),
    ("a\nb", "a\nb", "Ge\nny", "2024-02-29"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_row_blanks_the_page() {
    let database = database().await;
    let dba = database.connect().await;
    let sql =
        "insert into sources (data_upload, status, country, current_update, next_update, end_date)
        values ($1, $2, $3, $4::text::date, $4::text::date, $4::text::date) returning id::text";
    let mut ids = Vec::new();
    for (upload, status, country, date) in ODD {
        let row = dba
            .query_one(sql, &[&upload, &status, &country, &date])
            .await;
        ids.push(row.unwrap().get::<_, String>(0));
    }
    let long = "insert into sources (data_upload, status, country, data_vendor, panel, current_update)
        values (repeat('x', 60000), repeat('y', 50), repeat('W', 255), repeat('W', 255), repeat('W', 255), null)
        returning id::text";
    ids.push(dba.query_one(long, &[]).await.unwrap().get(0));
    let all = ids.len();
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(all, all)).await;
    let rows = format!("document.querySelectorAll('tbody tr[data-id]').length === {all}");
    ann.until(&rows).await;
    is_accessible(&mut ann, "odd rows").await;
    picture(&mut ann, "odd").await;
    for column in 1..=10 {
        ann.click(&format!("thead th:nth-child({column}) button"))
            .await;
        ann.until(&rows).await;
    }
    ann.fill("#search", "zz%[(").await;
    ann.until(&counts(0, all)).await;
    ann.click(".filters button").await;
    ann.until(&rows).await;

    for id in &ids {
        ann.evaluate(&format!("location.hash = '#/sources/{id}'"))
            .await;
        // Its id is the last that is shown of it.
        ann.until(&format!(
            "[...document.querySelectorAll('dd')].at(-1)?.textContent === '{id}' && !!document.querySelector('nav a')"
        ))
        .await;
        let leads = "[...document.querySelectorAll('main a')].map((link) => new URL(link.href))
            .every(({ pathname, origin }) => origin === location.origin
                && (pathname === '/' || pathname.startsWith('/api/uploads/')))";
        assert_eq!(ann.evaluate(leads).await, true, "{id}");
        ann.click(".buttons [aria-label^=Edit]").await;
        ann.until("!!document.querySelector('dialog [name=panel]')")
            .await;
        ann.fill("dialog [name=granularity]", "Store").await;
        ann.click("dialog footer .primary").await;
        ann.until("!document.querySelector('dialog')").await;
    }
    // Saving wrote what was typed and nothing else, also where a field cannot hold the value.
    let same = "select count(*) from sources where granularity = 'Store' and data_upload is not distinct from $1
        and status = $2 and country = $3 and next_update = $4::text::date and end_date = $4::text::date";
    for (upload, status, country, date) in ODD {
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&upload, &status, &country, &date];
        let kept: i64 = dba.query_one(same, parameters).await.unwrap().get(0);
        assert_eq!(kept, 1, "{upload} {status} {country} {date}");
    }
    for place in ["activity", "health", ""] {
        ann.evaluate(&format!("location.hash = '#/{place}'")).await;
        ann.until("!!document.querySelector('main h1')").await;
    }
    ann.until(&rows).await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_drawn_takes_no_other_with_it() {
    let database = database().await;
    make(&database, 7).await;
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(7, 7)).await;
    // Whatever else may be wrong with a row: naming it fails here.
    ann.evaluate(
        "{ const join = Array.prototype.join;
           Array.prototype.join = function (...with_) {
               if (this[0] === 'Broken') throw new Error('cannot be named');
               return join.apply(this, with_);
           }; }",
    )
    .await;
    let dba = database.connect().await;
    dba.batch_execute("update sources set country = 'Broken' where country = 'Italy'")
        .await
        .unwrap();
    let rows = "document.querySelectorAll('tbody tr[data-id]').length === 7";
    ann.until("document.querySelector('tbody .error')?.textContent.includes('cannot be shown')")
        .await;
    ann.forgive("cannot be named").await;
    assert_eq!(ann.evaluate(rows).await, true);
    // Its page says so too, and the others can be gone to.
    ann.click("tbody .error a").await;
    ann.until("document.querySelector('.broken')?.textContent.includes('cannot be named')")
        .await;
    ann.forgive("cannot be named").await;
    ann.click("nav a[href='#/']").await;
    ann.until(rows).await;
    ann.forgive("cannot be named").await;

    dba.batch_execute("update sources set country = 'Italia' where country = 'Broken'")
        .await
        .unwrap();
    ann.until(&format!("!!{}", row("Italia"))).await;
    assert_eq!(ann.evaluate(rows).await, true);
    ann.until("!document.querySelector('tbody .error')").await;
    ann.complaints
        .retain(|said| !said.contains("cannot be named"));
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}
