//! The command's environment: the caller's own, but for what sudo changed.

use std::ffi::{OsStr, OsString};

use super::identity::Identity;

/// What sudo sets about itself. The command isn't started by sudo, as far as it knows.
const SUDO: [&str; 6] = [
    "SUDO_COMMAND",
    "SUDO_USER",
    "SUDO_UID",
    "SUDO_GID",
    "SUDO_HOME",
    "SUDO_TTY",
];

/// Names the session to the command. The launch puts it in, since the name is known last.
pub const SESSION: &str = "GUARD_SESSION";

/// Says where its runtime directory is, likewise.
pub const RUNTIME: &str = "GUARD_RUNTIME";

/// The environment of a command that runs as this identity, but for [`SESSION`] and [`RUNTIME`].
pub fn of(
    caller: impl Iterator<Item = (OsString, OsString)>,
    identity: &Identity,
) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> = caller.collect();
    if identity.is_changed {
        environment.retain(|(name, _)| !SUDO.iter().any(|sudo| name == sudo));
        let user = OsString::from(&identity.name);
        set(&mut environment, "HOME", identity.home.as_os_str());
        set(&mut environment, "SHELL", identity.shell.as_os_str());
        set(&mut environment, "USER", &user);
        set(&mut environment, "LOGNAME", &user);
        if environment.iter().any(|(name, _)| name == "MAIL") {
            let mut mail = OsString::from("/var/mail/");
            mail.push(&user);
            set(&mut environment, "MAIL", &mail);
        }
    }
    environment.retain(|(name, _)| name != SESSION && name != RUNTIME);
    environment
}

fn set(environment: &mut Vec<(OsString, OsString)>, name: &str, value: &OsStr) {
    environment.retain(|(other, _)| other != name);
    environment.push((name.into(), value.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(is_changed: bool) -> Identity {
        Identity {
            name: "ann".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
            home: "/home/ann".into(),
            shell: "/bin/zsh".into(),
            is_changed,
        }
    }

    fn environment(is_changed: bool) -> Vec<(String, String)> {
        let caller = [
            ("HOME", "/root"),
            ("SUDO_UID", "1000"),
            ("SUDO_ASKPASS", "/bin/askpass"),
            ("MAIL", "/var/mail/root"),
            ("LANG", "C.UTF-8"),
            ("GUARD_SESSION", "an-older-one"),
            ("GUARD_RUNTIME", "/run/guard/runtime/an-older-one"),
        ];
        let caller = caller
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let mut environment: Vec<_> = of(caller, &identity(is_changed))
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect();
        environment.sort();
        environment
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_users_own_replace_what_sudo_set() {
        let expected = pairs(&[
            ("HOME", "/home/ann"),
            ("LANG", "C.UTF-8"),
            ("LOGNAME", "ann"),
            ("MAIL", "/var/mail/ann"),
            ("SHELL", "/bin/zsh"),
            ("SUDO_ASKPASS", "/bin/askpass"),
            ("USER", "ann"),
        ]);
        assert_eq!(environment(true), expected);
    }

    #[test]
    fn a_root_who_stays_root_keeps_everything() {
        let expected = pairs(&[
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            ("MAIL", "/var/mail/root"),
            ("SUDO_ASKPASS", "/bin/askpass"),
            ("SUDO_UID", "1000"),
        ]);
        assert_eq!(environment(false), expected);
    }
}
