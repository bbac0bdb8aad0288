//! The list as it is printed: all rows that the filters leave, and nothing to press.

use std::{fs, path::Path};

use super::{counts, make, picture, sign_in};
use crate::support::{
    client::Browser,
    server::{TestServer, database},
};

const ROWS: &str = "document.querySelectorAll('tbody tr[data-id]').length";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn printing_prints_every_row_of_the_filtered_list() {
    let database = database().await;
    make(&database, 770).await;
    let server = TestServer::on(&database.url, &[]).await;
    server.visitor("ann").await;
    let mut ann = Browser::open(&server.base).await;
    sign_in(&mut ann, "ann").await;
    ann.until(&counts(770, 770)).await;
    // What is there when the browser begins to lay out the paper: the page's own listener came first.
    ann.evaluate(&format!(
        "addEventListener('beforeprint', () => {{ window.printed = {ROWS}; }})"
    ))
    .await;
    let pdf = ann.print().await;
    assert_eq!(ann.evaluate("window.printed").await, 770);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("list.pdf"), &pdf).unwrap();
    let pages = String::from_utf8_lossy(&pdf)
        .matches("/Type /Page\n")
        .count();
    assert!((10..60).contains(&pages), "{pages} pages");
    ann.until(&format!("{ROWS} < 100")).await;

    // Only what was filtered, with the words that say so.
    ann.choose("select[name=country]", "Japan").await;
    ann.until(&counts(110, 770)).await;
    ann.print().await;
    assert_eq!(ann.evaluate("window.printed").await, 110);

    // No buttons, nothing cut off, all columns; the DBA's edit is on the paper.
    ann.show_as("print").await;
    ann.until(&format!("{ROWS} === 110")).await;
    let seen = |selector: &str| {
        format!(
            "[...document.querySelectorAll('{selector}')].filter((one) => one.getClientRects().length > 0).length"
        )
    };
    for nothing in ["button", "input", "select", "nav", ".toasts"] {
        assert_eq!(ann.evaluate(&seen(nothing)).await, 0, "{nothing}");
    }
    assert_eq!(ann.evaluate(&seen("thead th")).await, 10);
    assert_eq!(ann.evaluate(&seen("tbody td")).await, 1_100);
    let fits = "[...document.querySelectorAll('td, th')].every((cell) => cell.scrollWidth <= cell.clientWidth + 1)
        && document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(ann.evaluate(fits).await, true);
    assert_eq!(
        ann.evaluate("document.querySelector('.chosen-words').textContent.startsWith('Country: Japan · 110 of 770 sources')")
            .await,
        true
    );
    let dba = database.connect().await;
    dba.batch_execute("update sources set panel = 'by hand' where country = 'Japan'")
        .await
        .unwrap();
    ann.until(
        "[...document.querySelectorAll('tbody tr[data-id]')].every(({ cells }) => cells[2].textContent === 'by hand')",
    )
    .await;
    assert_eq!(ann.evaluate(&format!("{ROWS} === 110")).await, true);
    picture(&mut ann, "print").await;
    ann.show_as("screen").await;
    ann.until(&format!(
        "{ROWS} < 100 && !document.querySelector('.chosen-words')"
    ))
    .await;
    ann.until(&format!("{} > 0", seen("button"))).await;
    assert_eq!(ann.complaints, [""; 0]);
    ann.close().await;
}
