//! Names of users, without waiting for them: whoever is guarded can have any number, and a
//! directory service may take its time over each.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::system::users;

/// How many numbers may wait to be looked up. Beyond that they are asked for again later.
const QUEUE: usize = 16;

/// How many answers are kept until somebody asks again.
const ANSWERS: usize = 1024;

/// What is known of a user's name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserName {
    /// It is this; none when nobody has the number.
    Known(Option<String>),
    /// It has been asked for, and is not there yet.
    Asked,
}

/// How a number is looked up.
type LookUp = fn(u32) -> Option<String>;

/// Looks users up: in `/etc/passwd` at once, elsewhere on a thread of its own, one at a time.
#[derive(Debug)]
pub struct Users {
    local: LookUp,
    elsewhere: LookUp,
    asker: Option<Asker>,
    waiting: HashSet<u32>,
    answers: HashMap<u32, Option<String>>,
}

/// The thread that asks.
#[derive(Debug)]
struct Asker {
    questions: SyncSender<u32>,
    answers: Receiver<(u32, Option<String>)>,
}

impl Default for Users {
    /// The users of this machine.
    fn default() -> Self {
        // A directory that can't be read costs the name, not the event.
        Self::new(
            |uid| {
                users::local_by_uid(uid)
                    .ok()
                    .flatten()
                    .map(|user| user.name)
            },
            |uid| users::by_uid(uid).ok().flatten().map(|user| user.name),
        )
    }
}

impl Users {
    fn new(local: LookUp, elsewhere: LookUp) -> Self {
        Self {
            local,
            elsewhere,
            asker: None,
            waiting: HashSet::new(),
            answers: HashMap::new(),
        }
    }

    /// What is known of a name now. Ask again later when it is not there yet.
    pub fn name(&mut self, uid: u32) -> UserName {
        self.fetch();
        if let Some(answer) = self.answers.remove(&uid) {
            return UserName::Known(answer);
        }
        if self.waiting.contains(&uid) {
            return UserName::Asked;
        }
        if let Some(name) = (self.local)(uid) {
            return UserName::Known(Some(name));
        }
        if self.asker.is_none() {
            self.asker = Asker::start(self.elsewhere);
        }
        let Some(asker) = &self.asker else {
            // Without a thread there is the number.
            return UserName::Known(None);
        };
        if asker.questions.try_send(uid).is_ok() {
            self.waiting.insert(uid);
        }
        UserName::Asked
    }

    fn fetch(&mut self) {
        let Some(asker) = &self.asker else { return };
        for (uid, name) in asker.answers.try_iter() {
            self.waiting.remove(&uid);
            if self.answers.len() >= ANSWERS {
                // Nobody has come back for them.
                self.answers.clear();
            }
            self.answers.insert(uid, name);
        }
    }
}

impl Asker {
    fn start(look_up: LookUp) -> Option<Self> {
        let (questions, asked) = sync_channel(QUEUE);
        let (answer, answers) = channel();
        let work = move || answer_all(&asked, &answer, look_up);
        let builder = std::thread::Builder::new().name("users".to_owned());
        builder.spawn(work).ok()?;
        Some(Self { questions, answers })
    }
}

/// Answers until nobody asks any more.
fn answer_all(asked: &Receiver<u32>, answer: &Sender<(u32, Option<String>)>, look_up: LookUp) {
    for uid in asked {
        if answer.send((uid, look_up(uid))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn later(users: &mut Users, uid: u32) -> Option<String> {
        for _ in 0..1000 {
            if let UserName::Known(name) = users.name(uid) {
                return name;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{uid} is not answered");
    }

    #[test]
    fn local_users_are_named_at_once_and_others_later() {
        let mut users = Users::new(
            |uid| (uid == 0).then(|| "root".to_owned()),
            |uid| (uid == 1).then(|| "far".to_owned()),
        );
        assert_eq!(users.name(0), UserName::Known(Some("root".to_owned())));
        assert_eq!(users.name(1), UserName::Asked);
        assert_eq!(users.name(2), UserName::Asked);
        assert_eq!(later(&mut users, 1), Some("far".to_owned()));
        assert_eq!(later(&mut users, 2), None);
    }

    #[test]
    fn nobody_waits_for_a_directory_that_is_slow_however_many_are_asked_for() {
        static ANSWERED: AtomicUsize = AtomicUsize::new(0);
        let mut users = Users::new(
            |_| None,
            |_| {
                std::thread::sleep(Duration::from_millis(100));
                ANSWERED.fetch_add(1, Ordering::SeqCst);
                None
            },
        );
        for uid in 0..10_000 {
            assert_eq!(users.name(uid), UserName::Asked);
        }
        // Whoever waited would have had every answer by now.
        assert!(ANSWERED.load(Ordering::SeqCst) < 1000);
        assert!(users.waiting.len() <= 2 * QUEUE);
        assert_eq!(later(&mut users, 0), None);
    }
}
