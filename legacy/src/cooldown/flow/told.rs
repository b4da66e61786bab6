//! What the pool is told of a body: errors in it, what it cost, and that nobody waits for it any more.

use super::Flow;
use crate::{
    cooldown::{first_event::is_an_error, judging, mask::mask_secret, stream_watch::StreamWatch},
    verdict::Verdict,
};

impl Flow {
    /// A small answer that was good by its head may speak against its key all the same.
    pub(super) fn judge_whole(&mut self) {
        let makes = self.sight().is_some_and(|sight| sight.makes);
        let whole = self.sight().and_then(|sight| sight.whole.take());
        if let (Some(mut text), Some(teller), false) = (whole, &self.teller, self.settled) {
            mask_secret(teller.secret(), &mut text);
            let begins = makes && is_an_error(&text);
            match judging::whole(teller, &text, begins, self.holding) {
                // Whoever holds it judges it.
                Some(verdict) if self.holding => self.spoke = Some(Box::new(verdict)),
                Some(verdict) => {
                    teller.judge(&verdict);
                    self.settled = true;
                }
                None => {}
            }
        }
    }

    /// The stream is over: an error that was cut off counts, too, and so does that it did not say why it ends.
    pub(super) fn hear_the_end(&mut self) {
        let read = self.is_readable();
        if let Some(stream) = self.sight().and_then(|sight| sight.stream.as_mut()) {
            if let Some(watch) = &mut stream.watch {
                watch.finish();
            }
            if read && stream.last_word.as_ref().is_some_and(|word| !word.was_said()) {
                stream.end.spoil();
            }
        }
        self.look_for_errors();
    }

    /// Tells of an error in the stream; while its beginning is held, that one is judged first.
    pub(super) fn look_for_errors(&mut self) {
        if self.holding {
            return;
        }
        let settled = self.settled;
        let Some(sight) = self.sight() else { return };
        let Some(stream) = &mut sight.stream else { return };
        if settled {
            stream.end.spoil();
            sight.stream = None;
        } else if let Some(mut found) = stream.watch.as_mut().and_then(StreamWatch::take)
            && let Some(teller) = &self.teller
        {
            mask_secret(teller.secret(), &mut found.data);
            if let Some(verdict) = judging::later_event(teller, &found) {
                teller.judge(&verdict);
                self.settled = true;
                self.look_for_errors();
            }
        }
    }

    pub(super) fn tell_usage(&mut self) {
        let Some(sight) = self.sight() else { return };
        let usage = sight.usage.take().and_then(|mut scan| scan.usage());
        let unsaid = sight.stream.as_mut().and_then(|stream| stream.unsaid.take());
        let unsaid = unsaid.map_or(0, |unsaid| unsaid.tokens());
        let Some(teller) = &self.teller else { return };
        match usage {
            Some(mut usage) => {
                if unsaid > 0 {
                    usage.output_tokens = Some(usage.output_tokens.unwrap_or(0).saturating_add(unsaid));
                }
                teller.usage(usage);
            }
            None if unsaid > 0 => teller.unsaid(unsaid),
            None => {}
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.complete {
            return;
        }
        if let Some(teller) = &self.teller
            && !self.settled
        {
            teller.judge(&Verdict::CANCELLED);
        }
        self.tell_usage();
    }
}
