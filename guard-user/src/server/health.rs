//! Proof of life: loaded is not enforced. Every few seconds, and before each session, a canary
//! tries what must be refused. When anything goes through, all sessions are frozen until nothing
//! does any more, and everyone who listens is told.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::canary::Outcomes;
use super::core::{Refused, Server, log};
use crate::cli::output::sentence;
use crate::engine::PIN_ROOT;
use crate::engine::attempts::Outcome;
use crate::events::event::Level;
use crate::session::cgroup::SessionCgroup;

/// How often the canary is asked as long as there are sessions. Together with what an answer
/// takes it is well below the five seconds within which sessions are to be frozen.
const INTERVAL: Duration = Duration::from_secs(2);
/// When this is off, the kernel runs none of the guard's programs.
const FTRACE: &str = "/proc/sys/kernel/ftrace_enabled";
/// How often a session must be seen without a process before tasks whose ends were not counted
/// are given up.
const LOOKS: u32 = 3;

/// Whether the engine enforces, as far as the canary knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Health {
    /// Nothing has been tried yet.
    #[default]
    Unknown,
    /// Nothing went through.
    Whole {
        /// What was refused.
        refused: Vec<String>,
        /// What failed of something else, a clause each. It says nothing either way.
        unclear: Vec<String>,
    },
    /// It was not shown that it enforces, for this reason.
    Unproved(String),
    /// It does not enforce, for this reason, and the sessions are frozen.
    Broken(String),
}

impl Health {
    /// What an attempt to prove it came to.
    fn of(result: anyhow::Result<Outcomes>) -> Self {
        let outcomes = match result {
            Ok(outcomes) => outcomes,
            Err(error) => {
                return Self::Unproved(format!(
                    "it can't be proved that guard enforces: {error:#}"
                ));
            }
        };
        let through = named(&outcomes, |outcome| outcome == Outcome::Through);
        if !through.is_empty() {
            return Self::Broken(format!(
                "guard does not enforce: what must be refused went through ({}); all sessions are \
                 frozen until it is refused again. {}",
                through.join(", "),
                likely_cause(Path::new(FTRACE), Path::new(PIN_ROOT))
            ));
        }
        let refused = named(&outcomes, |outcome| outcome == Outcome::Refused);
        let unclear = unclear(&outcomes);
        if refused.is_empty() {
            return Self::Unproved(format!(
                "it can't be proved that guard enforces: {}",
                unclear.join("; ")
            ));
        }
        Self::Whole { refused, unclear }
    }

    /// Why sessions may not be guarded as they should.
    pub fn alarm(&self) -> Option<String> {
        match self {
            Self::Unknown | Self::Whole { .. } => None,
            Self::Unproved(why) | Self::Broken(why) => Some(sentence(why)),
        }
    }

    /// What was last seen to be refused.
    pub fn proved(&self) -> Vec<String> {
        match self {
            Self::Whole { refused, .. } => refused.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether sessions have to be frozen.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

fn named(outcomes: &Outcomes, wanted: impl Fn(Outcome) -> bool) -> Vec<String> {
    let wanted = outcomes.iter().filter(|(_, outcome)| wanted(*outcome));
    wanted.map(|(family, _)| family.clone()).collect()
}

fn unclear(outcomes: &Outcomes) -> Vec<String> {
    let unclear = outcomes
        .iter()
        .filter_map(|(family, outcome)| match outcome {
            Outcome::Unclear(errno) => Some((family, std::io::Error::from_raw_os_error(*errno))),
            _ => None,
        });
    unclear
        .map(|(family, error)| format!("{family} could not be tried: {error}"))
        .collect()
}

/// Why the programs don't refuse, and what to do.
fn likely_cause(switch: &Path, pins: &Path) -> String {
    if fs::read_to_string(switch).is_ok_and(|text| text.trim() == "0") {
        return format!(
            "{} is 0, and the kernel runs no BPF LSM program; write 1 into it: sudo sysctl \
             kernel.ftrace_enabled=1",
            switch.display()
        );
    }
    let is_pinned = fs::read_dir(pins).is_ok_and(|mut entries| entries.next().is_some());
    if !is_pinned {
        return format!(
            "{} is empty: somebody has removed the programs from the kernel; end the sessions \
             (sudo guard stop) and start them anew",
            pins.display()
        );
    }
    "What has switched the programs off isn't known; `guard doctor` may say more, and `guard stop` \
     ends a session that is frozen"
        .to_owned()
}

impl Server {
    /// Asks the canary as long as there is something to guard.
    pub(super) async fn stay_proved(self: Rc<Self>) {
        loop {
            let is_needed = {
                let inner = self.inner.borrow();
                inner.engine.is_some()
                    && (!inner.sessions.is_empty() || inner.health.alarm().is_some())
            };
            if is_needed {
                self.prove().await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Fails, with what is wrong, when the engine does not enforce now.
    pub(super) async fn ensure_proved(&self) -> Result<(), Refused> {
        self.prove().await;
        match self.inner.borrow().health.alarm() {
            Some(alarm) => Err(Refused::guard(format!("{alarm} Nothing was started."))),
            None => Ok(()),
        }
    }

    /// Asks the canary, and does what follows from its answer.
    async fn prove(&self) {
        if self.parts.canary.is_none() {
            return;
        }
        let result = {
            let mut canary = self.canary.lock().await;
            self.try_all(&mut canary).await
        };
        let now = Health::of(result);
        let before = std::mem::replace(&mut self.inner.borrow_mut().health, now.clone());
        if now.is_broken() {
            // Each time: sessions may have come, and processes may have left their cgroups.
            self.freeze_all();
        }
        if before.alarm() != now.alarm() {
            self.tell(&before, &now);
        }
        if let Health::Whole { unclear, .. } = &now
            && !unclear.is_empty()
            && !matches!(&before, Health::Whole { unclear: known, .. } if known == unclear)
        {
            let message = format!("of what must be refused, {}", unclear.join("; "));
            self.notice(None, Level::Warning, &message);
        }
        if matches!(now, Health::Whole { .. }) && self.is_frozen.get() {
            self.thaw_all();
        }
    }

    fn tell(&self, before: &Health, now: &Health) {
        match now {
            Health::Broken(why) => self.notice(None, Level::Error, why),
            Health::Unproved(why) => self.notice(None, Level::Warning, why),
            Health::Whole { .. } | Health::Unknown
                if before.is_broken() || self.is_frozen.get() =>
            {
                self.notice(
                    None,
                    Level::Info,
                    "guard enforces again, and the sessions go on",
                );
            }
            Health::Whole { .. } | Health::Unknown => {
                self.notice(None, Level::Info, "it is proved again that guard enforces");
            }
        }
    }

    /// The cgroups of all sessions.
    fn cgroups(&self) -> Vec<(u32, SessionCgroup)> {
        let inner = self.inner.borrow();
        let sessions = inner.sessions.iter();
        sessions
            .map(|(&id, session)| (id, session.state.cgroup.clone()))
            .collect()
    }

    /// Stops all processes of all sessions.
    fn freeze_all(&self) {
        self.is_frozen.set(true);
        for (id, cgroup) in self.cgroups() {
            let inside = cgroup.processes();
            for pid in self.living(id) {
                // Where it has gone it would go on. It may have ended just now.
                if !inside.contains(&pid) {
                    let _ = cgroup.attach(pid);
                }
            }
            if let Err(error) = cgroup.freeze(true) {
                log(&format!(
                    "session #{id} can't be frozen: {}: {error}",
                    cgroup.directory.display()
                ));
            }
            if let Some(session) = self.inner.borrow_mut().sessions.get_mut(&id) {
                session.unseen.get_or_insert(0);
            }
        }
    }

    /// Lets all processes of all sessions go on, when each has its label. Children of which the
    /// programs were not told have none.
    fn thaw_all(&self) {
        self.is_frozen.set(false);
        for (id, cgroup) in self.cgroups() {
            let labelled = self
                .with_engine(|engine| engine.members(id))
                .unwrap_or_default();
            for (directory, pid) in cgroup.places() {
                if !labelled.contains(&pid)
                    && let Err(error) = SessionCgroup::enter(&directory, pid)
                {
                    log(&format!(
                        "process {pid} of session #{id} has no label: {error}"
                    ));
                }
            }
            if let Err(error) = cgroup.freeze(false) {
                log(&format!(
                    "session #{id} stays frozen: {}: {error}",
                    cgroup.directory.display()
                ));
            }
        }
    }

    /// Takes note of sessions that the server before has frozen: they go on when it is proved
    /// that the engine enforces.
    pub(super) fn adopt_frozen(&self) {
        let is_frozen = self.cgroups().iter().any(|(_, cgroup)| cgroup.is_frozen());
        self.is_frozen.set(is_frozen);
    }

    /// Gives up tasks whose ends were not counted, of a session that has had no process for a
    /// while.
    pub(super) fn give_up_lost(&self, id: u32) {
        let looks = {
            let inner = self.inner.borrow();
            inner.sessions.get(&id).and_then(|session| session.unseen)
        };
        let Some(looks) = looks else { return };
        let looks = if self.living(id).is_empty() {
            looks + 1
        } else {
            0
        };
        if let Some(session) = self.inner.borrow_mut().sessions.get_mut(&id) {
            session.unseen = Some(looks);
        }
        if looks >= LOOKS
            && let Err(error) = self.with_engine(|engine| engine.forget_lost_tasks(id))
        {
            log(&format!("session #{id} can't be counted anew: {error:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(outcomes: &[(&str, Outcome)]) -> Outcomes {
        let named = outcomes.iter();
        named
            .map(|(family, outcome)| ((*family).to_owned(), *outcome))
            .collect()
    }

    #[test]
    fn one_that_goes_through_is_enough() {
        let health = Health::of(Ok(outcomes(&[
            ("signal", Outcome::Refused),
            ("delete", Outcome::Through),
            ("trace", Outcome::Unclear(2)),
        ])));
        assert!(health.is_broken());
        assert!(health.alarm().unwrap().contains("(delete)"), "{health:?}");
        assert_eq!(health.proved(), [""; 0]);
    }

    #[test]
    fn what_could_not_be_tried_is_no_proof_and_freezes_nobody() {
        for result in [
            Ok(outcomes(&[("delete", Outcome::Unclear(2))])),
            Err(anyhow::anyhow!("it does not answer")),
        ] {
            let health = Health::of(result);
            assert!(
                !health.is_broken() && health.alarm().is_some(),
                "{health:?}"
            );
        }
        let health = Health::of(Ok(outcomes(&[
            ("signal", Outcome::Refused),
            ("delete", Outcome::Unclear(2)),
        ])));
        assert_eq!(
            (health.alarm(), health.proved()),
            (None, vec!["signal".to_owned()])
        );
        let Health::Whole { unclear, .. } = health else {
            panic!("{health:?}")
        };
        assert!(
            unclear[0].starts_with("delete could not be tried"),
            "{unclear:?}"
        );
    }

    #[test]
    fn the_likely_cause_comes_with_what_to_do() {
        let base = tempfile::tempdir().unwrap();
        let (switch, pins) = (base.path().join("switch"), base.path().join("pins"));
        fs::write(&switch, "0\n").unwrap();
        fs::create_dir(&pins).unwrap();
        assert!(likely_cause(&switch, &pins).contains("ftrace_enabled=1"));
        fs::write(&switch, "1\n").unwrap();
        assert!(likely_cause(&switch, &pins).contains("guard stop"));
        fs::write(pins.join("v1"), "").unwrap();
        assert!(likely_cause(&switch, &pins).contains("guard doctor"));
    }
}
