//! What came between one picture and the next.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::Picture;

/// So many pictures are remembered.
const LONGEST: usize = 240;

/// Requests from picture to picture, in all and of each key.
#[derive(Clone, Debug, Default)]
pub struct Course {
    total: Steps,
    keys: HashMap<String, Steps>,
    last: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Steps {
    count: Option<u64>,
    steps: VecDeque<u64>,
}

impl Steps {
    fn go_to(&mut self, count: u64) {
        // A count that fell began anew: another run, or another day.
        let step = self.count.map(|before| if count < before { count } else { count - before });
        self.count = Some(count);
        self.steps.extend(step);
        while self.steps.len() > LONGEST {
            self.steps.pop_front();
        }
    }

    fn last(&self, n: usize) -> Vec<u64> {
        self.steps.iter().skip(self.steps.len().saturating_sub(n)).copied().collect()
    }
}

impl Course {
    /// Takes note of a picture, so long after the one before.
    pub fn note(&mut self, picture: &Picture, since: Duration) {
        self.last = Some(since);
        self.total.go_to(picture.started);
        self.keys.retain(|id, _| picture.keys.iter().any(|key| key.id == *id));
        for key in &picture.keys {
            self.keys.entry(key.id.clone()).or_default().go_to(key.started);
        }
    }

    /// Requests a second, between the last two.
    pub fn per_second(&self) -> Option<f64> {
        let step = *self.total.steps.back()?;
        let seconds = self.last.filter(|last| !last.is_zero())?.as_secs_f64();
        Some(step as f64 / seconds)
    }

    /// The last `n` steps, oldest first.
    pub fn total(&self, n: usize) -> Vec<u64> {
        self.total.last(n)
    }

    /// Those of a key, as a line of `n` small bars.
    pub fn bars(&self, key: &str, n: usize) -> String {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let steps = self.keys.get(key).map(|steps| steps.last(n)).unwrap_or_default();
        let most = steps.iter().copied().max().unwrap_or(0).max(1);
        let bar = |step: &u64| BARS[usize::try_from((step * 8).div_ceil(most)).unwrap_or(8).min(8)];
        steps.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::KeyLine, *};

    fn at(started: u64, keys: &[(&str, u64)]) -> Picture {
        let keys =
            keys.iter().map(|(id, started)| KeyLine { id: (*id).into(), started: *started, ..KeyLine::default() });
        Picture { started, keys: keys.collect(), ..Picture::default() }
    }

    #[test]
    fn steps_are_what_came_between() {
        let (mut course, second) = (Course::default(), Duration::from_secs(2));
        course.note(&at(100, &[("a", 60), ("b", 40)]), Duration::ZERO);
        assert_eq!((course.per_second(), course.total(9).len()), (None, 0), "one picture tells no rate");
        course.note(&at(110, &[("a", 68), ("b", 42)]), second);
        course.note(&at(114, &[("a", 72), ("b", 42)]), second);
        assert_eq!(course.per_second(), Some(2.0));
        assert_eq!(course.total(9), [10, 4]);
        assert_eq!(course.bars("a", 9), "█▄");
        assert_eq!(course.bars("b", 1), " ");
        // Started again.
        course.note(&at(3, &[("a", 3)]), second);
        assert_eq!((course.total(1), course.bars("b", 9)), (vec![3], String::new()));
    }
}
