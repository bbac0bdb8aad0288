//! A primary dies or falls silent, its standby is promoted, and the server follows by itself; what
//! was the primary comes back and gets no more writes.

use std::time::{Duration, Instant};

use marketplace::pg::{Pool, dsn::Dsn};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    cli::embedded::server as postmaster,
    support::{
        client::Http,
        dashboard::Dashboard,
        postgres::{
            PrivateCluster, connect, private_cluster,
            standby::{self, standby_of},
        },
        processes::{Process, until},
        server::{TestServer, eventually},
    },
};

const WATCHED: Uuid = Uuid::from_u128(1);
const SEED: &str = "insert into sources (id, country) values
    ('00000000-0000-0000-0000-000000000001', 'one'),
    ('00000000-0000-0000-0000-000000000002', 'two')";
/// From a promotion until writes work and every dashboard shows what the new primary holds.
const FRESH: Duration = Duration::from_secs(15);

/// Two servers of PostgreSQL, one of ours that knows both, and somebody who watches.
struct Pair {
    primary: Option<PrivateCluster>,
    standby: Option<PrivateCluster>,
    server: TestServer,
    visitor: Http,
    dashboard: Dashboard,
    /// The address with both hosts, the first primary first.
    url: String,
}

impl Pair {
    async fn start() -> Self {
        let primary = private_cluster(&[]).await;
        let standby = standby_of(&primary).await;
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
        let one = format!("127.0.0.1:{}", primary.port());
        let url = primary.url().replace(&one, &hosts);
        let server = TestServer::on(&url, &[]).await;
        let dba = connect(&primary.url()).await;
        dba.batch_execute(SEED).await.unwrap();
        let visitor = server.visitor("somebody").await;
        let mut dashboard = Dashboard::open(&visitor, WATCHED).await;
        dashboard.agrees_with(&dba, WATCHED).await;
        let replica = connect(&standby.url()).await;
        assert!(!in_recovery(&dba).await && in_recovery(&replica).await);
        let written = "select pg_current_wal_insert_lsn()::text";
        let written: String = dba.query_one(written, &[]).await.unwrap().get(0);
        let replayed = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        eventually("the standby has all of it", async || {
            replica
                .query_one(replayed, &[&written])
                .await
                .unwrap()
                .get(0)
        })
        .await;
        Self {
            primary: Some(primary),
            standby: Some(standby),
            server,
            visitor,
            dashboard,
            url,
        }
    }

    fn primary(&self) -> &PrivateCluster {
        self.primary.as_ref().expect("it is not away")
    }

    fn standby(&self) -> &PrivateCluster {
        self.standby.as_ref().expect("it is not away")
    }

    /// Has the server open several connections, as at a busy hour.
    async fn be_busy(&self) {
        let dba = connect(&self.primary().url()).await;
        let ours = "select count(*) from pg_stat_activity where application_name = 'marketplace'";
        eventually("the pool has several connections", async || {
            let requests = (0..30).map(|_| {
                let mut visitor = self.visitor.clone();
                async move { visitor.get("/api/read-source/").send().await.status }
            });
            let statuses = futures_util::future::join_all(requests).await;
            assert!(statuses.iter().all(|status| *status == 200));
            count(&dba, ours).await >= 4
        })
        .await;
    }

    /// Promotes the standby, changes a row there at once, and waits until the server has followed.
    async fn fail_over(&mut self, what: &str) -> Client {
        let dba = connect(&self.standby().url()).await;
        dba.execute("select pg_promote()", &[]).await.unwrap();
        let promoted = Instant::now();
        assert!(!in_recovery(&dba).await, "the standby was promoted");
        // Committed before anybody of ours can have come here, so nobody is told of it.
        dba.batch_execute("update sources set country = 'early' where id::text like '%2'")
            .await
            .unwrap();
        eventually("writes work", async || self.write("written").await == 200).await;
        let written = promoted.elapsed();
        let country = "select count(*) from sources where country = 'written'";
        assert_eq!(
            count(&dba, country).await,
            1,
            "the new primary was written to"
        );
        self.dashboard.agrees_with(&dba, WATCHED).await;
        self.server.ready().await;
        let fresh = promoted.elapsed();
        println!("{what}: writes work {written:.2?}, all is fresh {fresh:.2?} after the promotion");
        assert!(fresh < FRESH, "{fresh:?}");
        dba
    }

    /// Changes the watched row over HTTP; every answer comes within two seconds.
    async fn write(&mut self, country: &str) -> u16 {
        let path = format!("/api/update-source/{WATCHED}/");
        let asked = Instant::now();
        let answer = self
            .visitor
            .call("PATCH", &path)
            .json(&json!({ "country": country }));
        let answer = answer.send().await;
        assert!(
            asked.elapsed() < Duration::from_millis(2500),
            "{:?}",
            asked.elapsed()
        );
        assert!(answer.json().is_object(), "{}", answer.text());
        answer.status
    }

    /// Takes the new primary away for a while, so that the server has to choose again, and shows
    /// that it waits for the same one.
    async fn chooses_again(&mut self, country: &str) {
        let port = self.standby().port();
        let home = self.standby.take().expect("it is not away").stop().await;
        let address = ("127.0.0.1", port);
        let away = tokio::net::TcpStream::connect(address).await.is_err();
        assert!(away, "the new primary is away");
        assert_eq!(
            self.write(country).await,
            503,
            "another host took the write"
        );
        self.standby = Some(standby::start(home, port).await);
        let dba = connect(&self.standby().url()).await;
        eventually("a write works", async || self.write(country).await == 200).await;
        let sql = format!("select count(*) from sources where country = '{country}'");
        assert_eq!(count(&dba, &sql).await, 1, "the write went astray");
        let listeners = "select count(*) from pg_stat_activity
                          where application_name = 'marketplace listener'";
        eventually("it listens there", async || {
            count(&dba, listeners).await == 1
        })
        .await;
        self.dashboard.agrees_with(&dba, WATCHED).await;
    }
}

async fn in_recovery(dba: &Client) -> bool {
    dba.query_one("select pg_is_in_recovery()", &[])
        .await
        .unwrap()
        .get(0)
}

async fn count(dba: &Client, sql: &str) -> i64 {
    dba.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_of_a_dead_primary_is_followed_and_the_old_one_gets_no_writes() {
    let mut pair = Pair::start().await;
    // From here on the standby hears nothing: what is committed now is lost with the primary.
    let replica = connect(&pair.standby().url()).await;
    replica
        .batch_execute("alter system set primary_conninfo = ''")
        .await
        .unwrap();
    replica
        .batch_execute("select pg_reload_conf()")
        .await
        .unwrap();
    let dba = connect(&pair.primary().url()).await;
    eventually("replication has ended", async || {
        count(&dba, "select count(*) from pg_stat_replication").await == 0
    })
    .await;
    dba.batch_execute("insert into sources (country) values ('lost')")
        .await
        .unwrap();
    pair.dashboard.agrees_with(&dba, WATCHED).await;

    let killed = postmaster(pair.primary().data_dir());
    killed.signal("KILL");
    assert!(!killed.is_alive(), "the primary is dead");
    assert_eq!(pair.write("nowhere").await, 503, "no server takes writes");
    let mut operator = Http::new(&pair.server.base);
    eventually(
        "the server says of each host why it will not do",
        async || {
            let text = operator.get("/readyz").send().await.text();
            text.contains(&format!("127.0.0.1:{}: ", pair.primary().port()))
                && text.contains(&format!("127.0.0.1:{}: ", pair.standby().port()))
                && text.contains("does not allow writes")
        },
    )
    .await;
    let new = pair.fail_over("the primary was killed").await;
    let lost = "select count(*) from sources where country = 'lost'";
    assert_eq!(count(&new, lost).await, 0);
    drop(new);

    // What was the primary comes back as one, as a service manager would bring it.
    let port = pair.primary().port();
    let home = pair.primary.take().expect("it is not away").stop().await;
    let former = standby::start(home, port).await;
    let old = connect(&former.url()).await;
    assert!(!in_recovery(&old).await, "the former primary takes writes");
    pair.chooses_again("second").await;
    let astray = "select count(*) from sources where country in ('written', 'second')";
    assert_eq!(count(&old, astray).await, 0);
    drop(old);

    // Then as the new one's standby.
    let former = standby::rejoin(former.stop().await, port, pair.standby()).await;
    let old = connect(&former.url()).await;
    assert!(in_recovery(&old).await, "the former primary is a standby");
    pair.chooses_again("third").await;
    // One who knows nothing of the past finds the right one too.
    let dsn: Dsn = pair.url.parse().expect("the tests' address is well-formed");
    let client = Pool::new(&dsn, 1).unwrap().client().await.unwrap();
    let rows = client
        .query_typed("select pg_is_in_recovery()", &[])
        .await
        .unwrap();
    assert!(!rows[0].get::<_, bool>(0));
    eventually("the standby follows", async || {
        let sql = "select count(*) from sources where country = 'third'";
        count(&old, sql).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standby_of_a_silent_primary_is_followed_and_stays_so_when_that_wakes() {
    let mut pair = Pair::start().await;
    let port = pair.primary().port();
    pair.be_busy().await;
    let silent = Silent::all_of(postmaster(pair.primary().data_dir())).await;
    let mut hello = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let asked = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        // An SSLRequest, which any server answers with a byte.
        hello
            .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
            .await
            .unwrap();
        hello.read_u8().await
    };
    let answer = tokio::time::timeout(Duration::from_millis(300), asked).await;
    assert!(
        answer.is_err(),
        "the primary accepts connections and answers nothing"
    );
    assert_eq!(pair.write("nowhere").await, 503);

    pair.fail_over("the primary fell silent").await;
    drop(silent);
    let old = connect(&pair.primary().url()).await;
    assert!(
        !in_recovery(&old).await,
        "the former primary is awake and takes writes"
    );
    pair.chooses_again("second").await;
    let astray = "select count(*) from sources where country in ('written', 'second')";
    assert_eq!(count(&old, astray).await, 0);
    let ours = "select count(*) from pg_stat_activity where application_name like 'marketplace%'";
    eventually("nobody is connected to it any more", async || {
        // A connection that was busy when the host fell silent goes when its turn comes.
        pair.visitor.get("/api/read-source/").send().await.status == 200
            && count(&old, ours).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_silent_host_in_front_of_the_list_costs_a_moment() {
    let database = crate::support::server::database().await;
    // The kernel accepts, and nobody answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let (user, rest) = database
        .url
        .rsplit_once('@')
        .expect("an address has a user");
    let dsn: Dsn = format!("{user}@{silent},{rest}").parse().unwrap();
    let pool = Pool::new(&dsn, 2).unwrap();
    // The pool gives up after 1.5 s.
    let first = pool.client().await.unwrap();
    let asked = Instant::now();
    let second = pool.client().await.unwrap();
    println!("the second connection took {:?}", asked.elapsed());
    for client in [first, second] {
        let rows = client
            .query_typed("select pg_is_in_recovery()", &[])
            .await
            .unwrap();
        assert!(!rows[0].get::<_, bool>(0));
    }
}

/// Processes that are stopped until this value is dropped.
struct Silent(Vec<Process>);

impl Silent {
    /// A server and its backends.
    async fn all_of(postmaster: Process) -> Self {
        postmaster.signal("STOP");
        let mut all = postmaster.children();
        for child in &all {
            child.signal("STOP");
        }
        all.push(postmaster);
        until("they have stopped", || {
            all.iter()
                .all(|process| process.status("State").starts_with(['T', 'Z']))
        })
        .await;
        Self(all)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        for process in &self.0 {
            process.signal("CONT");
        }
    }
}
