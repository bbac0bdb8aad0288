//! Windows and counts on `ws/live/`: what a client holds after each message is what a fresh SELECT says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{live::Live, server::TestServer};

const FIVE: &str = "insert into sources (country, data_vendor, panel, status, next_update) values
    ('France', 'Nielsen', 'A', 'active', '2026-12-01'), ('Côte d''Ivoire', 'GfK', 'B', 'inactive', null),
    ('Spain', 'Nielsen', 'C', 'active', '2026-12-31'), ('germany', 'Kantar', 'D', 'active', '2027-01-15'),
    ('Italy', 'GfK', 'E', 'inactive', '2026-11-30')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_is_ordered_filtered_and_right_after_an_edit_by_hand() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    dba.batch_execute(FIVE).await.unwrap();
    let mut live = Live::open(&server).await;

    let all = live
        .subscribe("all", "rows", json!({ "order": ["country"], "limit": 3 }))
        .await;
    assert_eq!(
        (&all["total"], &all["first"]),
        (&json!(5), &json!(0)),
        "{all}"
    );
    assert_eq!(
        live.windows["all"].texts("country"),
        ["Côte d'Ivoire", "France", "germany"]
    );
    assert_eq!(
        all["data"][0].as_object().unwrap().len(),
        18,
        "a source as everywhere"
    );
    let found = json!({ "where": { "text": "cote GFK" } });
    live.subscribe("found", "rows", found).await;
    assert_eq!(live.windows["found"].texts("panel"), ["B"]);
    let dated = json!({ "where": { "next_update": { "from": "2026-12-01", "to": "2026-12-31" },
        "status": ["active"] }, "order": ["-next_update"] });
    live.subscribe("dated", "rows", dated).await;
    assert_eq!(live.windows["dated"].texts("panel"), ["C", "A"]);
    let undated = json!({ "where": { "next_update": [null] } });
    live.subscribe("undated", "rows", undated).await;
    assert_eq!(live.windows["undated"].texts("panel"), ["B"]);
    live.subscribe("by", "counts", json!({ "by": "data_vendor" }))
        .await;
    assert_eq!(
        live.counts["by"]["groups"],
        json!({ "GfK": 2, "Nielsen": 2, "Kantar": 1 })
    );
    live.subscribe(
        "active",
        "counts",
        json!({ "where": { "status": ["active"] } }),
    )
    .await;
    assert_eq!(live.counts["active"]["total"], 3);
    assert!(live.counts["active"].get("groups").is_none());

    let before = live.messages;
    let edit = "update sources set panel = 'Z' where country = 'France'";
    dba.batch_execute(edit).await.unwrap();
    let changed = live.follow().await;
    assert!(
        changed.get("data").is_none(),
        "only what changed: {changed}"
    );
    assert_eq!(changed["changed"][0]["panel"], "Z");
    live.until("both windows with France", |live| {
        live.windows["dated"].texts("panel") == ["C", "Z"]
    })
    .await;
    assert_eq!(live.messages - before, 2, "nothing to the others");

    let edit = "insert into sources (country, panel) values ('Andorra', 'N');
        update sources set country = 'Zambia' where country = 'germany'";
    dba.batch_execute(edit).await.unwrap();
    live.until("the first rows are others", |live| {
        live.windows["all"].texts("country") == ["Andorra", "Côte d'Ivoire", "France"]
            && live.windows["all"].total == 6
    })
    .await;
    dba.batch_execute("delete from sources where panel = 'B'")
        .await
        .unwrap();
    live.until("what is gone is gone everywhere", |live| {
        live.windows["found"].rows.is_empty()
            && live.windows["undated"].texts("panel") == ["N"]
            && live.windows["all"].texts("country") == ["Andorra", "France", "Italy"]
            && live.counts["by"]["groups"]["GfK"] == 1
    })
    .await;
    dba.batch_execute("truncate sources").await.unwrap();
    live.until("an empty table is an empty window", |live| {
        live.windows
            .values()
            .all(|window| window.rows.is_empty() && window.total == 0)
            && live.counts["by"]["groups"] == json!({})
            && live.counts["active"]["total"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_stays_at_its_index_or_its_row_and_moves_when_it_is_asked_to() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let sql = "insert into sources (country) select lpad(n::text, 4, '0') from generate_series(1, 1000) n";
    dba.batch_execute(sql).await.unwrap();
    let id = async |country: &str| -> String {
        let sql = "select id::text from sources where country = $1";
        dba.query_one(sql, &[&country]).await.unwrap().get(0)
    };
    let mut live = Live::open(&server).await;
    let query = |from: Value| json!({ "order": ["country"], "from": from, "limit": 3 });
    live.subscribe("start", "rows", query(json!({ "start": true })))
        .await;
    live.subscribe("index", "rows", query(json!({ "index": 500 })))
        .await;
    live.subscribe("id", "rows", query(json!({ "id": id("0501").await })))
        .await;
    let shown = |live: &Live, name: &str| live.windows[name].texts("country");
    assert_eq!(shown(&live, "start"), ["0001", "0002", "0003"]);
    assert_eq!(shown(&live, "index"), ["0501", "0502", "0503"]);
    assert_eq!(shown(&live, "id"), ["0501", "0502", "0503"]);
    assert_eq!(live.windows["id"].first, 500);

    dba.batch_execute("insert into sources (country) values ('0000')")
        .await
        .unwrap();
    live.until("the row stays, the index stays", |live| {
        shown(live, "start") == ["0000", "0001", "0002"]
            && shown(live, "index") == ["0500", "0501", "0502"]
            && live.windows["id"].first == 501
    })
    .await;
    assert_eq!(shown(&live, "id"), ["0501", "0502", "0503"]);
    dba.batch_execute("delete from sources where country in ('0501', '0503')")
        .await
        .unwrap();
    live.until("the next row takes the part of one that is gone", |live| {
        shown(live, "id") == ["0502", "0504", "0505"] && live.windows["id"].first == 501
    })
    .await;
    dba.batch_execute("delete from sources where country < '0100'")
        .await
        .unwrap();
    live.until("it follows its row", |live| {
        shown(live, "id") == ["0502", "0504", "0505"] && live.windows["id"].first == 401
    })
    .await;

    live.send(json!({ "move": "index", "from": { "index": 1 }, "limit": 5 }))
        .await;
    live.until("it moves", |live| {
        shown(live, "index") == ["0101", "0102", "0103", "0104", "0105"]
    })
    .await;
    live.send(json!({ "move": "index", "from": { "index": 3 } }))
        .await;
    let moved = loop {
        let message = live.follow().await;
        if message["rows"] == "index" {
            break message;
        }
    };
    assert!(
        moved.get("data").is_none(),
        "rows that are held are not sent again: {moved}"
    );
    assert_eq!(
        shown(&live, "index"),
        ["0103", "0104", "0105", "0106", "0107"]
    );
    live.send(json!({ "move": "index", "from": { "index": 3 } }))
        .await;
    let same = live.follow().await;
    assert_eq!(
        (&same["rows"], &same["first"]),
        (&json!("index"), &json!(3)),
        "it is answered"
    );
    live.send(json!({ "move": "index", "from": { "index": 1_000_000 } }))
        .await;
    live.until("the end", |live| {
        shown(live, "index").last().unwrap() == "1000"
    })
    .await;

    live.send(json!({ "unsubscribe": "start" })).await;
    live.send(json!({ "unsubscribe": "start" })).await;
    let error = live.follow().await;
    assert_eq!(error["error"], "start", "{error}");
    let sent = live.messages;
    dba.batch_execute("delete from sources where country < '0102'")
        .await
        .unwrap();
    live.until("the others are told", |live| {
        live.windows["id"].first == 399
    })
    .await;
    assert!(
        live.messages > sent && shown(&live, "start").len() == 3,
        "no longer watched"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_is_sent_what_is_missing() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let sql =
        "insert into sources (country) select lpad(n::text, 4, '0') from generate_series(1, 200) n";
    dba.batch_execute(sql).await.unwrap();
    let ann = server.visitor("ann").await;
    let mut live = Live::of(&ann).await;
    let query = json!({ "order": ["country"], "limit": 50 });
    live.subscribe("a", "rows", query.clone()).await;
    let held = live.windows["a"].clone();
    // Somebody else keeps the view watched, or not: both are the same to who comes back.
    drop(live);
    dba.batch_execute("delete from sources where country = '0010'; update sources set panel = 'new' where country = '0020'")
        .await
        .unwrap();
    let mut live = Live::of(&ann).await;
    live.windows.insert("a".into(), held.clone());
    let mut again = query.clone();
    again["since"] = json!(held.version);
    again["have"] = json!(held.ids());
    let message = live.subscribe("a", "rows", again).await;
    let text = message.to_string();
    assert!(
        message.get("data").is_none() && text.len() < 2_000,
        "{text}"
    );
    live.agrees(
        "a",
        "country",
        &dba,
        "select country from sources order by country limit 50",
    )
    .await;
    assert_eq!(live.windows["a"].rows[18]["panel"], "new");

    let mut foreign = query.clone();
    foreign["since"] = json!("1:1");
    foreign["have"] = json!(held.ids());
    let message = live.subscribe("b", "rows", foreign).await;
    assert_eq!(
        message["data"].as_array().unwrap().len(),
        50,
        "another epoch: the window, whole"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_answered_and_the_socket_stays() {
    let (server, _database) = TestServer::start().await;
    let mut live = Live::open(&server).await;
    live.subscribe("counted", "rows", json!({})).await;
    live.subscribe("counted", "counts", json!({})).await;
    for (message, error, at) in [
        (
            json!({ "subscribe": "a", "rows": { "where": { "country": "France" } } }),
            json!("a"),
            "where.country",
        ),
        (
            json!({ "subscribe": "a", "rows": { "where": { "capital": ["Paris"] } } }),
            json!("a"),
            "where.capital",
        ),
        (
            json!({ "subscribe": "a", "rows": {}, "limit": 3 }),
            json!("a"),
            "limit",
        ),
        (
            json!({ "move": "a", "from": { "start": true } }),
            json!("a"),
            "move",
        ),
        (
            json!({ "subscribe": "x".repeat(65), "rows": {} }),
            json!(null),
            "subscribe",
        ),
        (
            json!({ "move": "counted", "limit": 3 }),
            json!("counted"),
            "move",
        ),
        (json!([]), json!(null), "message"),
    ] {
        live.send(message.clone()).await;
        let answer = live.follow().await;
        assert_eq!(answer["error"], error, "{message}: {answer}");
        assert!(answer["errors"][at][0].is_string(), "{message}: {answer}");
    }
    live.send(json!({ "unsubscribe": "counted" })).await;
    for n in 0..32 {
        live.subscribe(&n.to_string(), "rows", json!({ "limit": 1 }))
            .await;
    }
    let many = live.subscribe("one more", "rows", json!({})).await;
    assert!(
        many["errors"]["subscribe"][0]
            .as_str()
            .unwrap()
            .contains("32"),
        "{many}"
    );
    live.send(json!({ "unsubscribe": "7" })).await;
    let room = live.subscribe("one more", "rows", json!({})).await;
    assert_eq!(room["total"], 0, "{room}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_agrees_with_a_select_while_many_write() {
    const WRITES: usize = 150;
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let sql = "insert into sources (country, panel, status)
        select 'c' || n % 17, 'p' || n % 5, case when n % 3 = 0 then 'active' else 'inactive' end
          from generate_series(1, 400) n";
    dba.batch_execute(sql).await.unwrap();
    let ann = server.visitor("ann").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut live = Live::of(&ann).await;
        let active = json!({ "where": { "status": ["active"] }, "order": ["-country", "panel"], "limit": 30 });
        live.subscribe("active", "rows", active).await;
        live.subscribe(
            "all",
            "rows",
            json!({ "from": { "index": 10 }, "limit": 20 }),
        )
        .await;
        live.subscribe("by", "counts", json!({ "by": "country" }))
            .await;
        clients.push(live);
    }
    for n in 0..WRITES {
        let sql = match n % 6 {
            0 => format!(
                "update sources set status = 'active' where country = 'c{}'",
                n % 17
            ),
            1 => format!(
                "insert into sources (country, panel, status) select 'c{}', 'q', 'active' from generate_series(1, {})",
                n % 17,
                n % 40
            ),
            2 => format!(
                "delete from sources where id in (select id from sources order by id limit {})",
                n % 30
            ),
            3 => format!(
                "begin; update sources set panel = 'x{n}' where country = 'c{}'; rollback; update sources set panel = 'y' where panel = 'q'",
                n % 17
            ),
            4 => "update sources set status = 'inactive'".to_owned(),
            _ => format!(
                "update sources set country = 'c{}', status = 'active' where panel = 'p{}'",
                n % 19,
                n % 5
            ),
        };
        dba.batch_execute(&sql).await.unwrap();
    }
    for live in &mut clients {
        live.agrees(
            "active",
            "id",
            &dba,
            "select id::text from sources where status = 'active'
            order by country desc, panel, created_at desc, id limit 30",
        )
        .await;
        live.agrees(
            "all",
            "id",
            &dba,
            "select id::text from sources order by created_at desc, id offset 10 limit 20",
        )
        .await;
        let groups = dba
            .query("select country, count(*) from sources group by 1", &[])
            .await
            .unwrap();
        let groups: BTreeMap<String, i64> =
            groups.iter().map(|row| (row.get(0), row.get(1))).collect();
        live.until("the groups", |live| {
            live.counts["by"]["groups"] == json!(groups)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_on_many_rows_is_shown_at_once() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let rows =
        "insert into sources (country, status) select 'c', 'old' from generate_series(1, 3500)";
    dba.batch_execute(rows).await.unwrap();
    let mut live = Live::open(&server).await;
    live.subscribe("by", "counts", json!({ "by": "status" }))
        .await;
    assert_eq!(live.counts["by"]["groups"], json!({ "old": 3500 }));
    let others = rows.replace("old", "new");
    for (sql, after) in [
        (
            "update sources set status = 'b'".to_owned(),
            json!({ "b": 3500 }),
        ),
        (
            format!("begin; delete from sources; {others}; commit"),
            json!({ "new": 3500 }),
        ),
    ] {
        dba.batch_execute(&sql).await.unwrap();
        let told = live.follow().await;
        assert_eq!(told["groups"], after, "nothing in between: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_comes_back_is_found_by_whoever_asks_for_it() {
    let (server, database) = TestServer::start().await;
    let dba = database.connect().await;
    let sql = "insert into sources (country, status) select lpad(n::text, 2, '0'), 'active' from generate_series(1, 20) n";
    dba.batch_execute(sql).await.unwrap();
    let sql = "select id::text from sources where country = '05'";
    let id: String = dba.query_one(sql, &[]).await.unwrap().get(0);
    let query = json!({ "where": { "status": ["active"] }, "order": ["country"], "from": { "id": id }, "limit": 3 });
    let ann = server.visitor("ann").await;
    let mut live = Live::of(&ann).await;
    live.subscribe("a", "rows", query.clone()).await;
    let set = |status: &str| format!("update sources set status = '{status}' where country = '05'");
    dba.batch_execute(&set("inactive")).await.unwrap();
    live.until("the next takes its part", |live| {
        live.windows["a"].texts("country") == ["06", "07", "08"]
    })
    .await;
    dba.batch_execute(&set("active")).await.unwrap();
    live.until("it is before the window", |live| {
        live.windows["a"].first == 5
    })
    .await;
    let mut other = Live::of(&ann).await;
    other.subscribe("a", "rows", query).await;
    assert_eq!(other.windows["a"].texts("country"), ["05", "06", "07"]);
    live.send(json!({ "move": "a", "from": { "id": id } }))
        .await;
    live.until("it moves to the row", |live| {
        live.windows["a"].texts("country") == ["05", "06", "07"]
    })
    .await;
}
