//! One line for each change of a key, repeated ones folded.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_keypool::{Clock, Event, Exit, KeyPool, LimitHit, LimitSource, Lost, OutReason, Scope, Tick};

use super::fold::Fold;

/// Folded lines are told this often.
const ROUND: Duration = Duration::from_secs(5);

/// A line about a key that is out for good waits so long at most until that is in the database.
const KEPT: Duration = Duration::from_millis(200);

/// Tells what happens to the keys of a pool, from now on, until the task is aborted.
pub fn report_changes(pool: &KeyPool, clock: Clock) -> JoinHandle<()> {
    let mut events = pool.changes();
    let pool = pool.clone();
    tokio::spawn(async move {
        let mut told = Told::default();
        let mut rounds = tokio::time::interval(ROUND);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = rounds.tick(), if !told.0.is_empty() => {
                    for line in told.0.flush(clock.tick()) {
                        tracing::info!("{line}");
                    }
                    continue;
                }
            };
            match event {
                None => return,
                Some(Err(Lost(lost))) => tracing::info!("{lost} changes of keys went by untold"),
                Some(Ok(event)) => {
                    if matches!(event, Event::Disabled { .. }) {
                        // What fails is said by whoever writes.
                        let _ = tokio::time::timeout(KEPT, pool.flush()).await;
                    }
                    if let Some(line) = told.line(&event, clock.tick()) {
                        tracing::info!("{line}");
                    }
                }
            }
        }
    })
}

/// What was told already.
#[derive(Debug, Default)]
pub(crate) struct Told(Fold);

impl Told {
    /// The line for an event, if it is a change of a key and was not told just now.
    pub(crate) fn line(&mut self, event: &Event, now: Tick) -> Option<String> {
        let change = Change::of(event)?;
        let line = self.0.admit(change.subject, change.line, now);
        if line.is_some()
            && let Event::Recovered { key, scope, exit, model } = event
        {
            // It is news again, should evidence be refuted that gave a key back: nobody is to read last that it serves.
            let who = who(*scope, &key.to_string(), exit.as_ref(), model.as_deref());
            self.0.forget(&format!("{} disabled", who.name));
        }
        line
    }
}

/// A change as a line.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    /// What makes two lines the same, whatever their figures.
    subject: String,
    line: String,
}

impl Change {
    /// `None` for what is no change of a key.
    fn of(event: &Event) -> Option<Self> {
        let change = |subject: String, line: String| Some(Self { subject, line });
        match event {
            Event::Rested { key, scope, exit, model, kind, code, cause, limit, rest } => {
                let who = who(*scope, &key.to_string(), exit.as_ref(), model.as_deref());
                let of_a_lane = matches!(scope, Scope::KeyLane | Scope::OwnerLane);
                let model = match model.as_deref() {
                    // It is said who rests.
                    _ if *scope == Scope::Lane => String::new(),
                    Some(model) => format!(" of {model}"),
                    None if of_a_lane => " of requests without a model".to_owned(),
                    None => String::new(),
                };
                let why = match limit {
                    Some(limit) => format!("{limit}{model}{}", amount(limit)),
                    None if code.is_empty() => format!("{kind}{model}"),
                    None => format!("{kind}{model} ({code})"),
                };
                let cause = cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default();
                let line = format!("{} rests {}: {why}{cause}{}", who.name, spoken(*rest), who.also);
                change(format!("{} rests: {why}", who.name), line)
            }
            Event::Disabled { key, scope, exit, model, kind, code, advice } => {
                let who = who(*scope, &key.to_string(), exit.as_ref(), model.as_deref());
                let why = if code.is_empty() { kind.to_string() } else { code.clone() };
                let whose = if *scope == Scope::OwnerLane { ", for all keys of its owner" } else { who.also };
                let model = model.as_deref().map(|model| format!(" for {model}")).unwrap_or_default();
                let line = format!("{} disabled{model}: {why}{whose}", who.name);
                let told = if advice.is_empty() { line.clone() } else { format!("{line}. {advice}") };
                change(line, told)
            }
            Event::Held { keys } => change(
                "held".to_owned(),
                format!("disabling pauses: {keys} keys failed for good at once, so the fault may be ours"),
            ),
            Event::Recovered { key, scope, exit, model } => {
                let who = who(*scope, &key.to_string(), exit.as_ref(), model.as_deref());
                let model = model.as_deref().filter(|_| *scope != Scope::Lane);
                let model = model.map(|model| format!(" {model}")).unwrap_or_default();
                let line = format!("{} serves{model} again{}", who.name, who.also);
                change(line.clone(), line)
            }
            Event::Learned { key, model, limit, given } => {
                let model = model.as_deref().map(|model| format!(" of {model}")).unwrap_or_default();
                let given = match given {
                    Some(given) if *given < limit.amount => format!("; the {given} given is smaller and holds"),
                    Some(given) => format!(", not {given} as given"),
                    None => String::new(),
                };
                let line = format!("{key} learned: {limit}{model} is {}{given}", limit.amount);
                change(line.clone(), line)
            }
            Event::Grouped { key, owner, keys } => {
                let line = format!("{key} belongs to {owner}: its {keys} keys share ONE quota");
                change(line.clone(), line)
            }
            // One request has been to every key: that says nothing of the next one.
            Event::Exhausted { reason: Some(OutReason::Tried), .. } => None,
            Event::Exhausted { model, reason, next_in } => {
                let model = model.as_deref().unwrap_or("requests without a model");
                let reason = match reason {
                    // Most keys may serve whatever names nothing of that owner's.
                    Some(OutReason::Elsewhere) => " where it must be a certain owner's".to_owned(),
                    Some(reason) => format!(": most are {reason}"),
                    None => String::new(),
                };
                let next = next_in.map(|next| format!("; next in {}", spoken(next))).unwrap_or_default();
                let subject = format!("no key may serve {model}{reason}");
                change(subject.clone(), format!("{subject}{next}"))
            }
            Event::Spilled { priority, model, .. } => {
                let model = model.as_deref().unwrap_or("requests without a model");
                let line = format!("{model} goes over to keys of priority {priority}: all before them are out");
                change(line.clone(), line)
            }
            _ => None,
        }
    }
}

/// How many a limit allows and who says so, as far as is known: ` (limit 10, learned)`.
fn amount(limit: &LimitHit) -> String {
    let source = limit.source.map_or("", |source| match source {
        LimitSource::Given => "given",
        LimitSource::Learned => "learned",
        LimitSource::Table => "of the provider's table",
        _ => "known",
    });
    match (limit.named, limit.held) {
        (Some(0), _) => " (limit 0: none of it is included)".to_owned(),
        (Some(named), Some(held)) if named != held => {
            format!(" (limit {named} as the answer says; {held} holds, {source})")
        }
        (_, Some(held)) => format!(" (limit {held}, {source})"),
        (Some(named), None) => format!(" (limit {named} as the answer says)"),
        (None, None) => String::new(),
    }
}

struct Who {
    name: String,
    also: &'static str,
}

fn who(scope: Scope, key: &str, exit: Option<&Exit>, model: Option<&str>) -> Who {
    let (name, also) = match scope {
        Scope::Owner => (key.to_owned(), ", for all keys of its owner"),
        Scope::BillingAccount => (key.to_owned(), ", for all keys of its billing account"),
        Scope::Lane => (format!("{} on every key", model.unwrap_or("the model")), ""),
        Scope::Exit => (exit.map_or_else(|| "the way out".to_owned(), |exit| format!("exit {exit}")), ""),
        _ => (key.to_owned(), ""),
    };
    Who { name, also }
}

/// `41 s`, `12 min`, `5 h 3 min`.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        _ if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use tower_keypool::{KeyId, Limit, Span, Unit, VerdictKind};

    use super::*;

    fn line(event: &Event) -> String {
        Change::of(event).unwrap().line
    }

    #[test]
    fn changes_are_said_in_one_line() {
        let key = KeyId::from("k-1f09ab12");
        let limit = |named, held, source| LimitHit { unit: Unit::Requests, span: Span::MINUTE, named, held, source };
        let model: Option<std::sync::Arc<str>> = Some("gemini-2.5-flash".into());
        let rested = |scope, limit| Event::Rested {
            key: key.clone(),
            scope,
            exit: None,
            model: model.clone(),
            kind: VerdictKind::RateLimited,
            code: "RATE_LIMIT_EXCEEDED".to_owned(),
            cause: None,
            limit,
            rest: Duration::from_millis(40_200),
        };
        let full = |limit| line(&rested(Scope::OwnerLane, Some(limit)));
        let of = "k-1f09ab12 rests 41 s: requests/minute of gemini-2.5-flash";
        let (given, learned, table) = (LimitSource::Given, LimitSource::Learned, LimitSource::Table);
        for (limit, told) in [
            (limit(Some(10), Some(10), Some(learned)), " (limit 10, learned)"),
            (limit(Some(10), Some(10), Some(given)), " (limit 10, given)"),
            (limit(None, Some(10), Some(given)), " (limit 10, given)"),
            (limit(None, Some(5), Some(table)), " (limit 5, of the provider's table)"),
            (limit(Some(5), Some(10), Some(given)), " (limit 5 as the answer says; 10 holds, given)"),
            (limit(Some(5), None, None), " (limit 5 as the answer says)"),
            (limit(Some(0), None, None), " (limit 0: none of it is included)"),
            (limit(None, None, None), ""),
        ] {
            assert_eq!(full(limit), format!("{of}{told}"));
        }
        assert_eq!(
            line(&rested(Scope::Owner, None)),
            "k-1f09ab12 rests 41 s: rate limited of gemini-2.5-flash (RATE_LIMIT_EXCEEDED), for all keys of its owner"
        );
        let listed = Event::Rested {
            key: key.clone(),
            scope: Scope::KeyLane,
            exit: None,
            model: None,
            kind: VerdictKind::RateLimited,
            code: String::new(),
            cause: None,
            limit: None,
            rest: Duration::from_secs(10),
        };
        assert_eq!(line(&listed), "k-1f09ab12 rests 10 s: rate limited of requests without a model");
        let overloaded = Event::Rested {
            key: key.clone(),
            scope: Scope::Lane,
            exit: None,
            model: model.clone(),
            kind: VerdictKind::Overloaded,
            code: "UNAVAILABLE".to_owned(),
            cause: None,
            limit: None,
            rest: Duration::from_secs(2),
        };
        assert_eq!(line(&overloaded), "gemini-2.5-flash on every key rests 2 s: overloaded (UNAVAILABLE)");
        let recovered = |scope, model| line(&Event::Recovered { key: key.clone(), scope, exit: None, model });
        assert_eq!(recovered(Scope::OwnerLane, model.clone()), "k-1f09ab12 serves gemini-2.5-flash again");
        assert_eq!(recovered(Scope::Lane, model.clone()), "gemini-2.5-flash on every key serves again");
        assert_eq!(recovered(Scope::Exit, None), "the way out serves again");
        let disabled = Event::Disabled {
            key: KeyId::from("k-22abcdef"),
            scope: Scope::Key,
            exit: None,
            model: None,
            kind: VerdictKind::Suspended,
            code: "CONSUMER_SUSPENDED".to_owned(),
            advice: "Appeal.".to_owned(),
        };
        assert_eq!(line(&disabled), "k-22abcdef disabled: CONSUMER_SUSPENDED. Appeal.");
        let retired = Event::Disabled {
            key: KeyId::from("k-22abcdef"),
            scope: Scope::OwnerLane,
            exit: None,
            model: Some("gemini-2.0-flash".into()),
            kind: VerdictKind::ModelUnavailable,
            code: "MODEL_RETIRED".to_owned(),
            advice: String::new(),
        };
        let told = "k-22abcdef disabled for gemini-2.0-flash: MODEL_RETIRED, for all keys of its owner";
        assert_eq!(line(&retired), told);
    }

    #[test]
    fn that_a_key_is_off_after_all_is_the_last_that_is_said() {
        let clock = tower_keypool::ManualClock::at(std::time::SystemTime::UNIX_EPOCH).clock();
        let key = || KeyId::from("k");
        let (scope, exit, model, code, advice) = (Scope::Key, None, None, "NO_MONEY".to_owned(), String::new());
        let off = Event::Disabled { key: key(), scope, exit, model, kind: VerdictKind::Suspended, code, advice };
        let back = Event::Recovered { key: key(), scope, exit: None, model: None };
        let mut told = Told::default();
        let lines: Vec<_> =
            [&off, &back, &off, &back, &off].into_iter().filter_map(|event| told.line(event, clock.tick())).collect();
        assert_eq!(lines, ["k disabled: NO_MONEY", "k serves again", "k disabled: NO_MONEY"]);
    }

    #[test]
    fn a_learned_limit_says_which_one_holds() {
        let learned = |amount, given| {
            let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount };
            line(&Event::Learned { key: KeyId::from("k"), model: Some("m".into()), limit, given })
        };
        assert_eq!(learned(50, Some(4)), "k learned: requests/minute of m is 50; the 4 given is smaller and holds");
        assert_eq!(learned(3, Some(4)), "k learned: requests/minute of m is 3, not 4 as given");
        assert_eq!(learned(3, None), "k learned: requests/minute of m is 3");
    }

    #[test]
    fn a_request_that_has_been_to_every_key_is_no_change_of_a_key() {
        let out = |reason| Change::of(&Event::Exhausted { model: None, reason: Some(reason), next_in: None });
        assert_eq!(out(OutReason::Tried), None);
        assert_eq!(out(OutReason::Busy).unwrap().line, "no key may serve requests without a model: most are busy");
    }

    #[test]
    fn that_one_owner_is_out_is_not_told_of_all() {
        let (model, reason) = (Some("m".into()), Some(OutReason::Elsewhere));
        let told = line(&Event::Exhausted { model, reason, next_in: Some(Duration::from_secs(61)) });
        assert_eq!(told, "no key may serve m where it must be a certain owner's; next in 61 s");
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(spoken(Duration::from_millis(250)), "250 ms");
        assert_eq!(spoken(Duration::from_millis(40_001)), "41 s");
        assert_eq!(spoken(Duration::from_secs(125)), "3 min");
        assert_eq!(spoken(Duration::from_secs(18_180)), "5 h 3 min");
    }
}
