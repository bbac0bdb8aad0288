//! nginx with the configurations that people are given, on a free port, for as long as a value lives.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::support::{client::Address, server::eventually};

/// The configuration with all reasons.
pub const WHOLE: &str = include_str!("../../../docs/nginx.conf");

/// The short one, of the README.
pub fn of_readme() -> &'static str {
    let readme = include_str!("../../../README.md");
    let (_, site) = readme
        .split_once("```nginx\n")
        .expect("the README shows one");
    site.split_once("```").expect("it ends").0
}

/// A running nginx; killed when dropped.
pub struct Nginx {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub base: String,
    _child: Child,
}

impl Nginx {
    /// Starts nginx as `site` says in front of four servers, with its files in `directory`.
    pub async fn start(directory: &Path, site: &str, servers: &[&str]) -> Self {
        let program = find();
        fs::create_dir(directory).expect("the directory can be made");
        // Between finding a free port and taking it somebody else may take it.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|free| free.local_addr())
                .expect("a port is free")
                .port();
            configure(directory, site, port, servers);
            let mut child = Command::new(&program);
            child
                .arg("-p")
                .arg(directory)
                .args(["-c", "nginx.conf", "-e", "error.log"]);
            child.stdin(Stdio::null()).kill_on_drop(true);
            let mut child = child.spawn().expect("nginx starts");
            let base = format!("http://127.0.0.1:{port}");
            let mut taken = false;
            eventually("nginx accepts connections", async || {
                taken = child.try_wait().expect("it can be asked").is_some();
                taken || Address::parse(&base).connect().await.is_ok()
            })
            .await;
            if !taken {
                return Self {
                    base,
                    _child: child,
                };
            }
        }
        let log = fs::read_to_string(directory.join("error.log")).unwrap_or_default();
        panic!("nginx does not start: {log}");
    }
}

/// The site as it is given to people, but for the ports; around it, what lets one process of an
/// ordinary user serve it.
fn configure(directory: &Path, given: &str, port: u16, servers: &[&str]) {
    let mut site = given.replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
    assert_ne!(site, given);
    for (n, server) in (8001..).zip(servers) {
        let given = format!("server 127.0.0.1:{n} ");
        assert!(
            site.contains(&given),
            "the configuration names too few servers"
        );
        site = site.replace(&given, &format!("server {server} "));
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("    {of}_temp_path {of};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n\
         events {{ worker_connections 1000; }}\n\
         http {{\n    access_log off;\n{temporary}    include site.conf;\n}}\n"
    );
    fs::write(directory.join("site.conf"), site).expect("the site can be written");
    fs::write(directory.join("nginx.conf"), main).expect("the configuration can be written");
}

fn find() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places
        .map(|place| place.join("nginx"))
        .find(|program| program.exists())
        .expect("nginx is installed: `make test` does that, or `apt-get install nginx-light`")
}

#[test]
fn what_the_readme_sets_is_in_the_whole_configuration() {
    let statements = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap());
        let text = lines.collect::<Vec<_>>().join("\n");
        let statements = text.split([';', '{', '}']);
        statements
            .map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|one| !one.is_empty())
            .collect()
    };
    let (whole, short) = (statements(WHOLE), statements(of_readme()));
    let missing: Vec<_> = short.difference(&whole).collect();
    assert!(short.len() > 10 && missing.is_empty(), "{missing:?}");
}
