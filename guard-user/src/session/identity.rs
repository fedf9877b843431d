//! Whom a session's command runs as: the invoking user, unless another is asked for.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use super::launch::Credentials;
use crate::cli::exit::Failure;
use crate::system::users::{self, User};

/// The user that a command runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The primary group's number.
    pub gid: u32,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
    /// Whether it is another user than the one that guard runs as (root).
    pub is_changed: bool,
}

/// Where users are looked up: the host's databases, or a test's.
pub trait Users {
    /// The user of a name.
    fn by_name(&self, name: &str) -> io::Result<Option<User>>;
    /// The user of a number.
    fn by_uid(&self, uid: u32) -> io::Result<Option<User>>;
    /// All groups of a user, the primary one first.
    fn groups(&self, user: &User) -> io::Result<Vec<u32>>;
}

/// The host's users.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Users for Host {
    fn by_name(&self, name: &str) -> io::Result<Option<User>> {
        users::by_name(name)
    }

    fn by_uid(&self, uid: u32) -> io::Result<Option<User>> {
        users::by_uid(uid)
    }

    fn groups(&self, user: &User) -> io::Result<Vec<u32>> {
        users::groups(user)
    }
}

impl Identity {
    /// Chooses: the user that is asked for by name or number; else whoever called sudo
    /// (`SUDO_UID`); else root, who then is the invoking user.
    pub fn choose(
        asked: Option<&str>,
        sudo_uid: Option<&OsStr>,
        users: &impl Users,
    ) -> Result<Self, Failure> {
        let user = match (asked, sudo_uid) {
            (Some(asked), _) => named(asked, users)?,
            (None, Some(sudo_uid)) => {
                let uid = sudo_uid.to_str().and_then(|uid| uid.parse().ok());
                let uid = uid.ok_or_else(|| {
                    Failure::usage(format!(
                        "The environment variable SUDO_UID should be the number of the invoking \
                         user and is \"{}\". Say who the command is to run as: --user NAME.",
                        sudo_uid.to_string_lossy().escape_debug()
                    ))
                })?;
                numbered(uid, users)?.ok_or_else(|| {
                    Failure::usage(format!(
                        "The invoking user (SUDO_UID={uid}) isn't in the password database. Say \
                         who the command is to run as: --user NAME."
                    ))
                })?
            }
            (None, None) => numbered(0, users)?.unwrap_or_else(root),
        };
        let groups = users.groups(&user).map_err(|error| cannot_ask(&error))?;
        Ok(Self {
            is_changed: user.uid != 0,
            uid: user.uid,
            gid: user.gid,
            groups,
            home: or(user.home, "/"),
            shell: or(user.shell, "/bin/sh"),
            name: user.name,
        })
    }

    /// What the process has to become; `None` for root, who stays who he is.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.is_changed.then(|| Credentials {
            uid: Uid::from_raw(self.uid),
            gid: Gid::from_raw(self.gid),
            groups: self.groups.iter().copied().map(Gid::from_raw).collect(),
        })
    }
}

fn named(asked: &str, users: &impl Users) -> Result<User, Failure> {
    let by_name = users.by_name(asked).map_err(|error| cannot_ask(&error))?;
    let found = match (by_name, asked.parse()) {
        (Some(user), _) => Some(user),
        (None, Ok(uid)) => numbered(uid, users)?,
        (None, Err(_)) => None,
    };
    found.ok_or_else(|| {
        Failure::usage(format!(
            "There is no user \"{}\". Give the name or number of one after --user.",
            asked.escape_debug()
        ))
    })
}

fn numbered(uid: u32, users: &impl Users) -> Result<Option<User>, Failure> {
    users.by_uid(uid).map_err(|error| cannot_ask(&error))
}

fn cannot_ask(error: &io::Error) -> Failure {
    Failure::guard(format!(
        "The users of this host can't be looked up: {error}."
    ))
}

/// The root of a host without a password database.
fn root() -> User {
    User {
        name: "root".to_owned(),
        uid: 0,
        gid: 0,
        home: "/root".into(),
        shell: "/bin/sh".into(),
    }
}

fn or(path: PathBuf, otherwise: &str) -> PathBuf {
    if path.as_os_str().is_empty() {
        Path::new(otherwise).to_owned()
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Few;

    fn ann() -> User {
        User {
            name: "ann".to_owned(),
            uid: 1000,
            gid: 100,
            home: "/home/ann".into(),
            shell: PathBuf::new(),
        }
    }

    impl Users for Few {
        fn by_name(&self, name: &str) -> io::Result<Option<User>> {
            Ok([root(), ann()].into_iter().find(|user| user.name == name))
        }

        fn by_uid(&self, uid: u32) -> io::Result<Option<User>> {
            Ok([root(), ann()].into_iter().find(|user| user.uid == uid))
        }

        fn groups(&self, user: &User) -> io::Result<Vec<u32>> {
            Ok(vec![user.gid, 44])
        }
    }

    fn choose(asked: Option<&str>, sudo_uid: Option<&str>) -> Result<Identity, Failure> {
        Identity::choose(asked, sudo_uid.map(OsStr::new), &Few)
    }

    #[test]
    fn sudo_says_who_is_asking() {
        let identity = choose(None, Some("1000")).unwrap();
        assert_eq!((identity.uid, identity.is_changed), (1000, true));
        assert_eq!(identity.shell, Path::new("/bin/sh"));
        let credentials = identity.credentials().unwrap();
        assert_eq!(credentials.groups, [Gid::from_raw(100), Gid::from_raw(44)]);
    }

    #[test]
    fn who_is_asked_for_comes_first() {
        assert_eq!(choose(Some("root"), Some("1000")).unwrap().uid, 0);
        assert_eq!(choose(Some("1000"), None).unwrap().uid, 1000);
        assert_eq!(choose(Some("ann"), None).unwrap().uid, 1000);
    }

    #[test]
    fn without_sudo_root_is_the_invoking_user() {
        let identity = choose(None, None).unwrap();
        assert_eq!((identity.uid, identity.is_changed), (0, false));
        assert_eq!(identity.credentials(), None);
    }

    #[test]
    fn users_that_are_not_there_are_mistakes() {
        for (asked, sudo_uid) in [
            (Some("bob"), None),
            (Some("1001"), None),
            (None, Some("1001")),
            (None, Some("x")),
        ] {
            let failure = choose(asked, sudo_uid).unwrap_err();
            assert_eq!(failure.exit, crate::cli::exit::Exit::Usage, "{failure}");
        }
    }
}
