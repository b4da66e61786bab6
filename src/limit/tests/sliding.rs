//! Property tests of sliding windows: random schedules of starts against a list of all of them.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    limit::sliding::{Length, SlidingWindow},
    time::Tick,
};

const START: u64 = (1 << 32) - 30_001;

/// A window with its length.
#[derive(Clone)]
struct Window {
    length: Length,
    counts: SlidingWindow,
}

impl Window {
    fn exact(span: Duration) -> Self {
        Self { length: Length::exact(span), counts: SlidingWindow::default() }
    }

    fn coalesced(span: Duration) -> Self {
        Self { length: Length::coalesced(span), counts: SlidingWindow::default() }
    }

    fn used(&mut self, now: Tick) -> u64 {
        self.counts.used(self.length, now)
    }

    fn opens_at(&mut self, now: Tick, amount: u64, limit: u64) -> Tick {
        self.counts.opens_at(self.length, now, amount, limit)
    }

    fn add(&mut self, at: Tick, amount: u64) {
        self.counts.add(self.length, at, amount);
    }

    fn remove(&mut self, at: Tick, amount: u64) {
        self.counts.remove(self.length, at, amount);
    }

    fn entries(&self) -> impl Iterator<Item = (Tick, u64)> {
        self.counts.entries()
    }
}

fn at(millis: u64) -> Tick {
    Tick::from_millis(millis)
}

/// All starts with their amounts, in milliseconds.
struct Oracle {
    span: u64,
    starts: Vec<(u64, u64)>,
}

impl Oracle {
    /// Returns the amount used in the closed span of this length that ends at `now`.
    fn used(&self, now: u64, span: u64) -> u64 {
        self.starts.iter().filter(|(start, _)| start + span >= now).map(|(_, amount)| amount).sum()
    }

    /// Returns the first time at which `amount` fits under `limit`.
    fn opens_at(&self, now: u64, amount: u64, limit: u64) -> u64 {
        let mut ends: Vec<u64> =
            self.starts.iter().map(|(start, _)| start + self.span + 1).filter(|end| *end > now).collect();
        ends.sort_unstable();
        std::iter::once(now)
            .chain(ends)
            .find(|end| self.used(*end, self.span) + amount <= limit)
            .expect("all leave once")
    }

    /// Returns the largest amount in any closed span.
    fn peak(&self) -> u64 {
        let sum = |first: u64| {
            let within = first..=first + self.span;
            self.starts.iter().filter(|(start, _)| within.contains(start)).map(|(_, amount)| amount).sum()
        };
        self.starts.iter().map(|(first, _)| sum(*first)).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// An amount is added if it fits. The caller may have read the clock a moment ago.
    Add {
        amount: u64,
        late: u64,
    },
    /// Part of an earlier amount is removed.
    Remove {
        which: usize,
        amount: u64,
    },
}

/// Generates spans of 1 ms to 24 h, limits, and steps that fill them.
fn schedules() -> impl Strategy<Value = (u64, u64, Vec<Step>)> {
    let spans =
        prop_oneof![1 => Just(1), 2 => 2..300_u64, 3 => Just(60_000), 1 => 300..86_400_000_u64, 1 => Just(86_400_000)];
    (spans, 1..40_u64).prop_flat_map(|(span, limit)| {
        let step = prop_oneof![
            6 => (1..=limit.div_ceil(3), 0..4_u64).prop_map(|(amount, late)| Step::Add { amount, late }),
            2 => (0..=span / 50).prop_map(Step::Wait),
            2 => (0..=span / 3).prop_map(Step::Wait),
            1 => (0..=span * 2).prop_map(Step::Wait),
            1 => (any::<usize>(), 1..=limit).prop_map(|(which, amount)| Step::Remove { which, amount }),
        ];
        (Just(span), Just(limit), prop::collection::vec(step, 1..200))
    })
}

/// Runs a schedule. `delay` is how much longer than its span a start may count.
fn play(mut window: Window, span: u64, limit: u64, steps: Vec<Step>, delay: u64) -> Result<(), TestCaseError> {
    let guard = span.div_ceil(64).min(250);
    let mut oracle = Oracle { span, starts: Vec::new() };
    let mut now = START;
    for step in steps {
        match step {
            Step::Wait(millis) => now += millis,
            Step::Add { amount, late } => {
                let asked = now - late.min(guard - 1);
                let opens = window.opens_at(at(asked), amount, limit).millis();
                if opens <= asked {
                    window.add(at(asked), amount);
                    oracle.starts.push((asked, amount));
                } else {
                    let ideal = oracle.opens_at(asked, amount, limit);
                    prop_assert!(opens <= ideal + delay, "opens at {opens}, ideal {ideal}");
                    prop_assert!(window.clone().opens_at(at(opens - 1), amount, limit) == at(opens));
                    prop_assert!(window.clone().opens_at(at(opens), amount, limit) <= at(opens));
                }
            }
            Step::Remove { which, amount } if !oracle.starts.is_empty() => {
                let which = which % oracle.starts.len();
                let (start, held) = &mut oracle.starts[which];
                let amount = amount.min(*held);
                // An expired amount cannot be removed, and no other amount may be removed in its place.
                *held -= amount;
                window.remove(at(*start), amount);
            }
            Step::Remove { .. } => {}
        }
        let used = window.used(at(now));
        prop_assert!(used >= oracle.used(now, span), "{used} counted, {} used", oracle.used(now, span));
        let most = oracle.used(now, span + delay);
        prop_assert!(used <= most, "{used} counted, {most} used");
        let sum: u64 = window.entries().map(|(_, amount)| amount).sum();
        prop_assert_eq!(sum, used);
    }
    let peak = oracle.peak();
    prop_assert!(peak <= limit, "{peak} of {limit} in a span");
    Ok(())
}

proptest! {
    #[test]
    fn an_exact_window_keeps_its_limit_in_any_span((span, limit, steps) in schedules()) {
        let window = Window::exact(Duration::from_millis(span));
        play(window, span, limit, steps, span.div_ceil(64).min(250))?;
    }

    #[test]
    fn a_coalesced_window_keeps_its_limit_in_any_span((span, limit, steps) in schedules()) {
        let window = Window::coalesced(Duration::from_millis(span));
        play(window, span, limit, steps, span.div_ceil(64).min(250) + span / 256)?;
    }
}

/// Returns the share of the limit that a caller which always wants more uses in ten minutes.
fn saturation(mut window: Window, limit: u64) -> f64 {
    let mut started = 0_u64;
    for millis in START..START + 600_000 {
        while window.opens_at(at(millis), 1, limit) <= at(millis) {
            window.add(at(millis), 1);
            started += 1;
        }
    }
    started as f64 / (10 * limit) as f64
}

#[test]
fn a_saturated_minute_is_used_to_99_percent() {
    let minute = Duration::from_secs(60);
    for limit in [1, 10, 1_000] {
        assert!(saturation(Window::exact(minute), limit) >= 0.99);
        assert!(saturation(Window::coalesced(minute), limit) >= 0.99);
    }
}

#[test]
fn an_unused_window_is_empty_after_months() {
    let mut window = Window::exact(Duration::from_secs(60));
    window.add(at(START), 3);
    let months = START + (1 << 32) + 5;
    assert_eq!(window.clone().used(at(months)), 0);
    window.add(at(months), 2);
    assert_eq!(window.entries().collect::<Vec<_>>(), [(at(months), 2)]);
}

#[test]
fn an_amount_of_the_past_expires_as_if_added_in_time() {
    let mut window = Window::exact(Duration::from_secs(60));
    window.add(at(START), 1);
    window.add(at(START + 20_000), 1);
    window.add(at(START + 10_000), 5);
    assert_eq!(window.opens_at(at(START + 20_000), 6, 7), at(START + 70_250));
    window.add(at(START + 100_000), 1);
    window.add(at(START + 10_000), 5);
    assert_eq!(window.used(at(START + 100_000)), 1);
}

#[test]
fn amounts_above_the_limit_never_fit_and_large_amounts_take_several_entries() {
    let mut window = Window::coalesced(Duration::from_secs(60));
    assert_eq!(window.opens_at(at(START), 8, 7), Tick::NEVER);
    assert_eq!(window.opens_at(at(START), 1, 0), Tick::NEVER);
    window.add(at(START), u64::MAX);
    window.add(at(START), 1);
    assert_eq!(window.used(at(START)), 1 << 32);
    window.remove(at(START), 1 << 31);
    assert_eq!(window.used(at(START)), 1 << 31);
    window.remove(at(START), u64::MAX);
    assert_eq!(window.entries().count(), 0);
    assert_eq!(window.used(at(START)), 0);
}

#[test]
fn a_coalesced_window_has_at_most_260_entries() {
    let mut window = Window::coalesced(Duration::from_secs(60));
    for millis in 0..200_000 {
        window.add(at(START + millis), 1);
    }
    assert!(window.entries().count() <= 260, "{}", window.entries().count());
    assert!(window.counts.heap_bytes() <= 4_096, "{}", window.counts.heap_bytes());
}

#[test]
fn a_window_that_becomes_exact_keeps_its_counts() {
    let mut window = Window::coalesced(Duration::from_secs(60));
    window.add(at(START), 2);
    window.length = Length::exact(Duration::from_secs(60));
    window.add(at(START + 1_000), 1);
    assert_eq!(window.used(at(START + 1_000)), 3);
    assert_eq!(window.opens_at(at(START + 1_000), 3, 3), at(START + 61_250));
}

#[test]
fn repeated_removal_does_not_affect_other_amounts() {
    let mut window = Window::exact(Duration::from_secs(60));
    window.add(at(START), 2);
    window.add(at(START + 5), 2);
    for _ in 0..2 {
        window.remove(at(START + 5), 2);
        assert_eq!(window.used(at(START + 5)), 2);
    }
}
