//! Users and their groups, wherever the host keeps them.
//!
//! `guard` is linked statically, and in a static glibc `getpwuid` would load the host's NSS
//! modules into a program that was built against another glibc. So `/etc/passwd` is read
//! first, and for whoever isn't in it the host's own `getent` is asked, which goes through
//! NSS as the host has it (LDAP, sssd, systemd-userdb). The same goes for groups with `id`.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A user, as an entry of the password database describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The primary group's number.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell; empty when the entry has none, which means `/bin/sh`.
    pub shell: PathBuf,
}

/// Where the host's own programs are looked for: never in `PATH`, since the answers decide
/// who a session runs as.
const PROGRAM_DIRECTORIES: [&str; 5] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/run/current-system/sw/bin",
];

/// How long a look-up in a directory service may take. After that the user counts as not
/// found.
const PATIENCE: Duration = Duration::from_secs(2);

/// The user of a name. `None` when nobody is called that.
pub fn by_name(name: &str) -> io::Result<Option<User>> {
    if !is_askable(name) {
        return Ok(None);
    }
    look_up(name, |user| user.name == name)
}

/// The user of a number. `None` when it belongs to nobody.
pub fn by_uid(uid: u32) -> io::Result<Option<User>> {
    look_up(&uid.to_string(), |user| user.uid == uid)
}

/// The home directories of this host's users, as far as they can be listed.
#[must_use]
pub fn homes() -> Vec<PathBuf> {
    let users = std::fs::read("/etc/passwd").unwrap_or_default();
    String::from_utf8_lossy(&users)
        .lines()
        .filter_map(|line| line.split(':').nth(5))
        .map(PathBuf::from)
        .collect()
}

/// The user of a number, if `/etc/passwd` has it: no program is asked.
pub fn local_by_uid(uid: u32) -> io::Result<Option<User>> {
    let file = read("/etc/passwd")?;
    Ok(file.and_then(|file| find(&file, |user| user.uid == uid)))
}

/// The groups of a user, the primary one first, each once.
///
/// The host's `id` is asked, which knows groups that a directory service adds to local
/// users; where there is none or it knows nothing, `/etc/group` counts.
pub fn groups(user: &User) -> io::Result<Vec<u32>> {
    let mut groups = vec![user.gid];
    let asked = if is_askable(&user.name) {
        run("id", &["-G", "--", &user.name])?
    } else {
        None
    };
    let others = match asked {
        Some(answer) => String::from_utf8_lossy(&answer)
            .split_ascii_whitespace()
            .filter_map(|group| group.parse().ok())
            .collect(),
        None => match read("/etc/group")? {
            Some(file) => memberships(&file, &user.name),
            None => Vec::new(),
        },
    };
    for group in others {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// Whether a name can be in a password database at all, and can be handed to a program.
fn is_askable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['-', '+']) && !name.contains([':', '\n', '\0', '/'])
}

/// Finds a user in `/etc/passwd`, else through `getent passwd KEY`.
fn look_up(key: &str, is_meant: impl Fn(&User) -> bool) -> io::Result<Option<User>> {
    if let Some(file) = read("/etc/passwd")?
        && let Some(user) = find(&file, &is_meant)
    {
        return Ok(Some(user));
    }
    // `getent` takes a key of digits for a number, so what it finds is checked again.
    let answer = run("getent", &["passwd", "--", key])?;
    Ok(answer.and_then(|answer| find(&answer, &is_meant)))
}

fn find(file: &[u8], is_meant: impl Fn(&User) -> bool) -> Option<User> {
    file.split(|&byte| byte == b'\n')
        .filter_map(parse)
        .find(is_meant)
}

/// `name:password:uid:gid:comment:home:shell`; lines that aren't entries are `None`.
fn parse(line: &[u8]) -> Option<User> {
    let mut fields = line.split(|&byte| byte == b':');
    let name = text(fields.next()?)?;
    if !is_askable(&name) || name.starts_with('#') {
        return None;
    }
    let uid = text(fields.nth(1)?)?.parse().ok()?;
    let gid = text(fields.next()?)?.parse().ok()?;
    let path = |field: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(field));
    let home = path(fields.nth(1)?);
    let shell = path(fields.next().unwrap_or_default());
    Some(User {
        name,
        uid,
        gid,
        home,
        shell,
    })
}

/// The groups that list a user: `name:password:gid:member,member…`.
fn memberships(file: &[u8], name: &str) -> Vec<u32> {
    file.split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let gid = text(fields.nth(2)?)?.parse().ok()?;
            fields
                .next()?
                .split(|&byte| byte == b',')
                .any(|member| member == name.as_bytes())
                .then_some(gid)
        })
        .collect()
}

fn text(field: &[u8]) -> Option<String> {
    String::from_utf8(field.to_vec()).ok()
}

/// Reads a file; `None` when there is none.
fn read(path: &str) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
    }
}

/// What one of the host's programs prints; `None` when there is no such program, it fails,
/// or it takes too long.
fn run(program: &str, arguments: &[&str]) -> io::Result<Option<Vec<u8>>> {
    let Some(path) = PROGRAM_DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
    else {
        return Ok(None);
    };
    run_with_patience(Command::new(path).args(arguments), PATIENCE)
}

fn run_with_patience(command: &mut Command, patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let mut child = command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = child.stdout.take();
    let deadline = Instant::now() + patience;
    // An entry fits into a pipe (64 KiB) many times over, so the program never waits for us.
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if !status.success() {
        return Ok(None);
    }
    let mut answer = Vec::new();
    if let Some(output) = output {
        output.take(64 << 10).read_to_end(&mut answer)?;
    }
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
        # a comment:x:7:7::/:\n\
        \n\
        +::::::\n\
        broken:x:seven:7::/:\n\
        1000:x:4711:4711::/home/digits:/bin/sh\n\
        ann:x:1000:100:Ann, of \xc9\xe9:/home/ann:/bin/zsh\n\
        bare:x:12:13::/nowhere";

    #[test]
    fn entries_are_found_by_name_and_number() {
        let ann = find(PASSWD, |user| user.uid == 1000).expect("ann");
        assert_eq!(
            ann,
            User {
                name: "ann".into(),
                uid: 1000,
                gid: 100,
                home: "/home/ann".into(),
                shell: "/bin/zsh".into(),
            }
        );
        let digits = find(PASSWD, |user| user.name == "1000").expect("a name of digits");
        assert_eq!(digits.uid, 4711);
        let bare = find(PASSWD, |user| user.name == "bare").expect("without a shell");
        assert_eq!(bare.shell, Path::new(""));
    }

    #[test]
    fn lines_that_are_not_entries_are_nobody() {
        let names: Vec<_> = PASSWD
            .split(|&byte| byte == b'\n')
            .filter_map(parse)
            .map(|user| user.name)
            .collect();
        assert_eq!(names, ["root", "1000", "ann", "bare"]);
    }

    #[test]
    fn memberships_are_whole_names() {
        let groups = b"root:x:0:\nadm:x:4:ann,bob\nsudo:x:27:annabel\nvideo:x:44:bob,ann\n";
        assert_eq!(memberships(groups, "ann"), [4, 44]);
        assert_eq!(memberships(groups, "nobody"), [0_u32; 0]);
    }

    #[test]
    fn this_hosts_root_is_found_both_ways() {
        let root = by_uid(0).expect("readable").expect("there is a root");
        assert_eq!(root.uid, 0);
        assert_eq!(by_name(&root.name).expect("readable"), Some(root.clone()));
        let groups = groups(&root).expect("readable");
        assert_eq!(groups.first(), Some(&root.gid));
    }

    #[test]
    fn names_that_are_options_or_numbers_are_not_taken_for_users() {
        for name in ["", "--help", "-i", "a:b", "root\n", "+", "0", "4294967294"] {
            assert_eq!(by_name(name).expect("no error"), None, "{name:?}");
        }
        assert_eq!(by_uid(4_294_967_294).expect("no error"), None);
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let before = Instant::now();
        let mut slow = Command::new("/bin/sleep");
        let answer = run_with_patience(slow.arg("60"), Duration::from_millis(30));
        assert_eq!(answer.expect("it runs"), None);
        assert!(before.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_a_program_says_counts_only_when_it_succeeds() {
        let run = |script| {
            let mut shell = Command::new("/bin/sh");
            run_with_patience(shell.args(["-c", script]), Duration::from_secs(10))
        };
        assert_eq!(run("echo yes").expect("it runs"), Some(b"yes\n".to_vec()));
        assert_eq!(run("echo no; exit 2").expect("it runs"), None);
    }
}
