//! What a row of the threat tables is made of: a target, what is done to it, and what shows from
//! outside when it was done.

use std::any::Any;
use std::fmt::Display;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::chown;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use nix::libc;

use crate::actor::script;
use crate::support::agent::Agent;
use crate::support::cases::until;
use crate::support::raw;
use crate::support::victim::{self, Kind, Victim};

/// How long an effect may take to show, on an emulated processor.
const PATIENCE: Duration = crate::support::guard::PATIENCE;

/// How long one that was refused is given to show all the same.
const SETTLE: Duration = Duration::from_millis(10);

/// Where a scene is set.
pub struct Stage<'test> {
    /// The attacker's user.
    pub uid: u32,
    /// The attacker: scenes ask it for things of its own.
    pub agent: &'test mut Agent,
    /// A directory outside of every session's workspace, on the file system of this pass.
    pub place: &'static str,
}

/// A target and an attack on it.
pub struct Scene {
    attack: &'static str,
    words: Vec<String>,
    descriptor: Option<OwnedFd>,
    harm: Option<Box<dyn FnMut() -> bool>>,
    kept: Vec<Box<dyn Any>>,
}

impl Scene {
    /// An attack by its name.
    pub fn of(attack: &'static str, words: &[&dyn Display]) -> Self {
        Self {
            attack,
            words: words.iter().map(ToString::to_string).collect(),
            descriptor: None,
            harm: None,
            kept: Vec::new(),
        }
    }

    /// What shows that it was done. Without it, the attack is done when its last call succeeds.
    pub fn shows(mut self, harm: impl FnMut() -> bool + 'static) -> Self {
        self.harm = Some(Box::new(harm));
        self
    }

    /// What has to be there until it is over.
    pub fn keep(mut self, thing: impl Any) -> Self {
        self.kept.push(Box::new(thing));
        self
    }

    /// What puts the machine right again, whatever came of it.
    pub fn undo(self, undo: impl FnOnce() + 'static) -> Self {
        self.keep(Undo(Some(Box::new(undo))))
    }

    /// A descriptor that the attacker is sent.
    pub fn send(mut self, descriptor: OwnedFd) -> Self {
        self.descriptor = Some(descriptor);
        self
    }

    /// Has the attacker make the attack.
    pub fn make(&self, agent: &mut Agent) -> anyhow::Result<Result<i64, Errno>> {
        if self.attack == "script" {
            let descriptor = self.descriptor.as_ref().map(OwnedFd::as_fd);
            return agent.script(&self.words, descriptor);
        }
        let words: Vec<&dyn Display> = self.words.iter().map(|word| word as &dyn Display).collect();
        agent.attack(self.attack, &words)
    }

    /// Whether it shows in time.
    pub fn does_show(&mut self) -> bool {
        self.harm.as_mut().is_none_or(|harm| until(PATIENCE, harm))
    }

    /// Whether the target was harmed although the attack was refused.
    pub fn is_harmed(&mut self) -> bool {
        self.harm.as_mut().is_some_and(|harm| {
            std::thread::sleep(SETTLE);
            harm()
        })
    }
}

struct Undo(Option<Box<dyn FnOnce()>>);

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}

/// A script for [`script`], call by call.
#[derive(Default)]
pub struct Script(Vec<String>);

/// A script that begins with this call.
pub fn does(number: i64, arguments: &[&dyn Display]) -> Script {
    Script::default().then(number, arguments)
}

impl Script {
    /// Adds a call.
    pub fn then(mut self, number: i64, arguments: &[&dyn Display]) -> Self {
        if !self.0.is_empty() {
            self.0.push(";".to_owned());
        }
        self.0.push(number.to_string());
        self.0.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Adds a call that may fail.
    pub fn tries(self, number: i64, arguments: &[&dyn Display]) -> Self {
        let at = self.0.len() + usize::from(!self.0.is_empty());
        let mut script = self.then(number, arguments);
        script.0[at].insert(0, '?');
        script
    }

    /// The scene that it is the attack of.
    pub fn scene(self) -> Scene {
        Scene {
            words: self.0,
            ..Scene::of("script", &[])
        }
    }
}

/// Opens a file and writes a text into it.
pub fn write(path: impl Display, text: &str) -> Script {
    does(
        libc::SYS_write,
        &[&file(libc::O_WRONLY, path), &string(text), &text.len()],
    )
}

/// Opens a file.
pub fn open(path: impl Display, flags: i32) -> Script {
    does(
        libc::SYS_openat,
        &[&libc::AT_FDCWD, &string(path), &flags, &0o600],
    )
}

/// A descriptor of a file as an argument.
pub fn file(flags: i32, path: impl Display) -> String {
    format!("f:{flags}:{path}")
}

/// A text as an argument.
pub fn string(text: impl Display) -> String {
    format!("t:{text}")
}

/// Bytes as an argument.
pub fn bytes(bytes: &[u8]) -> String {
    format!("x:{}", hex(bytes))
}

/// Words of 32 bits as an argument.
pub fn words32(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    self::bytes(&bytes)
}

/// Words of 64 bits as an argument.
pub fn words64(words: &[u64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    self::bytes(&bytes)
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number that no other scene has.
pub fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Stage<'_> {
    /// The session's workspace, or what will be one.
    pub fn workspace(&self) -> String {
        let who = if self.uid == 0 { "root" } else { "user" };
        format!("/srv/work-{who}")
    }

    /// A process to be attacked.
    pub fn victim(&self) -> anyhow::Result<Victim> {
        Victim::spawn(Kind::Plain, self.uid)
    }

    /// A directory of the attacker's user's that nobody's session made.
    pub fn directory(&self) -> anyhow::Result<String> {
        let path = format!("{}/victim/{}", self.place, fresh());
        // Another test may have had the number.
        if fs::exists(&path)? {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        for path in [format!("{}/victim", self.place), path.clone()] {
            chown(path, Some(self.uid), Some(self.uid))?;
        }
        Ok(path)
    }

    /// A file in such a directory, with [`WHOLE`] in it.
    pub fn file(&self) -> anyhow::Result<String> {
        let path = format!("{}/file", self.directory()?);
        fs::write(&path, WHOLE)?;
        chown(&path, Some(self.uid), Some(self.uid))?;
        Ok(path)
    }
}

/// What is in a file that was not harmed: more than a block, for what works on blocks.
pub const WHOLE: &[u8] = &[b'w'; 3 * 4096];

/// Whether a file is there with all that was in it.
pub fn is_whole(path: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == WHOLE)
}

/// A process that does something of the test's until the scene is over.
pub struct Helper {
    /// Its process.
    pub pid: i32,
}

impl Helper {
    /// Starts one as this user; it begins once it has nothing open of the test's.
    pub fn start(uid: u32, act: impl FnOnce()) -> anyhow::Result<Self> {
        let (mut ready, gate) = std::io::pipe()?;
        let pid = raw::fork(|| {
            use std::os::fd::AsRawFd as _;
            let gate = gate.as_raw_fd() as usize;
            let _ = raw::call(libc::SYS_dup3, &[gate, 0, 0]);
            raw::close_from(3);
            if victim::become_user(uid).is_err() {
                return 1;
            }
            let _ = raw::call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as usize, 1]);
            act();
            0
        })?;
        drop(gate);
        let mut byte = [0_u8; 1];
        std::io::Read::read_exact(&mut ready, &mut byte).context("a helper did not come up")?;
        Ok(Self { pid })
    }
}

/// A helper says that it is where it should be.
pub fn ready() {
    let _ = raw::call(libc::SYS_write, &[0, b"x".as_ptr() as usize, 1]);
}

/// Waits until it is killed.
pub fn rest() -> ! {
    loop {
        let _ = raw::call(libc::SYS_pause, &[]);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = raw::call(libc::SYS_kill, &[self.pid as usize, libc::SIGKILL as usize]);
        let _ = raw::wait(self.pid);
    }
}

/// A file of the kernel's, which has what it had before when the scene is over.
pub fn setting(path: &'static str, value: &'static str) -> anyhow::Result<Scene> {
    let read = move || fs::read_to_string(path).unwrap_or_default();
    let before = fs::read_to_string(path).with_context(|| path.to_owned())?;
    anyhow::ensure!(before.trim() != value, "{path} is {value} already");
    let (old, start) = (before.clone(), before);
    Ok(write(path, value)
        .scene()
        .shows(move || read() != old)
        .undo(move || {
            let text = start.trim();
            // Of several words the one in brackets is the one in force.
            let text = text
                .split_once('[')
                .and_then(|(_, rest)| rest.split_once(']'))
                .map_or(text, |(word, _)| word);
            let _ = fs::write(path, text);
        }))
}

/// A file of the kernel's that says 0 or 1, which the attack turns round.
pub fn switch(path: &'static str) -> anyhow::Result<Scene> {
    let is_on = fs::read_to_string(path)
        .with_context(|| path.to_owned())?
        .trim()
        == "1";
    setting(path, if is_on { "0" } else { "1" })
}

/// Opening a file of the kernel's or a device.
pub fn opening(path: &'static str, flags: i32) -> anyhow::Result<Scene> {
    anyhow::ensure!(fs::exists(path)?, "{path} is not there");
    Ok(open(path, flags).scene())
}

/// What there is no system call for in a script.
pub use script::{NAMESPACES, PAUSE, RING, STORE};
