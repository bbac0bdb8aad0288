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

/// Starts a cluster that speaks TLS, and goes on speaking plainly to whoever does not ask for it.
pub async fn tls_cluster() -> TlsCluster {
    let mut cluster = private_cluster(&[]).await;
    let dir = cluster.data_dir().join("cluster");
    make_certificates(&dir);
    let conf = dir.join("postgresql.conf");
    let settings = fs::read_to_string(&conf).expect("the settings can be read");
    fs::write(&conf, format!("{settings}\nssl = on\n")).expect("the settings can be written");
    cluster
        .restart(marketplace::db::embedded::StopMode::Fast)
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
    // PostgreSQL insists on a key that is its user's own.
    let key = dir.join("server.key");
    let owner = fs::metadata(dir).expect("the directory exists");
    chown(&key, Some(owner.uid()), Some(owner.gid())).expect("the key can be handed over");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("the key can be closed");
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
}
