//! Variables: `${home}`, `${user}`, `${uid}`, `${workspace}`, `${repository}`, and `~` for the home
//! directory.
//!
//! What a variable stands for is taken as it is: a `*` in the name of a workspace has no
//! meaning.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::diagnostics::did_you_mean_or;
use super::environment::Environment;
use super::glob::{Letter, TextError, What};

/// All variables.
const NAMES: [&str; 5] = ["home", "user", "uid", "workspace", "repository"];

/// Why a text has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unexpanded {
    /// It is wrong.
    Wrong(TextError),
    /// It is about the workspace, and the session has none.
    NoWorkspace,
    /// It is about a repository outside the workspace, and there is none.
    NoRepository,
}

/// Replaces the variables of a text.
pub(crate) fn expand(text: &str, environment: &Environment) -> Result<Vec<Letter>, Unexpanded> {
    let wrong = |at, message: String| Err(Unexpanded::Wrong(TextError::new(at, message)));
    let mut letters = Vec::with_capacity(text.len());
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~') {
        if !after.is_empty() && !after.starts_with('/') {
            let end = after.find('/').map_or(text.len(), |at| at + 1);
            return wrong(
                0..end,
                "only `~/` is known, the home of the session's user; write other homes out"
                    .to_owned(),
            );
        }
        give(&mut letters, path(&environment.home), 0);
        rest = after;
    }
    while let Some(character) = rest.chars().next() {
        let offset = text.len() - rest.len();
        let after = &rest[character.len_utf8()..];
        if character == '\\' {
            // Whatever follows means itself: a variable cannot begin there.
            push(&mut letters, character, offset);
            rest = after;
            if let Some(next) = rest.chars().next() {
                push(&mut letters, next, offset + 1);
                rest = &rest[next.len_utf8()..];
            }
            continue;
        }
        if character != '$' {
            push(&mut letters, character, offset);
            rest = after;
            continue;
        }
        if let Some(after) = after.strip_prefix('$') {
            push(&mut letters, '$', offset);
            rest = after;
            continue;
        }
        let Some((name, after)) = after
            .strip_prefix('{')
            .and_then(|braced| braced.split_once('}'))
        else {
            return wrong(
                offset..offset + 1,
                "a `$` begins a variable, such as `${home}`; write `$$` for the character itself"
                    .to_owned(),
            );
        };
        match name {
            "home" => give(&mut letters, path(&environment.home), offset),
            "user" => give(&mut letters, environment.user.as_bytes(), offset),
            "uid" => give(&mut letters, environment.uid.to_string().as_bytes(), offset),
            "workspace" => match &environment.workspace {
                Some(workspace) => give(&mut letters, path(workspace), offset),
                None => return Err(Unexpanded::NoWorkspace),
            },
            "repository" => match &environment.repository {
                Some(repository) => give(&mut letters, path(repository), offset),
                None => return Err(Unexpanded::NoRepository),
            },
            _ => {
                let near = did_you_mean_or(name, &NAMES, "there are");
                return wrong(
                    offset..offset + name.len() + 3,
                    format!("there is no variable `{name}`{near}"),
                );
            }
        }
        rest = after;
    }
    Ok(letters)
}

/// A directory without the slash at its end, so that `${home}/x` has one slash even where
/// the home is the root.
fn path(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    bytes.strip_suffix(b"/").unwrap_or(bytes)
}

fn give(letters: &mut Vec<Letter>, value: &[u8], offset: usize) {
    letters.extend(value.iter().map(|&byte| Letter {
        what: What::Given(byte),
        offset,
    }));
}

fn push(letters: &mut Vec<Letter>, character: char, offset: usize) {
    letters.push(Letter {
        what: What::Written(character),
        offset,
    });
}

/// The text of letters, for what is no glob. `None` when it is not UTF-8.
pub(crate) fn text(letters: &[Letter]) -> Option<String> {
    let mut bytes = Vec::with_capacity(letters.len());
    for letter in letters {
        match letter.what {
            What::Given(byte) => bytes.push(byte),
            What::Written(character) => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(workspace: Option<&str>) -> Environment {
        Environment {
            user: "u".into(),
            uid: 1000,
            home: "/home/u".into(),
            workspace: workspace.map(Into::into),
            repository: None,
            mounts_at_start: crate::system::mounts::Mounts::default(),
            mounts_now: crate::system::mounts::Mounts::default(),
            protected: super::super::environment::Protected::default(),
        }
    }

    fn expanded(value: &str) -> Result<String, Unexpanded> {
        expand(value, &environment(Some("/w"))).map(|letters| text(&letters).expect("UTF-8"))
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(expanded("~/a").as_deref(), Ok("/home/u/a"));
        assert_eq!(expanded("~").as_deref(), Ok("/home/u"));
        assert_eq!(expanded("${home}/${user}").as_deref(), Ok("/home/u/u"));
        assert_eq!(
            expanded("/run/user/${uid}").as_deref(),
            Ok("/run/user/1000")
        );
        assert_eq!(expanded("${workspace}/x").as_deref(), Ok("/w/x"));
        assert_eq!(expanded("/a~$$b").as_deref(), Ok("/a~$b"));
        assert_eq!(expanded("/\\${home}").as_deref(), Ok("/\\${home}"));
    }

    #[test]
    fn the_home_may_be_the_root() {
        let environment = Environment {
            home: "/".into(),
            ..environment(None)
        };
        let letters = expand("~/x", &environment).expect("expanded");
        assert_eq!(text(&letters).as_deref(), Some("/x"));
    }

    #[test]
    fn what_is_no_variable_is_a_mistake() {
        let wrong = |value: &str| match expanded(value) {
            Err(Unexpanded::Wrong(error)) => (error.at, error.message),
            other => panic!("{other:?}"),
        };
        let (at, message) = wrong("/a/${hoem}/b");
        assert_eq!(at, 3..10);
        assert!(message.contains("did you mean `home`?"), "{message}");
        assert_eq!(wrong("/a/$HOME").0, 3..4);
        assert_eq!(wrong("/${home").0, 1..2);
        assert_eq!(wrong("~bob/x").0, 0..4);
    }

    #[test]
    fn without_a_workspace_there_is_no_such_path() {
        assert_eq!(
            expand("${workspace}/x", &environment(None)),
            Err(Unexpanded::NoWorkspace)
        );
        assert_eq!(expanded("${repository}/x"), Err(Unexpanded::NoRepository));
    }
}
