//! What is installed and shipped: `make install`, the units of systemd, the container's files, and
//! that every command, setting and file that these name exists.

use std::{fs, path::Path, process::Command};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    postgres::Home,
    program::{PROGRAM, program},
    server::TestServer,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A directory for one test.
fn directory() -> Home {
    let home = Home::new();
    fs::create_dir(&home.dir).expect("a directory can be made");
    home
}

fn install(destination: &Path) {
    let output = Command::new("make")
        .current_dir(ROOT)
        .arg("install")
        .arg(format!("PROGRAM={PROGRAM}"))
        .arg(format!("DESTDIR={}", destination.display()))
        .arg("PREFIX=/opt/shop")
        .output()
        .expect("make starts");
    assert!(output.status.success(), "{output:?}");
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn what_is_installed_works() {
    let home = directory();
    install(&home.dir);
    let at = |path: &str| home.dir.join("opt/shop").join(path);
    let version = Command::new(at("bin/marketplace"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(version.status.success(), "{version:?}");
    for page in ["marketplace", "marketplace-serve", "marketplace-doctor"] {
        let page = fs::read_to_string(at(&format!("share/man/man1/{page}.1"))).unwrap();
        assert!(page.contains(".SH DESCRIPTION"), "{page}");
    }
    let bash = at("share/bash-completion/completions/marketplace");
    let complete = format!(
        ". {} && COMP_WORDS=(marketplace doc) COMP_CWORD=1 && \
         _marketplace marketplace doc marketplace && echo \"${{COMPREPLY[@]}}\"",
        bash.display()
    );
    let completed = Command::new("bash")
        .args(["-c", &complete])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&completed.stdout),
        "doctor\n",
        "{completed:?}"
    );
    for path in [
        "share/zsh/site-functions/_marketplace",
        "share/fish/vendor_completions.d/marketplace.fish",
    ] {
        assert!(fs::read_to_string(at(path)).unwrap().contains("doctor"));
    }
    let unit = fs::read_to_string(at("lib/systemd/system/marketplace.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/shop/bin/marketplace serve\n"));
}

#[test]
fn systemd_understands_the_units() {
    let home = directory();
    install(&home.dir);
    let units = home.dir.join("opt/shop/lib/systemd/system");
    let service = units.join("marketplace.service");
    // systemd looks for the program where it will be.
    let unit = fs::read_to_string(&service).unwrap();
    let timeout = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStartSec="));
    assert_eq!(timeout, Some("5min"), "a start does not hang for ever");
    fs::write(&service, unit.replace("/opt/shop/bin/marketplace", PROGRAM)).unwrap();
    let verify = |unit: &Path| {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args([unit, &units.join("marketplace.socket")])
            .output()
            .expect("systemd-analyze starts: make tools");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    assert_eq!(verify(&service), (true, String::new()));
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=20"])
        .arg(&service)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let broken = fs::read_to_string(&service).unwrap();
    fs::write(
        &service,
        broken.replace("Type=notify", "Type=notify\nNoSuchThing=yes"),
    )
    .unwrap();
    assert!(
        verify(&service).1.contains("NoSuchThing"),
        "a mistake is noticed"
    );
}

#[tokio::test]
async fn the_container_runs_commands_and_settings_that_exist() {
    let help = program(&["serve", "--help"]).output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (docker, compose) = (read("Dockerfile"), read("ops/compose.yml"));
    for (text, setting) in [
        (&docker, "BIND"),
        (&compose, "DATABASE_URL"),
        (&compose, "ALLOWED_HOSTS"),
        (&compose, "ALLOWED_ORIGINS"),
    ] {
        assert!(text.contains(setting));
        assert!(help.contains(&format!("[env: {setting}")), "{setting}");
    }
    assert!(docker.contains("\nCMD [\"serve\"]\n"));
    assert!(docker.contains("CMD [\"marketplace\", \"healthcheck\"]"));
    let user = docker.find("\nUSER 10001\n").expect("it is not root");
    assert!(user < docker.find("\nENTRYPOINT").expect("it runs the program"));
    for line in docker.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(line.contains(':'), "which version: {line}");
    }
    let toml = read("Cargo.toml");
    assert!(
        docker.contains(&format!(
            "FROM rust:{}-",
            toml.split("rust-version = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .unwrap()
        )),
        "the compiler that Cargo.toml asks for"
    );
}

#[tokio::test]
async fn the_health_check_says_what_readyz_says() {
    let (server, _database) = TestServer::start().await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let everywhere = format!("0.0.0.0:{port}");
    for bind in [&address, &everywhere] {
        let healthy = program(&["healthcheck"])
            .env("BIND", bind)
            .output()
            .await
            .unwrap();
        assert!(healthy.status.success(), "{healthy:?}");
        assert_eq!(
            String::from_utf8_lossy(&healthy.stdout),
            "{\"status\":\"ok\"}\n"
        );
    }
    server.stop().await.unwrap();
    let gone = program(&["healthcheck", "--bind", &address])
        .output()
        .await
        .unwrap();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let says = format!("no server answers at {address} (BIND): Connection refused");
    assert!(
        String::from_utf8_lossy(&gone.stderr).contains(&says),
        "{gone:?}"
    );
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = other.local_addr().unwrap().to_string();
    let answer = tokio::spawn(async move {
        let (mut client, _) = other.accept().await.unwrap();
        let page = b"HTTP/1.0 404 File not found\r\n\r\n<!DOCTYPE HTML>\n<html lang=\"en\">";
        // All of it, or the kernel would reset the connection.
        let mut question = Vec::new();
        while !question.ends_with(b"\r\n\r\n") {
            question.push(client.read_u8().await.unwrap());
        }
        client.write_all(page).await.unwrap();
    });
    let not_ours = program(&["healthcheck", "--bind", &address])
        .output()
        .await
        .unwrap();
    answer.await.unwrap();
    assert_eq!(not_ours.status.code(), Some(1), "{not_ours:?}");
    assert_eq!(
        String::from_utf8_lossy(&not_ours.stderr),
        format!(
            "marketplace: {address} (BIND) is not a marketplace server: it answers \"HTTP/1.0 404 File not found\"\n"
        )
    );

    let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
    let waiting = TestServer::launch(nowhere, &[]).await;
    let address = waiting.base.strip_prefix("http://").unwrap();
    let unready = program(&["healthcheck", "--bind", address])
        .output()
        .await
        .unwrap();
    assert_eq!(unready.status.code(), Some(1), "{unready:?}");
    assert!(String::from_utf8_lossy(&unready.stderr).contains("the database is not available"));
}
