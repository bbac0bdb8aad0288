//! The same connection string given to libpq and to this program: both connect, or neither does.

use std::{fs, process::Stdio};

use marketplace::{
    error::Error,
    pg::{dsn::Dsn, primary::Primary},
};
use tokio::{process::Command, time::timeout};

use crate::support::{
    postgres::{Authority, Certificate, TlsCluster, connect, tls_cluster},
    program::program,
    server::{SOON, eventually},
};

/// Who is connected, how; `None` when nobody is.
type Seen = Option<String>;

const QUESTION: &str = "select concat_ws(' ', current_user, current_database(), ssl) from pg_stat_ssl where pid = pg_backend_pid()";

async fn libpq(text: &str) -> (Seen, String) {
    let psql = Command::new("psql")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .args(["-X", "-w", "-A", "-t", "-c", QUESTION, "-d", text])
        .stdin(Stdio::null())
        .output();
    let output = timeout(SOON, psql).await.expect("psql ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success().then_some(seen), said)
}

async fn ours(text: &str) -> (Seen, String) {
    let connected = async {
        let dsn: Dsn = text.parse().map_err(Error::Config)?;
        let (client, wire) = Primary::new(&dsn)?.connect().await?;
        tokio::spawn(wire);
        let row = client.query_one(QUESTION, &[]).await?;
        Ok::<String, Error>(row.try_get(0)?)
    };
    match timeout(SOON, connected).await.expect("it ends") {
        Ok(seen) => (Some(seen), String::new()),
        Err(error) => (None, error.to_string()),
    }
}

/// Both see the same, and what is said holds no password.
async fn assert_same(text: &str) -> Seen {
    let (theirs, they_said) = libpq(text).await;
    let (ours, we_said) = ours(text).await;
    assert_eq!(ours, theirs, "{text}\nlibpq: {they_said}\nhere: {we_said}");
    assert!(!we_said.contains("geheim"), "{we_said}");
    ours
}

#[expect(clippy::too_many_lines, reason = "a table of strings")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_strings_mean_what_libpq_makes_of_them() {
    let tls = tls_cluster().await;
    let dba = connect(&tls.cluster.url()).await;
    dba.batch_execute(
        "create role blanks login password 'ge  heim';
         create role tricky login password 'geheim sslmode=disable&x=''\\?';
         create role ssl_only login password 'geheim';
         create role plain_only login password 'geheim'",
    )
    .await
    .unwrap();
    let hba = tls.cluster.data_dir().join("cluster/pg_hba.conf");
    let rules = "hostnossl all plain_only 127.0.0.1/32 scram-sha-256\n\
                 hostssl all ssl_only 127.0.0.1/32 scram-sha-256\n\
                 host all plain_only,ssl_only 127.0.0.1/32 reject\n";
    fs::write(
        &hba,
        format!("{rules}{}", fs::read_to_string(&hba).unwrap()),
    )
    .unwrap();
    dba.batch_execute("select pg_reload_conf()").await.unwrap();
    let (port, ca) = (tls.cluster.port(), tls.ca_file.display().to_string());
    let other = tls.other_ca_file.display().to_string();
    let reloaded = format!(
        "host=127.0.0.1 port={port} user=plain_only password=geheim dbname=marketplace sslmode=require"
    );
    eventually("the rules are obeyed", async || {
        libpq(&reloaded).await.0.is_none()
    })
    .await;

    let at = format!("host=127.0.0.1 port={port} dbname=marketplace");
    let tricky = r"password='geheim sslmode=disable&x=\'\\?'";
    let encoded = "geheim%20sslmode%3Ddisable%26x%3D%27%5C%3F";
    let (mut connected, mut refused) = (0, 0);
    for text in [
        // Values with blanks and with what looks like another option.
        format!("{at} user=blanks password='ge  heim'"),
        format!("{at} user=blanks password=ge\\ \\ heim"),
        format!("{at} user = blanks\n password  =  'ge  heim'\n"),
        format!("{at} user=blanks password='ge heim'"),
        format!("{at} user=tricky {tricky} sslmode=require"),
        format!("{at} user=tricky sslmode=require {tricky}"),
        format!("{at} user=tricky password=wrong {tricky}"),
        format!("postgresql://tricky:{encoded}@127.0.0.1:{port}/marketplace?sslmode=require"),
        format!("postgres://127.0.0.1:{port}/marketplace?user=tricky&password={encoded}"),
        format!("postgres://tricky:geheim%zz@127.0.0.1:{port}/marketplace"),
        format!("postgres://blanks:ge++heim@127.0.0.1:{port}/marketplace"),
        format!("postgres://blanks:ge%20%20heim@127.0.0.1:{port}/marketplace?sslmode=require&"),
        format!("postgres://blanks:ge%20%20heim@127.0.0.1:{port}/marketplace?ssl=true"),
        format!("postgres://blanks:ge%20%20heim@127.0.0.1:{port}/marketplace?sslmode"),
        format!("postgres://blanks:ge%20%20heim@127.0.0.1:{port}/marketplace?&sslmode=require"),
        format!("postgres://blanks:ge%20%20heim@127.0.0.1:{port}/marketplace?sslmode=a=b"),
        format!("{at} user=blanks password='ge  heim"),
        format!("{at} user=blanks password='ge  heim' geheim"),
        format!("{at} user=blanks password='ge  heim' nothing=known"),
        format!("{at} user=blanks password='ge  heim' host=127.0.0.1 sslmode=maybe"),
        // Every sslmode, and the way back from the first attempt.
        format!("{at} user=plain_only password=geheim sslmode=disable"),
        format!("{at} user=plain_only password=geheim sslmode=allow"),
        format!("{at} user=plain_only password=geheim sslmode=prefer"),
        format!("{at} user=plain_only password=geheim"),
        format!("{at} user=plain_only password=geheim sslmode=require"),
        format!("{at} user=ssl_only password=geheim sslmode=disable"),
        format!("{at} user=ssl_only password=geheim sslmode=allow"),
        format!("{at} user=ssl_only password=geheim sslmode=prefer"),
        format!("{at} user=ssl_only password=geheim sslmode=require"),
        format!("{at} user=blanks password='ge  heim' sslmode=allow"),
        format!("{at} user=blanks password='ge  heim' sslmode=prefer"),
        format!("{at} user=blanks password=geheim sslmode=prefer"),
        format!("{at} user=ssl_only password=geheim requiressl=1"),
        // A root certificate is used by every mode.
        format!("{at} user=ssl_only password=geheim sslmode=require sslrootcert={ca}"),
        format!("{at} user=ssl_only password=geheim sslmode=require sslrootcert={other}"),
        format!("{at} user=ssl_only password=geheim sslmode=prefer sslrootcert={other}"),
        format!("{at} user=ssl_only password=geheim sslmode=allow sslrootcert={other}"),
        format!("{at} user=blanks password='ge  heim' sslmode=prefer sslrootcert={other}"),
        format!("{at} user=blanks password='ge  heim' sslmode=prefer sslrootcert={ca}"),
        format!("{at} user=ssl_only password=geheim sslmode=verify-ca sslrootcert={ca}"),
        format!("{at} user=ssl_only password=geheim sslmode=verify-full sslrootcert={ca}"),
        format!(
            "host=localhost hostaddr=127.0.0.1 port={port} dbname=marketplace user=ssl_only password=geheim sslmode=verify-full sslrootcert={ca}"
        ),
        // Hosts.
        format!("hostaddr=127.0.0.1 port={port} dbname=marketplace user=ssl_only password=geheim"),
        format!(
            "hostaddr=127.0.0.1 port={port} dbname=marketplace user=ssl_only password=geheim sslmode=verify-full sslrootcert={ca}"
        ),
        format!(
            "host=127.0.0.1,127.0.0.1 port=1,{port} dbname=marketplace user=ssl_only password=geheim"
        ),
        format!(
            "host=127.0.0.1,127.0.0.1 port={port} dbname=marketplace user=ssl_only password=geheim"
        ),
        format!("host=127.0.0.1 port=1,{port} dbname=marketplace user=ssl_only password=geheim"),
        format!("postgres://ssl_only:geheim@127.0.0.1:1,127.0.0.1:{port}/marketplace"),
        format!("postgres://ssl_only:geheim@ignored/marketplace?host=127.0.0.1&port={port}"),
        format!("postgres://ssl_only:geheim@[127.0.0.1]:{port}/marketplace"),
        "postgres://ssl_only:geheim@127.0.0.1:0/marketplace".to_owned(),
        "postgres://ssl_only:geheim@127.0.0.1:99999/marketplace".to_owned(),
        // Options that change nothing here, and those that choose a server.
        format!(
            "{at} user=ssl_only password=geheim gssencmode=disable fallback_application_name=x"
        ),
        format!("{at} user=ssl_only password=geheim target_session_attrs=primary"),
        format!("{at} user=ssl_only password=geheim target_session_attrs=read-write"),
        format!("{at} user=ssl_only password=geheim target_session_attrs=any"),
        format!("{at} user=ssl_only password=geheim target_session_attrs=standby"),
        format!("{at} user=ssl_only password=geheim target_session_attrs=read-only"),
        format!("{at} user=ssl_only password=geheim target_session_attrs=nobody"),
        format!("{at} user=ssl_only password=geheim channel_binding=require"),
        format!("{at} user=plain_only password=geheim channel_binding=require"),
        format!(
            "{at} user=ssl_only password=geheim keepalives=1 keepalives_count=2 tcp_user_timeout=20000 connect_timeout=5"
        ),
        format!("{at} user=ssl_only password=geheim options='-c statement_timeout=7s'"),
        format!("{at} user=ssl_only password=geheim ssl_min_protocol_version=TLSv1.3"),
        format!("{at} user=ssl_only password=geheim ssl_max_protocol_version=TLSv1.2"),
        format!("{at} user=ssl_only password=geheim sslsni=0 sslcompression=0"),
    ] {
        match assert_same(&text).await {
            Some(_) => connected += 1,
            None => refused += 1,
        }
    }
    assert!(connected > 20 && refused > 20, "{connected} and {refused}");
    // A line's end behind a URI is none of libpq's, but of many a file.
    let url = format!("postgres://ssl_only:geheim@127.0.0.1:{port}/marketplace\n");
    assert_eq!(
        ours(&url).await.0.as_deref(),
        Some("ssl_only marketplace t")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_believed_as_libpq_believes_them() {
    let tls = tls_cluster().await;
    let dba = connect(&tls.cluster.url()).await;
    dba.batch_execute("create role visitor login password 'geheim'")
        .await
        .unwrap();
    let port = tls.cluster.port();
    let (mut believed, mut refused) = (0, 0);
    for certificate in Certificate::ALL {
        tls.present(certificate).await;
        let itself = tls.cluster.data_dir().join("cluster/server.crt");
        for root in [&tls.ca_file, &tls.other_ca_file, &itself] {
            for (mode, host) in [
                ("require", "127.0.0.1"),
                ("verify-ca", "127.0.0.1"),
                ("verify-full", TlsCluster::NAME),
                ("verify-full", "127.0.0.1"),
            ] {
                let root = root.display();
                let text = format!(
                    "host={host} hostaddr=127.0.0.1 port={port} user=visitor password=geheim \
                     dbname=marketplace sslmode={mode} sslrootcert={root}"
                );
                match assert_same(&text).await {
                    Some(_) => believed += 1,
                    None => refused += 1,
                }
            }
        }
        let unverified = format!(
            "host=127.0.0.1 port={port} user=visitor password=geheim dbname=marketplace sslmode=require"
        );
        assert!(assert_same(&unverified).await.is_some(), "{certificate:?}");
        let old = format!("{unverified} ssl_max_protocol_version=TLSv1.2");
        assert!(assert_same(&old).await.is_some(), "{certificate:?}");
    }
    assert!(believed > 15 && refused > 15, "{believed} and {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_vouch_for_what_they_say_and_nothing_else() {
    let tls = tls_cluster().await;
    let dba = connect(&tls.cluster.url()).await;
    dba.batch_execute("create role visitor login password 'geheim'")
        .await
        .unwrap();
    let port = tls.cluster.port();
    let mut believed = Vec::new();
    for authority in Authority::ALL {
        // The usual one is for webpki to judge, the others are not.
        for certificate in [
            Certificate::Usual,
            Certificate::VersionOne,
            Certificate::Authority,
        ] {
            let root = tls.present_by(certificate, authority).await;
            for mode in ["require", "verify-ca", "verify-full"] {
                let text = format!(
                    "host={} hostaddr=127.0.0.1 port={port} user=visitor password=geheim \
                     dbname=marketplace sslmode={mode} sslrootcert={}",
                    TlsCluster::NAME,
                    root.display()
                );
                // libpq looks for no name in a subject that has no dot; here nothing is looked for in a subject.
                let is_stricter = matches!(authority, Authority::OfOtherNames)
                    && !matches!(certificate, Certificate::Usual);
                let seen = if is_stricter {
                    ours(&text).await.0
                } else {
                    assert_same(&text).await
                };
                if seen.is_some() {
                    believed.push(format!("{authority:?}"));
                }
            }
        }
    }
    assert_eq!(believed, ["OfServers"; 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_shows_its_certificate() {
    let tls = tls_cluster().await;
    let dba = connect(&tls.cluster.url()).await;
    dba.batch_execute("create role visitor login")
        .await
        .unwrap();
    let dir = tls.cluster.data_dir().join("cluster");
    let (certificate, key) = tls.client_certificate("visitor");
    let hba = dir.join("pg_hba.conf");
    let rules = "hostssl all visitor 127.0.0.1/32 cert\n";
    fs::write(
        &hba,
        format!("{rules}{}", fs::read_to_string(&hba).unwrap()),
    )
    .unwrap();
    dba.batch_execute("alter system set ssl_ca_file = 'ca.crt'")
        .await
        .unwrap();
    dba.batch_execute("select pg_reload_conf()").await.unwrap();
    let at = format!(
        "host=127.0.0.1 port={} user=visitor dbname=marketplace sslmode=require",
        tls.cluster.port()
    );
    let with = format!(
        "{at} sslcert={} sslkey={}",
        certificate.display(),
        key.display()
    );
    eventually("the rules are obeyed", async || {
        libpq(&with).await.0.is_some()
    })
    .await;
    assert!(assert_same(&with).await.is_some());
    assert!(assert_same(&at).await.is_none());
    assert!(
        assert_same(&format!("{with} sslcertmode=disable").replace(" sslcertmode=disable", ""))
            .await
            .is_some()
    );
    crate::support::postgres::chmod(&key, 0o644);
    assert!(
        assert_same(&with).await.is_none(),
        "others can read the key"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_is_verified() {
    let tls = tls_cluster().await;
    let (url, ca) = (tls.cluster.url(), tls.ca_file.display().to_string());
    let by_name = url.replace("127.0.0.1", TlsCluster::NAME);
    for (url, expected) in [
        (format!("{url}?sslmode=disable"), "none; not needed"),
        (format!("{url}?sslmode=require"), "encrypted, not verified"),
        (
            format!("{url}?sslmode=require&sslrootcert={ca}"),
            "encrypted, the authority verified",
        ),
        (
            format!("{by_name}?sslmode=verify-full&sslrootcert={ca}"),
            "encrypted, verified",
        ),
    ] {
        let mut doctor = program(&["doctor"]);
        doctor.env("DATABASE_URL", &url);
        let output = timeout(SOON, doctor.output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let line = said.lines().find(|line| line.contains("encryption: "));
        assert!(
            line.is_some_and(|line| line.contains(expected)),
            "{url}: {said}"
        );
    }
}
