//! Why something was refused: receipts, for root, and for a session its own.

use std::rc::Rc;

use guard_ebpf::abi::RING_BYTES;
use guard_ebpf::record::ProcessRecord;

use super::core::{Inner, Refused, Server};
use super::life::BATCH;
use super::protocol::Response;
use crate::events::event::Event;
use crate::events::receipts::Asked;
use crate::session::name::Name;

/// How often the ring is read before an answer: enough for all that it can hold. A session that is
/// refused faster than that is answered all the same.
const ROUNDS: usize = RING_BYTES as usize / size_of::<ProcessRecord>() / BATCH + 1;

impl Server {
    /// Hands root the receipts of a session, or of all that live.
    pub(super) fn why(self: &Rc<Self>, session: Option<&Name>, asked: &Asked) -> Response {
        let ids: Vec<u32> = match session {
            None => self.inner.borrow().sessions.keys().copied().collect(),
            // One that has ended is in the logs.
            Some(name) => self.find(name).into_iter().collect(),
        };
        self.up_to_date(&ids);
        let inner = self.inner.borrow();
        let mut found: Vec<&Event> = ids
            .iter()
            .flat_map(|id| receipts(&inner, *id, asked))
            .collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        if *asked == Asked::Last {
            found.drain(..found.len().saturating_sub(1));
        }
        told(&found)
    }

    /// Hands a session its own.
    pub(super) fn why_inside(self: &Rc<Self>, id: u32, asked: &Asked) -> Response {
        self.up_to_date(&[id]);
        told(&receipts(&self.inner.borrow(), id, asked))
    }

    /// Marks that a call of a tool begins in a session.
    pub(super) fn mark(self: &Rc<Self>, id: u32, call: &str) -> Result<Response, Refused> {
        self.up_to_date(&[id]);
        let mut inner = self.inner.borrow_mut();
        let Inner { sessions, feed, .. } = &mut *inner;
        let name = sessions.get(&id).map(|session| &session.state.name);
        match name {
            Some(name) if feed.begin(name, call) => Ok(Response::Marked),
            _ => Err(Refused::usage("That is no name of a call.")),
        }
    }

    /// Reads what the kernel has recorded, and makes events of what waits for more of its kind.
    fn up_to_date(self: &Rc<Self>, ids: &[u32]) {
        for _ in 0..ROUNDS {
            if self.drain() < BATCH {
                break;
            }
        }
        let mut inner = self.inner.borrow_mut();
        for id in ids {
            inner.feed.close_folds(*id);
        }
    }
}

fn receipts<'inner>(inner: &'inner Inner, id: u32, asked: &Asked) -> Vec<&'inner Event> {
    let session = inner.sessions.get(&id);
    session.map_or_else(Vec::new, |session| {
        inner.feed.receipts(&session.state.name, asked)
    })
}

fn told(found: &[&Event]) -> Response {
    let values = found.iter().map(serde_json::to_value);
    Response::Receipts(values.filter_map(Result::ok).collect())
}
