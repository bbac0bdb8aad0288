//! What the owner of a directory of uploads may put into it: root, who serves from it, is led nowhere.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use uuid::Uuid;

use super::{ADD, ANN, AT_ONCE, Store, add, names_in, noted, send};
use crate::{
    cli::embedded::is_root,
    support::{
        client::Http,
        metrics::metric,
        postgres::chmod,
        program::program,
        server::{SOON, TestServer, database, eventually},
    },
};

/// A user who is neither root nor PostgreSQL.
const USER: u32 = 1;
const SECRET: &str = "root's own\n";

/// A directory of a user's with a directory of uploads, and beside it what belongs to root.
struct Planted {
    home: Store,
    /// The user's directory.
    user: PathBuf,
    /// A file of root's.
    target: PathBuf,
    /// A directory of root's.
    elsewhere: PathBuf,
}

impl Planted {
    fn new() -> Self {
        let home = Store::new();
        let [user, target, elsewhere] =
            ["user", "target", "elsewhere"].map(|name| home.0.join(name));
        fs::create_dir(&home.0).unwrap();
        for directory in [&user, &user.join("uploads")] {
            fs::create_dir(directory).unwrap();
            chown(directory, Some(USER), Some(USER)).unwrap();
        }
        fs::write(&target, SECRET).unwrap();
        chmod(&target, 0o600);
        fs::create_dir(&elsewhere).unwrap();
        Self {
            home,
            user,
            target,
            elsewhere,
        }
    }

    fn uploads(&self) -> PathBuf {
        self.user.join("uploads")
    }

    /// Puts a link to what is root's into the place of something, and gives where that is kept.
    fn link(&self, place: &Path, target: &Path) -> PathBuf {
        let aside = self.home.0.join("aside");
        fs::rename(place, &aside).unwrap();
        symlink(target, place).unwrap();
        aside
    }
}

fn url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_follows_no_link_in_the_place_of_an_upload() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so no link could lead it anywhere");
        return;
    }
    let (planted, database) = (Planted::new(), database().await);
    let arguments = ["--uploads-url", &url(&planted.uploads())];
    let server = TestServer::on(&database.url, &arguments).await;
    let mut editor = server.visitor("editor").await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = source["data_upload"].as_str().unwrap().to_owned();
    assert_eq!(editor.get(&path).send().await.body, b"1");
    let files = names_in(&planted.uploads());
    assert_eq!(files.len(), 1);
    let file = planted.uploads().join(&files[0]);
    let aside = planted.home.0.join("aside");
    fs::rename(&file, &aside).unwrap();
    for kind in ["symbolic link", "hard link", "pipe", "another user's file"] {
        match kind {
            "symbolic link" => symlink(&planted.target, &file).unwrap(),
            "hard link" => fs::hard_link(&planted.target, &file).unwrap(),
            "pipe" => {
                let made = Command::new("mkfifo").arg(&file).status().unwrap();
                assert!(made.success());
                chown(&file, Some(USER), Some(USER)).unwrap();
            }
            _ => {
                fs::write(&file, SECRET).unwrap();
                chown(&file, Some(USER + 1), Some(USER + 1)).unwrap();
            }
        }
        let answer = tokio::time::timeout(SOON, editor.get(&path).send()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{kind}: it hangs"));
        assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
        assert!(!answer.text().contains(SECRET.trim()), "{kind}");
        fs::remove_file(&file).unwrap();
    }
    fs::rename(&aside, &file).unwrap();
    assert_eq!(editor.get(&path).send().await.body, b"1");
    assert_eq!(fs::read_to_string(&planted.target).unwrap(), SECRET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_stores_and_removes_nothing_behind_a_link() {
    if !is_root() {
        eprintln!("NOT COVERED: this is not root, so no link could lead it anywhere");
        return;
    }
    let (planted, database) = (Planted::new(), database().await);
    let in_user = url(&planted.uploads());
    let arguments = ["--uploads-url", &in_user, AT_ONCE[0], AT_ONCE[1]];
    let server = TestServer::on(&database.url, &arguments).await;
    let mut editor = server.visitor("editor").await;
    let source = add(&mut editor, ("a.csv", b"1")).await;
    let path = source["data_upload"].as_str().unwrap().to_owned();
    let name = names_in(&planted.uploads()).remove(0);

    let aside = planted.link(&planted.uploads(), &planted.elsewhere);
    fs::write(planted.elsewhere.join(&name), SECRET).unwrap();
    let untouched = |what: &str| {
        assert_eq!(names_in(&planted.elsewhere), [&*name], "{what}");
        let kept = fs::read_to_string(planted.elsewhere.join(&name)).unwrap();
        assert_eq!(kept, SECRET, "{what}");
        assert_eq!(fs::metadata(&planted.elsewhere).unwrap().uid(), 0, "{what}");
    };
    let fetched = editor.get(&path).send().await;
    assert_eq!(fetched.status, 503, "{}", fetched.text());
    let refused = send(&mut editor, ADD, ANN, ("b.csv", b"2")).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    untouched("a file is sent");
    assert_eq!(noted(&database).await, 1, "what is not stored is not noted");
    let delete = format!("/api/delete-source/{}/", source["id"].as_str().unwrap());
    assert_eq!(editor.call("DELETE", &delete).send().await.status, 204);
    let series = "marketplace_uploads_sweep_stopped{reason=\"failing\"}";
    eventually("it is known that sweeps fail", async || {
        metric(&mut Http::new(&server.base), series).await == Some(1.0)
    })
    .await;
    untouched("a file is removed");
    let mut check = program(&["check", "--uploads-url", &in_user]);
    let checked = check.output().await.unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("symbolic link"), "{said}");
    untouched("the configuration is checked");

    fs::remove_file(planted.uploads()).unwrap();
    fs::rename(aside, planted.uploads()).unwrap();
    add(&mut editor, ("c.csv", b"3")).await;

    // A link on the way, and one that leads where nothing is yet.
    symlink(&planted.elsewhere, planted.user.join("link")).unwrap();
    symlink(
        planted.elsewhere.join("made"),
        planted.user.join("dangling"),
    )
    .unwrap();
    for directory in ["link/uploads", "link/a/b", "dangling"] {
        let uploads = url(&planted.user.join(directory));
        let server = TestServer::on(&database.url, &["--uploads-url", &uploads]).await;
        let mut other = server.visitor(&format!("editor-{}", Uuid::new_v4())).await;
        let refused = send(&mut other, ADD, ANN, ("d.csv", b"4")).await;
        assert_eq!(refused.status, 503, "{directory}: {}", refused.text());
        untouched(directory);
    }
}
