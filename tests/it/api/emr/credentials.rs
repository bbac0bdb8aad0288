//! Where the program finds the credentials by which it signs: every source, against stand-ins for the
//! instance's metadata, the container's endpoint and the Security Token Service.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

use super::fake::{self, Fake};
use crate::support::{
    postgres::{Home, TestDatabase},
    program::program,
    server::{SOON, database},
};

/// One server that plays all sources of credentials.
struct Sources {
    base: String,
    /// The requests: method, path, and below it headers and body.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Sources {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let notes = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, notes.clone()));
            }
        });
        Self { base, asked }
    }

    /// The requests since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no holder panics"))
    }
}

async fn serve(stream: TcpStream, asked: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        while !request.ends_with("\r\n\r\n") {
            let start = request.len();
            match stream.read_line(&mut request).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = request[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        request.push_str(&String::from_utf8_lossy(&body));
        let (status, answer) = answer(&request);
        asked.lock().expect("no holder panics").push(request);
        let length = answer.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{answer}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What the instance, the container and the Security Token Service say.
fn answer(request: &str) -> (u16, String) {
    let json = |key: &str| {
        format!(
            r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t",
                "Expiration":"2099-01-01T00:00:00Z"}}"#
        )
    };
    let path = request.split(' ').nth(1).unwrap_or_default();
    let roles = "/latest/meta-data/iam/security-credentials/";
    let has_session = request.contains("x-aws-ec2-metadata-token: session\r\n");
    match path.strip_prefix(roles) {
        Some("") if has_session => return (200, "fleet".into()),
        Some("fleet") if has_session => return (200, json("AKIAINSTANCE")),
        _ => {}
    }
    match path {
        "/latest/api/token" if request.starts_with("PUT") => (200, "session".into()),
        "/latest/meta-data/placement/region" if has_session => (200, "eu-south-1".into()),
        "/pod" if request.contains("authorization: pod-token\r\n") => (200, json("AKIAPOD")),
        "/" if request.contains("denied") => (
            403,
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error>\
             </ErrorResponse>"
                .into(),
        ),
        "/" => {
            let action = if request.contains("Action=AssumeRoleWithWebIdentity&") {
                "AssumeRoleWithWebIdentity"
            } else {
                "AssumeRole"
            };
            let role = request.split("role%2F").nth(1).unwrap_or_default();
            let role = role.split('&').next().unwrap_or_default().to_uppercase();
            let answer = format!(
                r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
                <{action}Result><Credentials><AccessKeyId>AKIA{role}</AccessKeyId>
                <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
                <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{action}Result>
                </{action}Response>"#
            );
            (200, answer)
        }
        _ => (404, String::new()),
    }
}

const CONFIG: &str = "\
[default]
region = eu-west-1
[profile keys]
region = eu-west-1
[profile chained]
region = eu-west-1
role_arn = arn:aws:iam::1:role/second
source_profile = first
external_id = x7
[profile first]
role_arn = arn:aws:iam::1:role/first
source_profile = keys
[profile process]
region = eu-west-1
credential_process = printf '{\"Version\":1,\"AccessKeyId\":\"AKIAPROCESS\",\"SecretAccessKey\":\"s\"}'
[profile failing]
region = eu-west-1
credential_process = echo AKIALEAK; exit 3
[profile sso]
region = eu-west-1
sso_session = my
[profile mfa]
region = eu-west-1
role_arn = arn:aws:iam::1:role/first
source_profile = keys
mfa_serial = arn:aws:iam::1:mfa/me
[profile denied]
region = eu-west-1
role_arn = arn:aws:iam::1:role/denied
source_profile = keys
";

/// A cluster, sources of credentials, and files for the program to read.
struct Scene {
    database: TestDatabase,
    fake: Fake,
    sources: Sources,
    home: Home,
}

impl Scene {
    async fn new() -> Self {
        let home = Home::new();
        let aws = home.dir.join(".aws");
        fs::create_dir_all(&aws).expect("the home can be written");
        fs::write(aws.join("config"), CONFIG).expect("the home can be written");
        let keys = "[keys]\naws_access_key_id=AKIAKEYS\naws_secret_access_key=s\n";
        fs::write(aws.join("credentials"), keys).expect("the home can be written");
        fs::write(home.dir.join("token"), "pod-token\n").expect("the home can be written");
        Self {
            database: database().await,
            fake: Fake::start().await,
            sources: Sources::start().await,
            home,
        }
    }

    /// The program that starts a step with these variables.
    fn program(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = program(&["emr", "start", "--step", "qc"]);
        command
            .env("DATABASE_URL", &self.database.url)
            .env("HOME", &self.home.dir)
            .env("EMR_CLUSTER_ID", fake::CLUSTER)
            .env("S3_PATH", "s3://demo-bucket/scripts")
            .env("AWS_ENDPOINT_URL_EMR", &self.fake.base)
            .env("AWS_ENDPOINT_URL_STS", &self.sources.base)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &self.sources.base)
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        command
    }

    /// Starts a step; gives what the program said on standard error when it did not.
    async fn start(&self, variables: &[(&str, &str)]) -> Result<(), String> {
        let ended = timeout(2 * SOON, self.program(variables).output()).await;
        let ended = ended.expect("it ends in time").expect("it starts");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ended.status.success().then_some(()).ok_or(said)
    }

    /// What the program logs until it has said that it cannot call EMR. It would go on looking.
    async fn said_without_credentials(&self, variables: &[(&str, &str)]) -> String {
        let mut program = self.program(variables).spawn().expect("it starts");
        let mut log = BufReader::new(program.stderr.take().expect("it is piped"));
        let mut said = String::new();
        let read = async {
            while !said.contains("EMR is not configured") {
                let length = log.read_line(&mut said).await;
                assert_ne!(length.expect("the log is UTF-8"), 0, "the program ended");
            }
        };
        timeout(2 * SOON, read).await.expect("it is said in time");
        said
    }

    fn path(&self, name: &str) -> String {
        self.home.dir.join(name).display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_of_credentials_is_used_in_its_turn() {
    let scene = Scene::new().await;
    let (token, pod) = (scene.path("token"), format!("{}/pod", scene.sources.base));
    let variables = [
        ("AWS_REGION", "eu-west-3"),
        ("AWS_ACCESS_KEY_ID", "AKIAVARIABLE"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/web"),
    ];
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", pod.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str()),
    ];
    let profile = |name: &'static str| vec![("AWS_PROFILE", name)];
    let nowhere = ("AWS_CONFIG_FILE", "/nowhere");
    for (set, key, region) in [
        (
            [&variables[..], &profile("keys")].concat(),
            "AKIAVARIABLE",
            "eu-west-3",
        ),
        (
            [&profile("keys")[..], &web].concat(),
            "AKIAKEYS",
            "eu-west-1",
        ),
        (profile("chained"), "AKIASECOND", "eu-west-1"),
        (profile("process"), "AKIAPROCESS", "eu-west-1"),
        ([&web[..], &container].concat(), "AKIAWEB", "eu-west-1"),
        (container.to_vec(), "AKIAPOD", "eu-west-1"),
        (vec![nowhere], "AKIAINSTANCE", "eu-south-1"),
    ] {
        scene.sources.take();
        let started = scene.start(&set).await;
        assert_eq!(started, Ok(()), "{set:?}");
        let signed = scene.fake.signed();
        let last = signed.last().expect("a call was signed");
        assert_eq!(last["key"], key, "{set:?}");
        assert_eq!(last["region"], region, "{set:?}");
        assert_eq!(last["service"], "elasticmapreduce");
        let asked = scene.sources.take();
        match key {
            "AKIASECOND" => {
                assert!(asked[0].contains("Credential=AKIAKEYS/"), "{asked:?}");
                assert!(asked[1].contains("Credential=AKIAFIRST/"), "{asked:?}");
                assert!(asked[1].contains("ExternalId=x7"), "{asked:?}");
            }
            "AKIAWEB" => {
                assert!(asked[0].contains("WebIdentityToken=pod-token"), "{asked:?}");
                assert!(!asked[0].contains("authorization:"), "{asked:?}");
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_cannot_be_used_is_named() {
    let scene = Scene::new().await;
    for (set, said) in [
        (
            ("AWS_PROFILE", "none"),
            "the profile \"none\" is in none of the files of AWS",
        ),
        (
            ("AWS_PROFILE", "sso"),
            "credential_process = aws configure export-credentials --profile sso",
        ),
        (("AWS_PROFILE", "mfa"), "mfa_serial"),
        (
            ("AWS_PROFILE", "denied"),
            "the role arn:aws:iam::1:role/denied is not to be had: AccessDenied: not you",
        ),
        (
            ("AWS_PROFILE", "failing"),
            "credential_process: exit status: 3",
        ),
        (
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/"),
            "must begin with https://",
        ),
        (("AWS_ACCESS_KEY_ID", "AKIAHALF"), "AWS_SECRET_ACCESS_KEY"),
    ] {
        let variables = [set, ("AWS_REGION", "eu-west-3")];
        let error = scene.said_without_credentials(&variables).await;
        assert!(error.contains(said), "{set:?}: {error}");
        assert!(!error.contains("AKIALEAK"), "{error}");
        assert_eq!(scene.fake.signed().len(), 0, "nothing was sent");
    }
}
