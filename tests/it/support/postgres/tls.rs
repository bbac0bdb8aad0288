//! A cluster that speaks TLS, with a certificate made for it by the `openssl` command.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PrivateCluster, private_cluster};

/// A cluster with `ssl = on` whose certificate is for [`TlsCluster::NAME`] and not for 127.0.0.1,
/// on which it listens: an address with `host=127.0.0.1` passes `verify-ca` and fails
/// `verify-full`.
pub struct TlsCluster {
    /// The cluster. Its address asks for no `sslmode`.
    pub cluster: PrivateCluster,
    /// The certificate of the authority that signed the server's.
    pub ca_file: PathBuf,
    /// The certificate of an authority that did not.
    pub other_ca_file: PathBuf,
}

impl TlsCluster {
    /// The only name in the server's certificate.
    pub const NAME: &str = "localhost";
}

/// What a server's certificate can be like.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    /// Of version 3, with the name as a name of its own, signed by the authority.
    Usual,
    /// Of version 1, as `openssl x509 -req` makes it: the name is in the subject alone.
    VersionOne,
    /// Its own authority, as `openssl req -x509` makes it: the name is in the subject alone.
    SelfSigned,
    /// Its own authority, and no authority for others.
    SelfSignedLeaf,
    /// Signed by the authority, and an authority itself.
    Authority,
    /// Its time is over.
    Expired,
    /// Its own authority, and its time is over.
    SelfSignedExpired,
    /// For clients.
    ForClients,
    /// For a name that is not the server's.
    OtherName,
    /// The name in the subject is right, the one beside it is not.
    OtherAlternative,
}

impl Certificate {
    /// Each of them.
    pub const ALL: [Self; 10] = [
        Self::Usual,
        Self::VersionOne,
        Self::SelfSigned,
        Self::SelfSignedLeaf,
        Self::Authority,
        Self::Expired,
        Self::SelfSignedExpired,
        Self::ForClients,
        Self::OtherName,
        Self::OtherAlternative,
    ];
}

/// What an authority says of itself.
#[derive(Clone, Copy, Debug)]
pub enum Authority {
    /// That it vouches for other names than the server's.
    OfOtherNames,
    /// Something that nobody understands and everybody must.
    Unknown,
    /// That it vouches for clients.
    OfClients,
    /// That it vouches for servers.
    OfServers,
}

impl Authority {
    /// Each of them.
    pub const ALL: [Self; 4] = [
        Self::OfOtherNames,
        Self::Unknown,
        Self::OfClients,
        Self::OfServers,
    ];

    /// As openssl has it.
    fn extension(self) -> &'static str {
        match self {
            Self::OfOtherNames => "nameConstraints=critical,permitted;DNS:example.com",
            Self::Unknown => "1.3.6.1.4.1.99999.1=critical,ASN1:UTF8String:x",
            Self::OfClients => "extendedKeyUsage=clientAuth",
            Self::OfServers => "extendedKeyUsage=serverAuth",
        }
    }
}

impl TlsCluster {
    /// Lets the server show another certificate to those who connect from now on.
    pub async fn present(&self, certificate: Certificate) {
        self.present_signed(certificate, "ca").await;
    }

    /// The same, signed by an authority of this kind, whose certificate is in the file that is given.
    pub async fn present_by(&self, certificate: Certificate, authority: Authority) -> PathBuf {
        let dir = self.cluster.data_dir().join("cluster");
        let name = format!("{authority:?}").to_lowercase();
        let output = format!("{name}.crt");
        if !dir.join(&output).exists() {
            let subject = format!("/CN=marketplace test {name}");
            let own = ["-x509", "-days", "2", "-subj", &subject, "-out", &output];
            let says = ["-addext", authority.extension()];
            request(&dir, &name, &[&own[..], &says].concat());
        }
        self.present_signed(certificate, &name).await;
        dir.join(output)
    }

    async fn present_signed(&self, certificate: Certificate, authority: &str) {
        let dir = self.cluster.data_dir().join("cluster");
        let file = format!("{certificate:?}{authority}").to_lowercase();
        make(&dir, certificate, &file, authority);
        own_key(&dir, &file);
        let dba = super::connect(&self.cluster.url()).await;
        for (setting, kind) in [("ssl_cert_file", "crt"), ("ssl_key_file", "key")] {
            let sql = format!("alter system set {setting} = '{file}.{kind}'");
            dba.batch_execute(&sql).await.expect("it can be set");
        }
        fs::copy(dir.join(format!("{file}.crt")), dir.join("server.crt"))
            .expect("it can be copied");
        dba.batch_execute("select pg_reload_conf()")
            .await
            .expect("it reads its settings again");
        let wanted = openssl_text(
            &dir,
            &[
                "x509",
                "-in",
                &format!("{file}.crt"),
                "-noout",
                "-fingerprint",
            ],
        );
        let address = format!("127.0.0.1:{}", self.cluster.port());
        let shown = || {
            let script = format!(
                "openssl s_client -starttls postgres -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint"
            );
            let output = Command::new("sh")
                .args(["-c", &script])
                .output()
                .expect("sh starts");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while shown() != wanted {
            assert!(
                std::time::Instant::now() < deadline,
                "{certificate:?} is not shown"
            );
        }
    }

    /// A certificate for a client of this name, signed by the authority, and its key.
    pub fn client_certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        let dir = self.cluster.data_dir().join("cluster");
        let subject = format!("/CN={name}");
        request(&dir, name, &["-subj", &subject, "-out", "request.csr"]);
        sign(&dir, name, "ca", &["-days", "2"]);
        let key = dir.join(format!("{name}.key"));
        chmod(&key, 0o600);
        (dir.join(format!("{name}.crt")), key)
    }
}

/// Sets who may do what with a file.
pub fn chmod(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn make(dir: &Path, certificate: Certificate, file: &str, authority: &str) {
    let name = match certificate {
        Certificate::OtherName => "elsewhere",
        _ => TlsCluster::NAME,
    };
    let subject = format!("/CN={name}");
    let output = format!("{file}.crt");
    let alone = |more: &[&str]| {
        let x509 = ["-x509", "-subj", &subject, "-out", &output];
        request(dir, file, &[&x509[..], more].concat());
    };
    let signed = |extensions: &str, more: &[&str]| {
        request(dir, file, &["-subj", &subject, "-out", "request.csr"]);
        fs::write(dir.join("extensions"), extensions).expect("the extensions can be written");
        let with = if extensions.is_empty() {
            &[][..]
        } else {
            &["-extfile", "extensions"]
        };
        sign(dir, file, authority, &[more, with].concat());
    };
    let two_days = ["-days", "2"];
    let alternative = format!("subjectAltName=DNS:{}\n", TlsCluster::NAME);
    match certificate {
        Certificate::Usual => signed(&alternative, &two_days),
        Certificate::VersionOne | Certificate::OtherName => signed("", &two_days),
        Certificate::SelfSigned => alone(&two_days),
        Certificate::SelfSignedLeaf => {
            alone(
                &[
                    &two_days[..],
                    &["-addext", "basicConstraints=critical,CA:FALSE"],
                ]
                .concat(),
            );
        }
        Certificate::Authority => signed("basicConstraints=critical,CA:TRUE\n", &two_days),
        Certificate::Expired => signed(&alternative, &["-days", "-1"]),
        Certificate::SelfSignedExpired => {
            request(dir, file, &["-subj", &subject, "-out", "request.csr"]);
            let key = format!("{file}.key");
            let sign = ["x509", "-req", "-in", "request.csr", "-signkey", &key];
            openssl(
                dir,
                &[&sign[..], &["-days", "-1", "-out", &output]].concat(),
            );
        }
        Certificate::ForClients => signed("extendedKeyUsage=clientAuth\n", &two_days),
        Certificate::OtherAlternative => signed("subjectAltName=DNS:elsewhere\n", &two_days),
    }
}

/// Signs `request.csr` by an authority.
fn sign(dir: &Path, file: &str, authority: &str, more: &[&str]) {
    let output = format!("{file}.crt");
    let [certificate, key] = ["crt", "key"].map(|kind| format!("{authority}.{kind}"));
    let sign = [
        "x509",
        "-req",
        "-in",
        "request.csr",
        "-CA",
        &certificate,
        "-CAkey",
        &key,
        "-CAcreateserial",
        "-out",
        &output,
    ];
    openssl(dir, &[&sign[..], more].concat());
}

/// PostgreSQL insists on a key that is its user's own.
fn own_key(dir: &Path, file: &str) {
    let key = dir.join(format!("{file}.key"));
    let owner = fs::metadata(dir).expect("the directory exists");
    chown(&key, Some(owner.uid()), Some(owner.gid())).expect("the key can be handed over");
    chmod(&key, 0o600);
}

/// Starts a cluster that speaks TLS, and goes on speaking plainly to whoever does not ask for it.
pub async fn tls_cluster() -> TlsCluster {
    let mut cluster = private_cluster(&[]).await;
    let dir = cluster.data_dir().join("cluster");
    make_certificates(&dir);
    let conf = dir.join("postgresql.conf");
    let settings = fs::read_to_string(&conf).expect("the settings can be read");
    fs::write(&conf, format!("{settings}\nssl = on\n")).expect("the settings can be written");
    cluster
        .restart(marketplace::embedded::StopMode::Fast)
        .await
        .expect("PostgreSQL restarts");
    TlsCluster {
        cluster,
        ca_file: dir.join("ca.crt"),
        other_ca_file: dir.join("other.crt"),
    }
}

/// Makes two authorities and the server's certificate, named as PostgreSQL expects them in its data
/// directory.
fn make_certificates(dir: &Path) {
    for authority in ["ca", "other"] {
        let subject = format!("/CN=marketplace test {authority}");
        request(
            dir,
            authority,
            &[
                "-x509",
                "-days",
                "2",
                "-subj",
                &subject,
                "-out",
                &format!("{authority}.crt"),
            ],
        );
    }
    let subject = format!("/CN={}", TlsCluster::NAME);
    request(dir, "server", &["-subj", &subject, "-out", "server.csr"]);
    let extensions = format!("subjectAltName=DNS:{}\n", TlsCluster::NAME);
    fs::write(dir.join("server.ext"), extensions).expect("the extensions can be written");
    let sign = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    ];
    openssl(
        dir,
        &[
            &sign[..],
            &["-days", "2", "-extfile", "server.ext", "-out", "server.crt"],
        ]
        .concat(),
    );
    own_key(dir, "server");
}

/// Makes a key and a certificate, or a request for one.
fn request(dir: &Path, name: &str, arguments: &[&str]) {
    let key = format!("{name}.key");
    let request = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    openssl(dir, &[&request[..], &["-keyout", &key], arguments].concat());
}

fn openssl(dir: &Path, arguments: &[&str]) {
    openssl_text(dir, arguments);
}

fn openssl_text(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("openssl is installed");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
