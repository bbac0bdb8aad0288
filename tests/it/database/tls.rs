//! TLS to PostgreSQL, against a cluster with a certificate of its own authority.

mod libpq;

use marketplace::pg::{Pool, dsn::Dsn};

use crate::support::{
    postgres::{TlsCluster, tls_cluster},
    server::{TestServer, database},
};

/// Whether a connection with these options is encrypted; an error when none is made.
async fn encrypted(url: &str) -> Result<bool, String> {
    let dsn: Dsn = url.parse()?;
    let pool = Pool::new(&dsn, 1).map_err(|e| e.to_string())?;
    let client = pool.client().await.map_err(|e| e.to_string())?;
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let rows = client
        .query_typed(sql, &[])
        .await
        .map_err(|e| e.to_string())?;
    Ok(rows[0].get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sslmode_verifies_what_it_says() {
    let TlsCluster {
        cluster,
        ca_file,
        other_ca_file,
        ..
    } = tls_cluster().await;
    let by_address = cluster.url();
    let by_name = by_address.replace("127.0.0.1", TlsCluster::NAME);
    let (ca, other) = (ca_file.display(), other_ca_file.display());
    for (url, options, expected) in [
        (&by_address, "sslmode=disable".to_owned(), Ok(false)),
        (&by_address, "sslmode=prefer".to_owned(), Ok(true)),
        (&by_address, "sslmode=require".to_owned(), Ok(true)),
        (
            &by_address,
            format!("sslmode=verify-ca&sslrootcert={ca}"),
            Ok(true),
        ),
        (
            &by_name,
            format!("sslmode=verify-full&sslrootcert={ca}"),
            Ok(true),
        ),
        (
            &by_address,
            format!("sslmode=verify-full&sslrootcert={ca}"),
            Err(()),
        ),
        (
            &by_address,
            format!("sslmode=verify-ca&sslrootcert={other}"),
            Err(()),
        ),
        (
            &by_name,
            format!("sslmode=verify-full&sslrootcert={other}"),
            Err(()),
        ),
        (&by_address, "sslmode=verify-ca".to_owned(), Err(())),
        (
            &by_address,
            "sslmode=verify-ca&sslrootcert=/nowhere.pem".to_owned(),
            Err(()),
        ),
    ] {
        let got = encrypted(&format!("{url}?{options}")).await;
        assert_eq!(got.clone().map_err(drop), expected, "{options}: {got:?}");
    }

    // The listener, the migrations and the pool all speak it.
    let url = format!("{by_name}?sslmode=verify-full&sslrootcert={ca}");
    let server = TestServer::on(&url, &[]).await;
    let dba = crate::support::postgres::connect(&cluster.url()).await;
    let sql = "select count(*), bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
                where application_name like 'marketplace%'";
    let row = dba.query_one(sql, &[]).await.unwrap();
    assert!(
        row.get::<_, i64>(0) >= 2,
        "the listener and the pool are connected"
    );
    assert!(row.get::<_, bool>(1), "all of them encrypted");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_refused_where_it_is_required() {
    let database = database().await;
    let got = encrypted(&format!("{}?sslmode=prefer", database.url)).await;
    assert_eq!(got, Ok(false));
    let got = encrypted(&format!("{}?sslmode=require", database.url)).await;
    assert!(got.is_err(), "{got:?}");
}
