//! Debian's archive through an apt state of the project's own: the machine's lists, sources and
//! installed packages are neither used nor changed.
//!
//! The address of the archive is the one that this machine's own apt sources name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};

use crate::paths;
use crate::shell;

/// Where Debian's packages come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Mirror {
    /// Debian's archive; without it the one in this machine's apt sources.
    #[arg(long, value_name = "URI")]
    pub mirror: Option<String>,
}

/// The suites that have the kernels, and whether each is in the security archive.
const SUITES: &[(&str, bool)] = &[
    ("bullseye-security", true),
    ("bookworm", false),
    ("bookworm-security", true),
    ("trixie-backports", false),
];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How old the lists may be before they are fetched again.
const FRESH: Duration = Duration::from_hours(24);

/// The project's own apt state.
pub struct Apt {
    root: PathBuf,
}

impl Apt {
    /// Opens it and fetches the lists when they are missing or older than a day. Lists that
    /// cannot be fetched anew are used as they are.
    pub fn open(mirror: &Mirror) -> anyhow::Result<Self> {
        let root = paths::cache().join("apt");
        let apt = Self { root };
        fs::create_dir_all(apt.root.join("lists/partial"))?;
        fs::create_dir_all(apt.root.join("archives/partial"))?;
        let stamp = apt.root.join("updated");
        let sources = sources(mirror)?;
        let file = apt.root.join("sources.list");
        let changed = fs::read_to_string(&file).ok().as_ref() != Some(&sources);
        if !changed && age(&stamp).is_some_and(|age| age < FRESH) {
            return Ok(apt);
        }
        fs::write(&file, sources)?;
        println!("setup: fetching Debian's package lists");
        match shell::quietly(apt.command("apt-get").args(["-q", "update"])) {
            Ok(()) => fs::write(&stamp, "")?,
            Err(error) if stamp.exists() && !changed => {
                println!("setup: the lists cannot be fetched, yesterday's are used: {error:#}");
            }
            Err(error) => return Err(error.context("failed to fetch Debian's package lists")),
        }
        Ok(apt)
    }

    /// The names of the packages that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let names = shell::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// One field of the newest version of a package, on one line.
    pub fn field(&self, package: &str, field: &str) -> anyhow::Result<Option<String>> {
        let shown =
            shell::output(
                self.command("apt-cache")
                    .args(["show", "--no-all-versions", package]),
            )?;
        let prefix = format!("{field}: ");
        Ok(shown
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned))
    }

    /// Whether a package can be fetched. The archive also names packages that it has no more.
    pub fn has(&self, package: &str) -> anyhow::Result<bool> {
        let policy = shell::output(self.command("apt-cache").args(["policy", package]))?;
        Ok(policy
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Candidate: "))
            .any(|version| version != "(none)"))
    }

    /// Fetches packages and unpacks them into `to`.
    pub fn unpack(&self, packages: &[String], to: &Path) -> anyhow::Result<()> {
        let archives = paths::beside(to, "debs");
        let _ = fs::remove_dir_all(&archives);
        fs::create_dir_all(&archives)?;
        fs::create_dir_all(to)?;
        shell::quietly(
            self.command("apt-get")
                .args(["-q", "download"])
                .args(packages)
                .current_dir(&archives),
        )?;
        for archive in fs::read_dir(&archives)? {
            shell::quietly(
                shell::command("dpkg-deb")
                    .arg("-x")
                    .arg(archive?.path())
                    .arg(to),
            )?;
        }
        fs::remove_dir_all(&archives)?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = shell::command(program);
        let option = |name: &str, path: &str| format!("{name}={}", self.root.join(path).display());
        for option in [
            option("Dir::Etc::SourceList", "sources.list"),
            option("Dir::Etc::SourceParts", "none"),
            option("Dir::State::Lists", "lists"),
            option("Dir::Cache", ""),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// The address of Debian's archive: the option's, else the one in this machine's apt sources.
pub fn archive(mirror: &Mirror) -> anyhow::Result<String> {
    if let Some(uri) = &mirror.mirror {
        return Ok(uri.trim_end_matches('/').to_owned());
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    for entry in fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
    {
        files.push(entry?.path());
    }
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| debian_uri(&text))
        .context(
            "this machine's apt sources do not name Debian's archive; name it with --mirror URI",
        )
}

fn sources(mirror: &Mirror) -> anyhow::Result<String> {
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing; the package debian-archive-keyring brings it");
    }
    let archive = archive(mirror)?;
    let lines: Vec<_> = SUITES
        .iter()
        .map(|(suite, security)| {
            let suffix = if *security { "-security" } else { "" };
            format!("deb [signed-by={KEYRING}] {archive}{suffix} {suite} main\n")
        })
        .collect();
    Ok(lines.concat())
}

/// The first address in a file of apt sources, of either form, whose path is `/debian`.
fn debian_uri(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

fn age(file: &Path) -> Option<Duration> {
    let changed = fs::metadata(file).ok()?.modified().ok()?;
    SystemTime::now().duration_since(changed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources_are_read() {
        let deb822 =
            "Types: deb\n# a note\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        let line = "# deb http://old.example/debian buster main\n\
                    deb [arch=amd64] https://mirror.example/debian bookworm main\n";
        let other = "deb http://archive.example/ubuntu noble main\n";
        assert_eq!(
            debian_uri(deb822).as_deref(),
            Some("http://mirror.example/debian")
        );
        assert_eq!(
            debian_uri(line).as_deref(),
            Some("https://mirror.example/debian")
        );
        assert_eq!(debian_uri(other), None);
    }
}
