//! What the owner of a data directory may put into it: root, who serves from it, is led nowhere.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use marketplace::{
    auth::default_admin::{self, Newcomer},
    db::migrate,
    embedded::Cluster,
    pg::dsn::Dsn,
};

use super::is_root;
use crate::support::postgres::{Home, options};

/// A user who is neither root nor PostgreSQL.
const USER: u32 = 1;
const SECRET: &str = "port = 4242\n15\nroot's own\n";

/// A data directory of a user's, in which a cluster has run, and a file of root's beside it.
struct Planted {
    home: Home,
    data: PathBuf,
    target: PathBuf,
}

impl Planted {
    async fn new() -> Self {
        let home = Home::new();
        fs::create_dir(&home.dir).unwrap();
        let (data, target) = (home.dir.join("data"), home.dir.join("target"));
        let template = Home::with_cluster().await;
        let copied = Command::new("cp")
            .arg("-a")
            .args([&template.dir, &data])
            .status();
        assert!(copied.unwrap().success());
        let owned = Command::new("chown")
            .args(["-R", &format!("{USER}:{USER}")])
            .arg(&data)
            .status();
        assert!(owned.unwrap().success());
        let this = Self { home, data, target };
        let cluster = this.start().await.expect("it starts");
        let database: Dsn = cluster.url().parse().unwrap();
        migrate::run(&database, "Europe/Paris").await.unwrap();
        let made = default_admin::welcome(&database, &this.data).await.unwrap();
        assert!(matches!(made, Newcomer::Made(_)), "{made:?}");
        cluster.stop().await.unwrap();
        fs::write(&this.target, SECRET).unwrap();
        crate::support::postgres::chmod(&this.target, 0o600);
        this
    }

    async fn start(&self) -> Result<Cluster, String> {
        Cluster::start(options(&self.data, &[]))
            .await
            .map_err(|error| error.to_string())
    }

    /// Starts, and looks after the account that was made.
    async fn use_it(&self) -> Result<(), String> {
        let cluster = self.start().await?;
        let database: Dsn = cluster.url().parse().unwrap();
        let newcomer = default_admin::welcome(&database, &self.data).await;
        cluster.stop().await.map_err(|error| error.to_string())?;
        newcomer.map(drop).map_err(|error| error.to_string())
    }

    /// Nothing of root's was read, changed or given away.
    fn assert_untouched(&self, what: &str, said: &str) {
        assert!(
            !said.contains("root's own") && !said.contains("4242"),
            "{what}: {said}"
        );
        assert_eq!(fs::read_to_string(&self.target).unwrap(), SECRET, "{what}");
        let metadata = fs::metadata(&self.target).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.mode() & 0o777),
            (0, 0o600),
            "{what}"
        );
    }
}

/// The files that a start reads or writes, and that belong to the program.
fn files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for directory in [data.to_owned(), data.join("cluster"), data.join("socket")] {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            // The server alone reads these, as the user to whom they belong.
            let name = entry.file_name();
            let of_server = ["postgresql.conf", "postgresql.auto.conf", "postmaster.opts"];
            if of_server.iter().any(|of_server| name == *of_server) {
                continue;
            }
            if entry.file_type().unwrap().is_file() {
                files.push(entry.path());
            }
        }
    }
    for temporary in [
        "password.new",
        "newcomer.new",
        "cluster/marketplace.conf.new",
        "cluster/pg_hba.conf.new",
        "cluster/pg_ident.conf.new",
        "cluster/postmaster.pid",
        "postgres.log.1",
        "socket/.s.PGSQL.5432",
        "socket/.s.PGSQL.5432.lock",
    ] {
        files.push(data.join(temporary));
    }
    files
}

#[tokio::test]
async fn root_follows_no_link_that_the_owner_of_a_data_directory_planted() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so no link could lead it anywhere");
        return;
    }
    let planted = Planted::new().await;
    let files = files(&planted.data);
    let named = |name: &str| files.iter().any(|file| file.ends_with(name));
    assert!(
        named("newcomer") && named("marketplace.lock") && named("cluster/PG_VERSION"),
        "{files:?}"
    );
    // These are read, so that a start is refused; the others are replaced or removed.
    let read = [
        "newcomer",
        "password",
        "marketplace.lock",
        "postgres.log",
        "cluster/PG_VERSION",
        "cluster/postmaster.pid",
    ];
    for file in files {
        let kept_aside = planted.home.dir.join("aside");
        let was_there = fs::rename(&file, &kept_aside).is_ok();
        let is_read = read.iter().any(|name| file.ends_with(name));
        for kind in ["symbolic link", "hard link", "pipe", "dangling link"] {
            if !is_read && !kind.ends_with("c link") {
                continue;
            }
            let made = match kind {
                "symbolic link" => symlink(&planted.target, &file),
                "hard link" => fs::hard_link(&planted.target, &file),
                "pipe" => {
                    let made = Command::new("mkfifo").arg(&file).status().unwrap();
                    assert!(made.success());
                    chown(&file, Some(USER), Some(USER))
                }
                _ => symlink(planted.home.dir.join("made"), &file),
            };
            made.unwrap();
            let what = format!("{kind} at {}", file.display());
            let used =
                tokio::time::timeout(crate::support::server::SOON * 4, planted.use_it()).await;
            let used = used.unwrap_or_else(|_| panic!("{what}: it hangs"));
            let said = used.clone().err().unwrap_or_default();
            planted.assert_untouched(&what, &said);
            assert!(
                !planted.home.dir.join("made").exists(),
                "{what}: the link was followed"
            );
            if is_read {
                assert!(said.contains("remove it"), "{what}: {said:?}");
                assert_eq!(said.lines().count(), 1, "{what}: {said}");
            }
            let _ = fs::remove_file(&file);
        }
        if was_there {
            fs::rename(&kept_aside, &file).unwrap();
        }
    }
    planted.use_it().await.expect("it is as before");
}

#[tokio::test]
async fn root_makes_and_gives_away_nothing_behind_a_link() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so no link could lead it anywhere");
        return;
    }
    let planted = Planted::new().await;
    let elsewhere = planted.home.dir.join("elsewhere");
    let names = |directory: &Path| -> Vec<OsString> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    for directory in ["socket", "cluster", "cluster.new"] {
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("kept"), SECRET).unwrap();
        let path = planted.data.join(directory);
        let aside = planted.home.dir.join("aside");
        let was_there = fs::rename(&path, &aside).is_ok();
        symlink(&elsewhere, &path).unwrap();
        let said = planted.use_it().await.err();
        if directory != "cluster.new" {
            let said = said.expect("it is refused");
            assert!(said.contains("remove it"), "{directory}: {said}");
        }
        assert_eq!(names(&elsewhere), ["kept"], "{directory}");
        assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), 0, "{directory}");
        let _ = fs::remove_file(&path);
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
        fs::remove_dir_all(&elsewhere).unwrap();
    }

    // A user's directory on the way, and the data directory itself.
    let home = planted.home.dir.join("user");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, home.join("data")).unwrap();
    for wanted in [
        home.join("data"),
        home.join("data/postgres"),
        home.join("data/a/b"),
    ] {
        let started = Cluster::start(options(&wanted, &[])).await;
        let said = started.expect_err("it is refused").to_string();
        assert!(said.contains("symbolic link"), "{said}");
        assert!(names(&elsewhere).is_empty(), "{}", wanted.display());
        assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), 0);
    }
}
