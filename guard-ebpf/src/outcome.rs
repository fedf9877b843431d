//! A decision as a number, which global functions take and return, with what else became known.

use guard_ebpf::decision::Decision;
use guard_ebpf::operation::{FACILITIES, Reason, Verdict};
use guard_ebpf::record::{FLAG_UNDER_RULE, Header, Kind};

use crate::access::forget;
use crate::judge::{Act, EPERM};
use crate::report;

/// Packs a decision into a number.
#[inline(always)]
pub fn pack(decision: Decision) -> u32 {
    decision.verdict as u32
        | (decision.reason as u32) << 8
        | u32::from(decision.rule) << 16
        | u32::from(decision.yields) << 24
        | u32::from(decision.limited) << 25
}

/// In an [`Outcome`]: who acts was asked.
const ASKED: u32 = 1 << 26;
/// In an [`Outcome`] that was granted: a rule refuses it, and not the want of one.
const UNDER_RULE: u32 = 1 << 27;
/// In an [`Outcome`]: the policy says `record: everything`.
pub const RECORDED: u32 = 1 << 28;

/// A packed decision, of which the verifier knows nothing (see [`forget`]).
#[derive(Clone, Copy)]
pub struct Outcome(u32);

impl Outcome {
    /// A refusal that nothing lifts.
    #[inline(always)]
    pub fn deny(reason: Reason) -> Self {
        Self(forget(pack(Decision::deny(reason))))
    }

    /// What goes through since it is the session's own.
    #[inline(always)]
    pub fn own() -> Self {
        Self(Verdict::Allow as u32 | (Reason::Own as u32) << 8)
    }

    /// The verdict's number.
    #[inline(always)]
    pub fn verdict(self) -> u8 {
        self.0 as u8
    }

    /// The reason's number.
    #[inline(always)]
    pub fn reason(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The number, for a global function.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The outcome of a number.
    #[inline(always)]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The rule's index.
    #[inline(always)]
    pub fn rule(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Whether a rule decided, or has let so many through that it lets through no more.
    #[inline(always)]
    pub fn is_under_rule(self) -> bool {
        self.is_by_rule() || self.reason() == Reason::Limit as u8
    }

    /// Whether it is a refusal that a person can lift.
    #[inline(always)]
    pub fn can_be_lifted(self) -> bool {
        self.verdict() == Verdict::Deny as u8
            && (self.yields() || self.reason() == Reason::Limit as u8)
    }

    /// The same when a limit has counted.
    #[inline(always)]
    pub fn spent(self, bits: u32) -> Self {
        Self(bits | self.0 & (ASKED | RECORDED))
    }

    /// The same when grants have been looked at.
    #[inline(always)]
    pub fn lifted(self, bits: u32) -> Self {
        let rule = if self.is_under_rule() { UNDER_RULE } else { 0 };
        Self(bits | self.0 & ASKED | rule)
    }

    /// Whether it goes through and is recorded for nothing else than `record: everything`: what
    /// is the session's own is not.
    #[inline(always)]
    pub fn is_recorded_only(self) -> bool {
        self.0 & RECORDED != 0 && self.verdict() == Verdict::Allow as u8
    }

    /// Whether a person has granted it.
    #[inline(always)]
    pub fn is_granted(self) -> bool {
        self.reason() == Reason::Grant as u8
    }

    /// Whether the session's own is let through whatever it is.
    #[inline(always)]
    pub fn yields(self) -> bool {
        self.0 >> 24 & 1 != 0
    }

    /// The same, with whether a rule asked who acts.
    #[inline(always)]
    pub fn asked(self, asked: bool) -> Self {
        Self(self.0 | if asked { ASKED } else { 0 })
    }

    /// Whether it is the same whoever acts.
    #[inline(always)]
    pub fn is_for_all(self) -> bool {
        self.0 & ASKED == 0
    }

    /// Whether a rule lets it through so many times only.
    #[inline(always)]
    pub fn is_limited(self) -> bool {
        self.0 >> 25 & 1 != 0
    }

    /// Whether a rule decided.
    #[inline(always)]
    pub fn is_by_rule(self) -> bool {
        self.reason() == Reason::Rule as u8
    }

    /// Whether it is refused only because nothing lets it through.
    #[inline(always)]
    pub fn is_by_default(self) -> bool {
        self.reason() == Reason::Default as u8
    }

    /// The same for [`Reason::Forgotten`].
    #[inline(always)]
    pub fn forgotten(self) -> Self {
        Self(self.0 & !0xff00 | (Reason::Forgotten as u32) << 8)
    }

    /// What the hook returns.
    #[inline(always)]
    pub fn returned(self) -> i32 {
        if self.verdict() == Verdict::Deny as u8 {
            EPERM
        } else {
            0
        }
    }

    /// The record's header.
    #[inline(always)]
    pub fn header(self, kind: Kind, act: Act, policy: u32) -> Header {
        let detail = if act.detail > FACILITIES {
            act.detail - FACILITIES
        } else {
            act.detail
        };
        Header {
            kind: kind as u8,
            operation: act.operation as u8,
            verdict: self.verdict(),
            reason: self.reason(),
            rule: self.rule(),
            detail: detail as u8,
            flags: act.flags
                | if self.0 & UNDER_RULE == 0 {
                    0
                } else {
                    FLAG_UNDER_RULE
                },
            reserved: 0,
            session: act.session,
            policy,
            time: report::now(),
        }
    }
}
