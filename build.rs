//! Lists the files of `sql/migrations`, which the program carries.

use std::{env, error::Error, fs, path::Path};

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells a build script by variables what it needs"
)]
fn main() -> Result<(), Box<dyn Error>> {
    const FOLDER: &str = "sql/migrations";
    println!("cargo:rerun-if-changed={FOLDER}");
    let mut migrations = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let (Some(name), Some(path)) = (name, path.to_str()) else {
            return Err(format!("{} is not UTF-8", path.display()).into());
        };
        // The compiler finds the folder: a clone may move together with what it has built.
        let path = format!(
            "concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?})",
            format!("/{path}")
        );
        migrations.push(format!("({name:?}, include_str!({path}))"));
    }
    migrations.sort();
    let out = env::var("OUT_DIR")?;
    let list = format!("[{}]", migrations.join(",\n"));
    Ok(fs::write(Path::new(&out).join("migrations.rs"), list)?)
}
