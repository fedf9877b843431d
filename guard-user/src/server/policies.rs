//! The policy compiler behind the server, and behind `guard check`.

use std::io;
use std::path::{Path, PathBuf};

use guard_ebpf::policy::MODE_AUDIT;

use super::compiler::{Compiler, Mistake, Ready, Subject};
use super::fingerprint::Remembering;
use crate::policy::diagnostics::Diagnostics;
use crate::policy::environment::{Environment, Host, Protected, ThisHost};
use crate::policy::load::{Loaded, Loader, Source};
use crate::policy::verify::verify;
use crate::system::links::Resolved;
use crate::system::mounts::Mounts;
use crate::system::users;

/// The policy of a session that asks for none.
pub const DEFAULT: &str = "default";

/// The compiler, for the host that this process runs on.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Guard's own files, besides those that every policy knows of.
    pub protected: Vec<PathBuf>,
}

impl Policies {
    /// The compiler of a server: its own executable is protected.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            protected: std::env::current_exe().into_iter().collect(),
        }
    }
}

impl Policies {
    /// What a subject's policies say, and what the kernel gets of it.
    pub fn load(&self, subject: &Subject) -> Result<Loaded, Mistake> {
        self.load_and_tell(subject).map(|(loaded, _)| loaded)
    }

    /// What a text would say as a policy of its own, which is in no file.
    pub fn load_text(&self, subject: &Subject, text: &str) -> Result<Loaded, Mistake> {
        let (environment, _) = self.inputs(subject)?;
        let host = Given { text, host: host() };
        let source = Source::File(GIVEN.into());
        Loader::new(&environment, &host)
            .load(&[source])
            .map_err(|error| mistake(&host.host, error))
    }

    /// The same, with the fingerprint of what was read for it.
    fn load_and_tell(&self, subject: &Subject) -> Result<(Loaded, u64), Mistake> {
        let (environment, sources) = self.inputs(subject)?;
        let host = host();
        let loaded = Loader::new(&environment, &host).load(&sources);
        let mut loaded = loaded.map_err(|error| mistake(&host, error))?;
        if subject.audit {
            loaded.ruleset.audit = true;
            loaded.compiled.policy.mode |= MODE_AUDIT;
        }
        let fingerprint = host.fingerprint(&loaded.files);
        Ok((loaded, fingerprint))
    }

    /// The same after the tests that the policies hold have come out as expected, with their number.
    pub fn verify(&self, subject: &Subject) -> Result<(Loaded, usize), Mistake> {
        let (environment, sources) = self.inputs(subject)?;
        let host = host();
        verify(&sources, &environment, &host).map_err(|error| mistake(&host, error))
    }

    /// What a subject's policies are loaded from, and for.
    fn inputs(&self, subject: &Subject) -> Result<(Environment, Vec<Source>), Mistake> {
        let unread = |error: io::Error| Mistake {
            message: format!("The mount table can't be read: {error}."),
            mistakes: Vec::new(),
            files: Vec::new(),
            fingerprint: 0,
        };
        let environment = Environment {
            user: subject.user.clone(),
            uid: subject.uid,
            home: subject.home.clone(),
            workspace: subject.workspace.clone(),
            repository: subject.repository.clone(),
            mounts_at_start: Mounts::parse(&subject.mounts).map_err(unread)?,
            mounts_now: Mounts::read().map_err(unread)?,
            protected: Protected {
                paths: self.protected.clone(),
            },
        };
        let sources = if subject.policies.is_empty() {
            vec![Source::Preset(DEFAULT.to_owned())]
        } else {
            let words = subject.policies.iter();
            words.map(|word| Source::from_argument(word)).collect()
        };
        Ok((environment, sources))
    }
}

/// This host, which remembers what was read.
fn host() -> Remembering<impl Host> {
    Remembering::new(ThisHost {
        find_user: |name: &str| users::by_name(name).ok().flatten().map(|user| user.uid),
    })
}

/// What a text that is in no file is called.
const GIVEN: &str = "-";

/// A host on which a text stands for the policy [`GIVEN`].
struct Given<'text, H> {
    text: &'text str,
    host: H,
}

impl<H: Host> Host for Given<'_, H> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(GIVEN) {
            return Ok(self.text.as_bytes().to_vec());
        }
        self.host.read(path)
    }

    fn uid(&self, name: &str) -> Option<u32> {
        self.host.uid(name)
    }

    fn user_names(&self) -> Vec<String> {
        self.host.user_names()
    }

    fn resolve(&self, path: &Path, uid: u32) -> Resolved {
        self.host.resolve(path, uid)
    }

    fn is_changeable(&self, path: &Path, uid: u32) -> bool {
        self.host.is_changeable(path, uid)
    }
}

fn mistake(host: &Remembering<impl Host>, diagnostics: Diagnostics) -> Mistake {
    Mistake {
        message: diagnostics.to_string(),
        fingerprint: host.fingerprint(&diagnostics.files),
        mistakes: diagnostics.mistakes,
        files: diagnostics.files,
    }
}

impl Compiler for Policies {
    fn compile(&self, subject: &Subject) -> Result<Ready, Mistake> {
        let (loaded, fingerprint) = self.load_and_tell(subject)?;
        Ok(Ready {
            fingerprint,
            limits: loaded.ruleset.limits,
            compiled: loaded.compiled,
            files: loaded.files,
            notes: loaded.notes,
        })
    }
}
