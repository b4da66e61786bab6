//! The books: counts of every key, and the log.

use super::{Engine, State, Visit};
use crate::log::{Arrival, Log};
use crate::report::{Booking, KeyReport, ProjectReport, Report, Tally};

impl State {
    /// Counts and logs one arrival.
    pub(crate) fn book(&mut self, visit: &Visit<'_>, status: u16, booking: Booking) {
        self.total.book(&booking);
        if let Some(key) = visit.key {
            self.tallies[key].book(&booking);
        }
        self.log.push(Arrival {
            at: visit.now,
            key: visit.key,
            project: visit.project,
            model: visit.model.as_str().into(),
            method: visit.method(),
            status,
            kind: booking.kind,
            accepted: booking.accepted,
            cost: booking.cost,
            tokens: booking.tokens,
        });
    }
}

impl Engine {
    pub(crate) fn report(&self) -> Report {
        let state = self.lock();
        let name = |project: usize| format!("projects/{}", self.world.projects[project].number);
        let keys = self.world.keys.iter().zip(&state.tallies);
        let keys: Vec<_> = keys
            .map(|(key, tally)| KeyReport {
                label: key.label.clone(),
                project: name(key.project),
                tally: tally.clone(),
            })
            .collect();
        let projects = (0..self.world.projects.len()).map(|project| {
            let mut sum = Tally::default();
            for (key, tally) in self.world.keys.iter().zip(&state.tallies) {
                if key.project == project {
                    sum.add(tally);
                }
            }
            ProjectReport { name: name(project), tally: sum }
        });
        Report { projects: projects.collect(), keys, total: state.total.clone() }
    }

    pub(crate) fn log(&self) -> Log {
        self.lock().log.clone()
    }
}
