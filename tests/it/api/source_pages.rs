//! `GET /api/sources/`: pages that follow each other, filtered and ordered.

use serde_json::json;

use crate::support::{
    client::Http,
    server::{TestServer, eventually},
};

/// Follows the links from `path` on; what each page has in a column, and the total that it says.
async fn pages(visitor: &mut Http, path: &str, column: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let (mut pages, mut totals) = (Vec::new(), Vec::new());
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = visitor.get(&path).send().await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let rows = page.json();
        let rows = rows.as_array().unwrap().iter();
        pages.push(
            rows.map(|row| row[column].as_str().unwrap_or("null").to_owned())
                .collect(),
        );
        totals.push(page.header("x-total-count").unwrap().to_owned());
        next = page.header("link").map(|link| {
            let (path, rel) = link.split_once(">; ").unwrap();
            assert_eq!(rel, "rel=\"next\"");
            path.strip_prefix('<').unwrap().to_owned()
        });
    }
    (pages, totals)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_and_have_every_row_once() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let sql = "insert into sources (country, panel, status, next_update)
        select 'c' || n % 7, lpad(n::text, 3, '0'), case when n % 2 = 0 then 'active' else 'inactive' end,
               case when n % 3 = 0 then null else date '2026-12-01' + n % 5 end
          from generate_series(1, 250) n";
    dba.batch_execute(sql).await.unwrap();
    let mut ann = server.visitor("ann").await;
    for (query, sql) in [
        (
            "limit=40",
            "select panel from sources order by created_at desc, id",
        ),
        (
            "order=-next_update,country&limit=33&status=active",
            "select panel from sources where status = 'active'
              order by next_update desc nulls last, country, created_at desc, id",
        ),
        (
            "country=c1&country=c2&next_update=null&order=panel",
            "select panel from sources where country in ('c1', 'c2') and next_update is null order by panel",
        ),
        (
            "next_update_from=2026-12-02&next_update_to=2026-12-03&order=panel&limit=500",
            "select panel from sources where next_update between '2026-12-02' and '2026-12-03' order by panel",
        ),
        (
            "q=C3+01&order=panel",
            "select panel from sources where country = 'c3' and panel like '%01%' order by 1",
        ),
    ] {
        let rows = dba.query(sql, &[]).await.unwrap();
        let expected: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!expected.is_empty(), "{query}");
        let (found, totals) = pages(&mut ann, &format!("/api/sources/?{query}"), "panel").await;
        assert_eq!(found.concat(), expected, "{query}");
        assert!(
            totals
                .iter()
                .all(|total| *total == expected.len().to_string()),
            "{query}: {totals:?}"
        );
    }

    // A page begins after the last row of the one before, also when that row went meanwhile.
    let first = ann.get("/api/sources/?order=panel&limit=10").send().await;
    dba.batch_execute("delete from sources where panel in ('003', '010', '012')")
        .await
        .unwrap();
    let link = first.header("link").unwrap().to_owned();
    let turned = link
        .strip_prefix('<')
        .unwrap()
        .split_once('>')
        .unwrap()
        .0
        .replace("=panel", "=-panel");
    let refused = ann.get(&turned).send().await;
    assert_eq!(
        (refused.status, refused.json()["after"][0].is_string()),
        (400, true),
        "another order"
    );
    let path = link
        .strip_prefix('<')
        .unwrap()
        .split_once('>')
        .unwrap()
        .0
        .to_owned();
    eventually("the edit is seen", async || {
        let second = ann.get(&path).send().await.json();
        (&second[0]["panel"], &second[1]["panel"]) == (&json!("011"), &json!("013"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_is_named_and_strangers_get_nothing() {
    let (server, _database) = TestServer::start().await;
    let mut ann = server.visitor("ann").await;
    for (query, named) in [
        ("page=2", "page"),
        ("limit=many", "limit"),
        ("after=aGVsbG8", "after"),
        ("created_at=2026-12-01", "created_at"),
        ("next_update_from=soon", "next_update_from"),
        ("order=-capital", "order"),
    ] {
        let answer = ann.get(&format!("/api/sources/?{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(
            answer.json()[named][0].is_string(),
            "{query}: {}",
            answer.text()
        );
    }
    let empty = ann.get("/api/sources/").send().await;
    assert_eq!((empty.status, empty.text().as_str()), (200, "[]"));
    assert_eq!(empty.header("x-total-count"), Some("0"));
    assert_eq!(empty.header("link"), None);
    assert_eq!(
        Http::new(&server.base)
            .get("/api/sources/")
            .send()
            .await
            .status,
        403
    );
}
