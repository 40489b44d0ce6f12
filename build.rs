//! Puts the commit into `innerloop --version`.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=INNERLOOP_COMMIT");
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = Path::new(&folder);
    // Every commit, checkout and reset adds a line to this file.
    if let Some(log) = git(folder, &["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let commit = env::var("INNERLOOP_COMMIT").ok().filter(|commit| !commit.is_empty()).or_else(|| commit(folder));
    let version = commit.map_or(version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=INNERLOOP_VERSION={version}");
}

/// The commit of a folder's sources: from git, from what `cargo package` writes, or none.
pub fn commit(folder: &Path) -> Option<String> {
    // A package that lies inside another project's repository has not its commit.
    let own = git(folder, &["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let from_git = || git(folder, &["log", "-1", "--format=%h %cs"]).filter(|_| own);
    let from_package = || {
        let text = fs::read_to_string(folder.join(".cargo_vcs_info.json")).ok()?;
        let (_, rest) = text.split_once("\"sha1\":")?;
        let commit: String =
            rest.trim_start().trim_start_matches('"').chars().take_while(char::is_ascii_hexdigit).collect();
        (commit.len() >= 7).then(|| commit[..7].to_owned())
    };
    from_package().or_else(from_git)
}

/// What git prints; none where there is no git or no repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
