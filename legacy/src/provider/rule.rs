//! Judging is data first: a rule is one row of a table, and the first row that fits decides.

use std::{borrow::Cow, time::Duration};

use super::{
    Answer,
    complaint::{Complaint, Mark, forbids_retry},
};
use crate::verdict::{Elsewhere, Scope, Until, Verdict, VerdictKind, retry_after::LONGEST};

/// One row: for answers of these statuses that bear any of these marks, this ruling and this advice.
#[derive(Debug)]
pub(super) struct Rule {
    /// Statuses; 1 to 9 stand for a whole class (5 is 500-599); empty: any.
    pub(super) statuses: &'static [u16],
    /// Any of them is enough; empty: none is needed.
    pub(super) marks: &'static [Mark],
    /// What it means.
    pub(super) then: Ruling,
    /// What a person can do about it: one plain sentence.
    pub(super) advice: &'static str,
}

/// The constant part of a verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruling {
    pub(super) kind: VerdictKind,
    pub(super) scope: Scope,
    pub(super) until: Until,
    pub(super) elsewhere: Elsewhere,
    pub(super) named: bool,
    /// Instead of the provider's own word, where it has none.
    code: &'static str,
    /// Which waits of the answer's own are taken instead of `until`.
    heeds: Option<Heeds>,
    retry_cap: Option<u8>,
    confirm_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Heeds {
    least: Duration,
    most: Duration,
    /// Waits beyond the range: brought into it, or not taken.
    clamped: bool,
}

/// A row of a table.
pub(super) const fn rule(statuses: &'static [u16], marks: &'static [Mark], then: Ruling, advice: &'static str) -> Rule {
    Rule { statuses, marks, then, advice }
}

/// A ruling whose cause the provider named.
pub(super) const fn ruling(kind: VerdictKind, scope: Scope, until: Until, elsewhere: Elsewhere) -> Ruling {
    Ruling { kind, scope, until, elsewhere, named: true, code: "", heeds: None, retry_cap: None, confirm_after: None }
}

/// So many seconds.
pub(super) const fn seconds(seconds: u64) -> Until {
    Until::For(Duration::from_secs(seconds))
}

/// Without end, probed after so many seconds.
pub(super) const fn probed(seconds: u64) -> Until {
    Until::Probed(Duration::from_secs(seconds))
}

/// An hour, in seconds.
pub(super) const HOUR: u64 = 3_600;

impl Ruling {
    /// The provider named no cause: strikes and evidence apply.
    pub(super) const fn unclear(mut self) -> Self {
        self.named = false;
        self
    }

    /// The code, where the provider has no word for it.
    pub(super) const fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The answer's own wait holds, brought between a second and `most` seconds.
    pub(super) const fn heeding(mut self, most: u64) -> Self {
        self.heeds = Some(Heeds { least: Duration::from_secs(1), most: Duration::from_secs(most), clamped: true });
        self
    }

    /// The answer's own wait holds where it lies between these numbers of seconds.
    pub(super) const fn heeding_between(mut self, least: u64, most: u64) -> Self {
        self.heeds = Some(Heeds { least: Duration::from_secs(least), most: Duration::from_secs(most), clamped: false });
        self
    }

    /// At most so many retries.
    pub(super) const fn retries(mut self, cap: u8) -> Self {
        self.retry_cap = Some(cap);
        self
    }

    /// Asked once more after so many seconds before it holds for good.
    pub(super) const fn confirmed_after(mut self, seconds: u64) -> Self {
        self.confirm_after = Some(Duration::from_secs(seconds));
        self
    }

    /// Whether it is held against more than this request: a key, its owner, or the way out.
    fn blames(&self) -> bool {
        !matches!(self.scope, Scope::Caller | Scope::Lane)
    }

    fn until(&self, wait: Option<Duration>) -> Until {
        // What is longer than any quota is no promise.
        match (self.heeds, wait.filter(|wait| *wait < LONGEST)) {
            (Some(heeds), Some(wait)) if heeds.clamped => Until::For(wait.clamp(heeds.least, heeds.most)),
            (Some(heeds), Some(wait)) if (heeds.least..=heeds.most).contains(&wait) => Until::For(wait),
            _ => self.until,
        }
    }
}

impl Rule {
    fn fits(&self, said: &Complaint) -> bool {
        let status = said.status;
        let of_status = |wanted: &u16| if *wanted < 10 { status / 100 == *wanted } else { status == *wanted };
        (self.statuses.is_empty() || self.statuses.iter().any(of_status))
            && (self.marks.is_empty() || self.marks.iter().any(|mark| said.bears(mark)))
    }

    /// Whether what it rules follows from the limit that was hit.
    fn follows_a_limit(&self, said: &Complaint) -> bool {
        let by_kind = self.marks.iter().any(|mark| matches!(mark, Mark::Hits(_)));
        by_kind || (said.hit.is_none() && self.then.kind == VerdictKind::RateLimited)
    }

    /// Whether it is told by what stands in front of an API: a page, a bare text, the way to a page.
    fn is_of_an_edge(&self) -> bool {
        let of_an_edge = |mark: &Mark| match mark {
            Mark::Page | Mark::Bare | Mark::LeadsTo(_) => true,
            Mark::All(marks) => marks.iter().any(|mark| matches!(mark, Mark::Page | Mark::Bare)),
            _ => false,
        };
        self.marks.iter().any(of_an_edge)
    }

    /// Whether it blames a key for a sentence alone: nothing else in the answer says that it is about the key. These
    /// statuses do: at a 403, too, nobody is known to begin with a caller's words.
    fn is_worded_by(&self, said: &Complaint) -> bool {
        self.then.elsewhere == Elsewhere::OtherKey
            && !self.marks.is_empty()
            && !matches!(said.status, 401 | 402 | 403 | 407 | 429)
            && self.marks.iter().filter(|mark| said.bears(mark)).all(Mark::is_worded)
    }
}

/// The first status for which a table has a row that goes by this word of the provider's alone.
pub(super) fn status_named(tables: &[&[Rule]], word: &str) -> Option<u16> {
    let is = |mark: &Mark| match mark {
        Mark::Is(known) => known.eq_ignore_ascii_case(word),
        Mark::IsLike(part) => word.to_ascii_lowercase().contains(part),
        _ => false,
    };
    let named = tables.iter().flat_map(|table| table.iter()).find(|rule| rule.marks.iter().any(is))?;
    // A class stands for its first.
    named.statuses.first().map(|status| if *status < 10 { status * 100 } else { *status })
}

/// The verdict of the first rule that fits, table after table. The last row of the last table fits everything.
pub(super) fn decide(tables: &[&'static [Rule]], mut said: Complaint, answer: &Answer<'_>) -> Verdict {
    // Without the caller's words there is no blame that rests on them, and nothing else is lost.
    let unasked = said.unasked();
    let fits =
        |rule: &&Rule| rule.fits(&said) && (!rule.then.blames() || unasked.as_ref().is_none_or(|said| rule.fits(said)));
    let Some(rule) = tables.iter().flat_map(|table| table.iter()).find(fits) else {
        return Verdict::new(VerdictKind::Transient).unclear().status(answer.status);
    };
    let then = &rule.then;
    let code = match rule.marks.iter().find_map(|mark| said.word_for(mark)) {
        _ if !then.code.is_empty() => Cow::Borrowed(then.code),
        Some(word) => Cow::Owned(word.to_owned()),
        None => Cow::Owned(said.first_word().to_owned()),
    };
    let vetoed = then.elsewhere == Elsewhere::AfterPause && forbids_retry(answer.headers);
    // A page on a path that names no model speaks of that path, whatever somebody asked there.
    let of_a_path = then.scope == Scope::Exit && said.is_apart() && rule.is_of_an_edge();
    let mut verdict = Verdict::new(then.kind)
        .scope(then.scope)
        .until(if of_a_path { Until::Now } else { then.until(said.wait) })
        .elsewhere(if vetoed { Elsewhere::No } else { then.elsewhere })
        .code(code)
        .status(answer.status)
        .advice(rule.advice);
    if !then.named {
        verdict = verdict.unclear();
    }
    if rule.is_worded_by(&said) {
        verdict = verdict.worded();
    }
    if let Some(cap) = then.retry_cap {
        verdict = verdict.retry_cap(cap);
    }
    if let Some(pause) = then.confirm_after {
        verdict = verdict.confirm_after(pause);
    }
    if !rule.follows_a_limit(&said) {
        said.news.decisive = None;
    }
    if said.news != crate::verdict::QuotaNews::default() {
        verdict = verdict.news(said.news);
    }
    verdict
}

/// What every table must keep: each row has a sentence to act on, marks are in lower case where they must be, and no
/// row stands in the shadow of one before it.
#[cfg(test)]
pub(super) fn check(table: &'static [Rule]) {
    fn lower(mark: &Mark) -> bool {
        match mark {
            Mark::Begins(text)
            | Mark::Whole(text)
            | Mark::Says(text)
            | Mark::Tells(text)
            | Mark::Mentions(text)
            | Mark::LeadsTo(text)
            | Mark::IsLike(text) => *text == text.to_ascii_lowercase(),
            Mark::Frames(before, after) => {
                [before, after].iter().all(|text| **text == text.to_ascii_lowercase())
                    && before.ends_with(' ')
                    && after.starts_with(' ')
            }
            Mark::All(marks) => marks.iter().all(lower),
            _ => true,
        }
    }
    // A text that a caller may have had a hand in blames neither a key nor the way out.
    fn blames_by_hearsay(mark: &Mark) -> bool {
        match mark {
            Mark::Says(_) | Mark::Mentions(_) => true,
            Mark::All(marks) => {
                !marks.iter().any(|mark| matches!(mark, Mark::Page)) && marks.iter().any(blames_by_hearsay)
            }
            _ => false,
        }
    }
    for rule in table {
        assert!(!rule.then.blames() || !rule.marks.iter().any(blames_by_hearsay), "{rule:?}");
        let advice = rule.advice;
        let plain = advice.ends_with('.') && advice.starts_with(|c: char| c.is_ascii_uppercase());
        assert!(plain && (20..=220).contains(&advice.len()), "{advice:?}");
        assert!(rule.marks.iter().all(lower), "{rule:?}");
        for marks in rule.marks.chunks(1).chain(rule.marks.is_empty().then_some(rule.marks)) {
            for status in rule.statuses.iter().chain(rule.statuses.is_empty().then_some(&999)) {
                let status = if *status < 10 { status * 100 + 18 } else { *status };
                let said = Complaint::that_bears(status, marks);
                let first = table.iter().find(|rule| rule.fits(&said)).expect("the rule itself");
                assert!(std::ptr::eq(first, rule), "{status} {marks:?} is judged by\n{first:?}\ninstead of\n{rule:?}");
            }
        }
    }
}
