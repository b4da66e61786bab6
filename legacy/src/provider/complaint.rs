//! What an answer that is not good says, read once: the one thing that rules are matched against.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use super::{
    Answer, NamedIn,
    envelope::{Envelope, is_page},
    wording,
};
use crate::verdict::{QuotaNews, moment, retry_after};

/// This much of a message is matched.
const LONGEST_MESSAGE: usize = 4096;

/// What an answer says, in the words that every provider's reader brings it down to.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    /// The status, or what stands for it inside a stream whose status was good.
    pub(super) status: u16,
    /// The body is a web page, not an API's answer.
    pub(super) page: bool,
    /// The provider's own words for the cause (`CONSUMER_SUSPENDED`, `invalid_api_key`), the most telling first.
    /// Only words that pass [`word`], so that none can hold a secret.
    words: Vec<String>,
    /// The body is no JSON.
    bare: bool,
    /// The message in lower case: of the error where it could be read, else the whole body.
    message: String,
    /// There is more of it: nobody knows how it ends.
    cut: bool,
    /// What of it are the provider's own words.
    own: String,
    /// What the request named as its model.
    asked: Option<String>,
    /// Where it named it.
    named_in: NamedIn,
    /// When it came, by the provider's clock.
    came: Option<SystemTime>,
    /// The provider's own words without that, where it makes a difference.
    unasked: Option<String>,
    /// How long the answer asks to wait, whichever way it says so.
    pub(super) wait: Option<Duration>,
    /// The limit that was hit, where it is named.
    pub(super) hit: Option<Hit>,
    /// Where a redirect leads.
    location: String,
    /// What it tells of quotas.
    pub(super) news: QuotaNews,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hit {
    /// One over all models of the account.
    Account,
    /// What may be open at once.
    Sessions,
    /// A window of a minute or the like.
    Short,
    /// An hour's.
    Hour,
    /// A day's.
    Day,
    /// A month's.
    Month,
    /// One of zero: there is no entitlement at all.
    Zero,
}

/// A sign that a rule looks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// The provider uses this word for the cause. Case does not matter.
    Is(&'static str),
    /// It uses a word with this in it. Given in lower case.
    IsLike(&'static str),
    /// The provider's own words begin with this sentence: all of it, unless it ends in a blank. Given in lower case, and
    /// without an article.
    Begins(&'static str),
    /// They begin with the first, any one word, and the second: `account x is suspended`.
    Frames(&'static str, &'static str),
    /// The message is this and nothing else, a zero standing for any digit: a text that the provider has for one cause
    /// alone, with no room in it for a caller's words. Given in lower case, without what ends its last sentence.
    Whole(&'static str),
    /// They hold these words, wherever, and the status alone says that the answer is about the key, its money or its limits, so
    /// that nothing of the request is echoed. Given in lower case.
    Tells(&'static str),
    /// They hold this, wherever. Given in lower case. Never enough to blame a key or the way out: a caller may have had a
    /// hand in it.
    Says(&'static str),
    /// The message holds this, wherever and in whatever quotes. Given in lower case. Whoever has a hand in that takes blame away
    /// from a key, and never to it.
    Mentions(&'static str),
    /// A limit of this kind was hit.
    Hits(Hit),
    /// The body is a web page.
    Page,
    /// The body is no JSON.
    Bare,
    /// A redirect leads to an address with this in it.
    LeadsTo(&'static str),
    /// It asks to wait for a known time.
    Waits,
    /// It does not.
    WaitsNot,
    /// The request named its model in its body.
    InBody,
    /// The request named no model, or one of somebody's own.
    Apart,
    /// All of these.
    All(&'static [Mark]),
}

impl Complaint {
    /// The part that every provider's reader shares.
    pub(super) fn of(answer: &Answer<'_>, envelope: Option<&Envelope<'_>>) -> Self {
        // Some send their JSON under the name of a page.
        let json = envelope.is_some_and(|envelope| envelope.json.is_some());
        let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("");
        Self {
            status: answer.status.as_u16(),
            page: !answer.event && !json && is_page(answer.headers, answer.body),
            bare: !json,
            cut: envelope.is_some_and(Envelope::lacks_its_end),
            asked: answer.asked.map(str::to_owned),
            named_in: answer.named_in,
            came: Some(retry_after::server_time(answer.headers).unwrap_or(answer.now)),
            wait: retry_after::header(answer.headers, answer.now),
            location: location.to_ascii_lowercase(),
            ..Self::default()
        }
    }

    /// Adds one of the provider's words; one that could be anything else is dropped.
    pub(super) fn say(&mut self, text: &str) {
        if let Some(text) = word(text)
            && self.words.len() < 16
        {
            self.words.push(text.to_owned());
        }
    }

    /// Takes the message, or the whole body where it has none.
    pub(super) fn tell(&mut self, message: &str) {
        let mut end = message.len().min(LONGEST_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        self.cut |= end < message.len();
        self.message = message[..end].trim_start().to_lowercase();
        // Whoever stands between makes JSON of what it met.
        self.page |= ["<!doctype html", "<html"].iter().any(|start| self.message.starts_with(start));
        self.own = wording::own(&self.message);
        self.unasked = self
            .asked
            .as_deref()
            .and_then(|asked| wording::without(&self.message, asked))
            .map(|message| wording::own(&message));
    }

    /// The same without the model's name that the request chose; `None` where that changes nothing.
    pub(super) fn unasked(&mut self) -> Option<Self> {
        let own = self.unasked.take()?;
        Some(Self {
            own,
            status: self.status,
            page: self.page,
            bare: self.bare,
            words: self.words.clone(),
            message: self.message.clone(),
            cut: self.cut,
            wait: self.wait,
            hit: self.hit,
            location: self.location.clone(),
            named_in: self.named_in,
            asked: self.asked.clone(),
            ..Self::default()
        })
    }

    /// How long the message asks to wait, where answers of this status ask for that.
    pub(super) fn wait_in_text(&self) -> Option<Duration> {
        self.is_of_waiting().then(|| retry_after::in_text(&self.own)).flatten()
    }

    /// How long it is till the moment that the message names. That it names one says nothing of which limit it was.
    pub(super) fn wait_for_a_moment(&self) -> Option<Duration> {
        self.is_of_waiting().then(|| moment::in_text(&self.own, self.came?)).flatten()
    }

    /// Whether answers of this status ask to wait.
    pub(super) fn is_of_waiting(&self) -> bool {
        matches!(self.status, 403 | 429 | 498 | 503 | 529)
    }

    /// Whether a limit was met. Only then does the message tell of limits: in any other it may be the caller who does.
    pub(super) fn is_of_limits(&self) -> bool {
        matches!(self.status, 413 | 429)
    }

    /// Whether the status alone says that it is about the key, its money or its limits: nothing of the request was looked
    /// at, so that nothing of it is echoed.
    fn is_of_the_key(&self) -> bool {
        matches!(self.status, 401 | 402 | 429)
    }

    /// Whether the request named no model, or one of somebody's own: what it meets there says nothing of other requests.
    pub(super) fn is_apart(&self) -> bool {
        let own = |asked: &str| asked.starts_with("tunedModels/") || asked.starts_with("dynamic/");
        self.named_in == NamedIn::Nowhere || self.asked.as_deref().is_some_and(own)
    }

    /// Where a sentence may stand: at the beginning; where nothing is echoed, also behind another one. What looks at a request's
    /// form begins with the caller's words, and says behind them what it is: of one that is cut nobody knows.
    fn sentences(&self) -> impl Iterator<Item = &str> {
        let of_a_form = self.cut && matches!(self.status, 400 | 422);
        let later = self.is_of_the_key().then(|| wording::later_sentences(&self.own));
        let first = (!of_a_form).then_some(self.own.as_str());
        first.into_iter().chain(later.into_iter().flatten())
    }

    /// Takes the longer of two waits.
    pub(super) fn wait_at_least(&mut self, wait: Option<Duration>) {
        self.wait = self.wait.max(wait);
    }

    /// The message in lower case.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What of the message are the provider's own words.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// The provider's most telling word; empty where it has none.
    pub(super) fn first_word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word that a mark stands for, where it stands for one.
    pub(super) fn word_for(&self, mark: &Mark) -> Option<&str> {
        let found = match mark {
            Mark::Is(wanted) => self.words.iter().find(|word| word.eq_ignore_ascii_case(wanted)),
            Mark::IsLike(part) => self.words.iter().find(|word| word.to_ascii_lowercase().contains(part)),
            Mark::All(marks) => return marks.iter().find_map(|mark| self.word_for(mark)),
            _ => None,
        };
        found.map(String::as_str)
    }

    /// Whether it bears this mark.
    pub(super) fn bears(&self, mark: &Mark) -> bool {
        match mark {
            Mark::Is(_) | Mark::IsLike(_) => self.word_for(mark).is_some(),
            Mark::Begins(sentence) => self.sentences().any(|text| {
                wording::begins(text, sentence)
                    || self.is_of_the_key() && wording::begins(text, &format!("{} ", sentence.trim_end()))
            }),
            Mark::Frames(before, after) => self.sentences().any(|text| wording::frames(text, before, after)),
            Mark::Whole(_) if self.cut => false,
            Mark::Whole(text) => wording::is_whole(&self.message, text) && wording::is_whole(&self.own, text),
            Mark::Tells(words) => self.is_of_the_key() && !self.page && wording::stands(&self.own, words),
            Mark::Says(part) if self.page => self.message.contains(part),
            Mark::Says(part) => self.own.contains(part),
            Mark::Mentions(part) => self.message.contains(part),
            Mark::Hits(hit) => self.hit == Some(*hit),
            Mark::Page => self.page,
            Mark::Bare => self.bare,
            Mark::LeadsTo(part) => self.location.contains(part),
            Mark::Waits => self.wait.is_some(),
            Mark::WaitsNot => self.wait.is_none(),
            Mark::InBody => self.named_in == NamedIn::Body,
            Mark::Apart => self.is_apart(),
            Mark::All(marks) => marks.iter().all(|mark| self.bears(mark)),
        }
    }
}

impl Mark {
    /// Whether it is a sentence and nothing else.
    pub(super) fn is_worded(&self) -> bool {
        match self {
            Self::Begins(_) | Self::Frames(..) | Self::Tells(_) | Self::Says(_) => true,
            Self::All(marks) => marks.iter().any(Self::is_worded),
            _ => false,
        }
    }
}

#[cfg(test)]
impl Complaint {
    /// The least that bears these marks, for tests of tables.
    pub(super) fn that_bears(status: u16, marks: &[Mark]) -> Self {
        let mut said = Self { status, ..Self::default() };
        said.bear(marks);
        said
    }

    fn bear(&mut self, marks: &[Mark]) {
        for mark in marks {
            match mark {
                Mark::Is(word) | Mark::IsLike(word) => self.words.push((*word).to_owned()),
                Mark::Begins(text) => self.own.insert_str(0, text),
                Mark::Frames(before, after) => self.own.insert_str(0, &format!("{before}x{after}")),
                Mark::Says(text) | Mark::Mentions(text) | Mark::Tells(text) => {
                    self.own.push_str(text);
                    self.message.push_str(text);
                }
                Mark::Hits(hit) => self.hit = Some(*hit),
                Mark::Page => self.page = true,
                Mark::Bare => self.bare = true,
                Mark::LeadsTo(part) => self.location = (*part).to_owned(),
                Mark::Waits => self.wait = Some(Duration::from_secs(1)),
                Mark::WaitsNot => self.wait = None,
                Mark::Whole(text) => {
                    self.own = (*text).to_owned();
                    self.message = (*text).to_owned();
                }
                Mark::InBody => self.named_in = NamedIn::Body,
                Mark::Apart => self.named_in = NamedIn::Nowhere,
                Mark::All(marks) => self.bear(marks),
            }
        }
    }
}

/// A text that can only be a provider's word for something (`API_KEY_INVALID`, `insufficient_quota`,
/// `DeploymentNotFound`, `429`), never a key: short, of few digits, and not mixed like random letters are.
pub(super) fn word(text: &str) -> Option<&str> {
    let count = |test: fn(&u8) -> bool| text.bytes().filter(test).count();
    let (upper, lower, digits) =
        (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase), count(u8::is_ascii_digit));
    let marks = text.bytes().filter(|byte| b"_.-".contains(byte)).count();
    let known_letters = upper + lower + digits + marks == text.len();
    let mixed = upper > 0 && lower > 0;
    let dots = text.bytes().filter(|byte| *byte == b'.').count();
    // Names in camel case are made of letters only, with dots between (`Throttling.RateQuota`).
    let camel = !mixed || (digits == 0 && marks == dots && text.len() <= 40);
    ((1..=64).contains(&text.len()) && known_letters && digits <= 6 && camel && !looks_secret(text)).then_some(text)
}

/// Whether a text begins like the keys that are known by sight.
pub(super) fn looks_secret(text: &str) -> bool {
    ["sk-", "gsk_", "AIza", "AQ."].iter().any(|beginning| text.starts_with(beginning))
}

/// A model's name as providers write it, without `models/`; `None` for what cannot be one.
pub(super) fn model_name(text: &str) -> Option<String> {
    let name = text.strip_prefix("models/").unwrap_or(text);
    let fits = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte));
    (fits && !looks_secret(name)).then(|| name.to_owned())
}

/// Whether the provider forbids another try (`x-should-retry: false`).
pub(super) fn forbids_retry(headers: &HeaderMap) -> bool {
    headers.get("x-should-retry").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_pass_and_secrets_do_not() {
        for text in [
            "API_KEY_INVALID",
            "insufficient_quota",
            "DeploymentNotFound",
            "Throttling.RateQuota",
            "429",
            "model_not_found",
            "quota",
        ] {
            assert_eq!(word(text), Some(text));
        }
        for text in [
            "",
            "AIzaSyA-not-a-real-key-0000000000000000",
            "AQ.Ab8RN6notareal",
            "sk-proj-abcdef",
            "sk-abcdefghijklmnopqrstuvwxyz",
            "0123456789abcdef0123456789abcdef",
            "gsk_Zx81kQpLmn29",
            "two words",
            "Zürich",
        ] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(word(&"A".repeat(65)), None);
    }

    #[test]
    fn marks() {
        let mut said = Complaint { status: 400, ..Complaint::default() };
        said.say("INVALID_ARGUMENT");
        said.tell("  API key NOT valid. Please");
        assert!(said.bears(&Mark::Is("invalid_argument")));
        assert!(said.bears(&Mark::IsLike("invalid_")));
        assert!(said.bears(&Mark::All(&[Mark::Begins("api key not valid"), Mark::WaitsNot])));
        assert!(said.bears(&Mark::Frames("api key ", " valid")));
        assert!(!said.bears(&Mark::All(&[Mark::Says("not valid"), Mark::Waits])));
        assert!(!said.bears(&Mark::Begins("not valid")));
        assert_eq!(
            said.word_for(&Mark::All(&[Mark::Says("x"), Mark::Is("INVALID_argument")])),
            Some("INVALID_ARGUMENT")
        );
    }
}
