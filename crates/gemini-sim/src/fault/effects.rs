//! What all matching rules together do to one request.

use std::time::Duration;

use fastrand::Rng;
use jiff::SignedDuration;

use super::{Canned, Fault, Finish};
use crate::{Latency, Refusal};

/// The sum of the faults that struck.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// In the provider's place, before anything is charged.
    pub(crate) before: Option<Instead>,
    /// In the model's place, after the charge.
    pub(crate) after: Option<Instead>,
    pub(crate) head: Duration,
    pub(crate) chunk: Option<Latency>,
    pub(crate) text: Option<String>,
    pub(crate) finish: Option<Finish>,
    pub(crate) shape: Shape,
    /// How far the wall clock is off, beside the simulator's own.
    pub(crate) skew: SignedDuration,
}

/// What comes instead of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Instead {
    Refusal(Refusal),
    Canned(Canned),
    Reset,
    Hang,
}

/// What is done to an answer on its way out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) cut: Option<Cut>,
    pub(crate) error: Option<StreamError>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) longer: Option<u64>,
    pub(crate) frame: Option<usize>,
    pub(crate) gzip: bool,
}

/// Where a body stops, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    End(usize),
    Reset(usize),
    Stall(usize),
}

/// An error inside of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamError {
    pub(crate) after: usize,
    pub(crate) refusal: Refusal,
    /// Without `data:`.
    pub(crate) raw: bool,
}

impl Effects {
    pub(super) fn add(&mut self, fault: &Fault, rng: &mut Rng) {
        let shape = &mut self.shape;
        let mut stream_error = |after, refusal: &Refusal, raw| {
            shape.error.get_or_insert_with(|| StreamError { after, refusal: refusal.clone(), raw });
        };
        match fault {
            Fault::Refuse(refusal) => {
                let instead = Instead::Refusal(refusal.clone());
                if refusal.comes_after_quota() {
                    self.after.get_or_insert(instead);
                } else {
                    self.before.get_or_insert(instead);
                }
            }
            // Strikes while the body comes in, if at all: see `Rules::early`.
            Fault::RefuseAfter(..) => {}
            Fault::Storm => {
                self.before.get_or_insert(Instead::Refusal(Refusal::Exhausted));
            }
            Fault::Canned(canned) => {
                let place = if canned.charged { &mut self.after } else { &mut self.before };
                place.get_or_insert_with(|| Instead::Canned(canned.clone()));
            }
            Fault::ResetBeforeHead => {
                self.after.get_or_insert(Instead::Reset);
            }
            Fault::Hang => {
                self.after.get_or_insert(Instead::Hang);
            }
            Fault::ResetAfter(bytes) => shape.cut = Some(Cut::Reset(*bytes)),
            Fault::StallAfter(bytes) => shape.cut = Some(Cut::Stall(*bytes)),
            Fault::Truncate(bytes) => shape.cut = Some(Cut::End(*bytes)),
            Fault::HeadLatency(latency) => self.head += latency.draw(rng),
            Fault::ChunkLatency(latency) => self.chunk = Some(*latency),
            Fault::LongLength(extra) => shape.longer = Some(*extra),
            Fault::ErrorAsFirstEvent(refusal) => stream_error(0, refusal, false),
            Fault::ErrorEventAfter(after, refusal) => stream_error(*after, refusal, false),
            Fault::RawErrorAfter(after, refusal) => stream_error(*after, refusal, true),
            Fault::Finish(finish) => self.finish = Some(finish.clone()),
            Fault::AnswerText(text) => self.text = Some(text.clone()),
            Fault::Header(name, value) => shape.headers.push((name.clone(), value.clone())),
            Fault::SmallFrames(bytes) => shape.frame = Some(*bytes),
            Fault::Gzip => shape.gzip = true,
            Fault::Skew(skew) => self.skew = self.skew.saturating_add(*skew),
            Fault::Trailers(trailers) => shape.trailers.extend(trailers.iter().cloned()),
        }
    }
}
