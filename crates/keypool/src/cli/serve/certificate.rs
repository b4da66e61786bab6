//! Says of the certificate that clients are shown that its time is nearly over, or is.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::sleep;
use tower_keypool::Clock;

use crate::{
    gateway::tls::{Certified, Tls},
    telemetry::spoken,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// So long before its end it is said. One that is renewed by itself, as most are, is so before that.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Says it now where there is something to say.
pub(super) fn remind(certified: Option<&Certified>, clock: &Clock) {
    if let Some(warning) = warning(certified, clock.wall()) {
        tracing::warn!("{warning}");
    }
}

/// The same now and once a day, of the one that is shown by then.
pub(super) async fn remind_daily(tls: Tls, clock: Clock) {
    loop {
        remind(tls.current().as_ref(), &clock);
        sleep(DAY).await;
    }
}

fn warning(certified: Option<&Certified>, now: SystemTime) -> Option<String> {
    let ends = certified?.ends()?;
    let at = Timestamp::try_from(ends).ok()?.strftime("%Y-%m-%d %H:%M UTC");
    match ends.duration_since(now) {
        Ok(left) if left > SOON => None,
        Ok(left) if left >= 2 * DAY => {
            let days = left.as_secs() / DAY.as_secs();
            Some(format!("the certificate (gateway.tls_cert) expires in {days} days, at {at}: clients refuse it then"))
        }
        Ok(left) => {
            let left = spoken(left);
            Some(format!("the certificate (gateway.tls_cert) expires in {left}, at {at}: clients refuse it then"))
        }
        Err(_) => Some(format!("the certificate (gateway.tls_cert) expired at {at}: clients refuse it")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tower_keypool::ManualClock;
    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    /// 2026-11-20 10:30:45 UTC.
    const NOW: Duration = Duration::from_secs(1_795_170_645);

    fn certified(until: (i32, u8, u8)) -> Certified {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        Certified::of(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem()).unwrap()
    }

    #[test]
    fn its_end_is_said_a_week_before() {
        let told = |until| warning(Some(&certified(until)), SystemTime::UNIX_EPOCH + NOW).unwrap_or_default();
        for (until, expected) in [
            ((2030, 1, 1), ""),
            ((2026, 11, 28), ""),
            ((2026, 11, 27), "expires in 6 days, at 2026-11-27 00:00 UTC: clients refuse it then"),
            ((2026, 11, 21), "expires in 13 h 29 min, at 2026-11-21 00:00 UTC: clients refuse it then"),
            ((2026, 11, 20), "expired at 2026-11-20 00:00 UTC: clients refuse it"),
        ] {
            let told = told(until);
            assert_eq!(told.trim_start_matches("the certificate (gateway.tls_cert) "), expected, "{until:?}");
        }
        assert_eq!(warning(None, SystemTime::UNIX_EPOCH + NOW), None);
    }

    /// Counts what is said.
    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<usize>>);

    impl Subscriber for Ear {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().ends_with("serve::certificate")
        }

        fn event(&self, _: &Event<'_>) {
            *self.0.lock().unwrap() += 1;
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_a_day_of_the_one_that_is_shown() {
        let (ear, time) = (Ear::default(), ManualClock::at(SystemTime::UNIX_EPOCH + NOW));
        // With one dispatcher alone, tracing asks another test's thread whether anybody listens.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let _listening = tracing::subscriber::set_default(ear.clone());
        let tls = Tls::new(Some(certified((2026, 11, 29))));
        let reminding = tokio::spawn(remind_daily(tls.clone(), time.clock()));
        let mut said = Vec::new();
        for day in 0..4 {
            if day == 3 {
                tls.change(Some(certified((2027, 11, 29))));
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            said.push(*ear.0.lock().unwrap());
            time.advance(DAY);
            tokio::time::advance(DAY + Duration::from_millis(1)).await;
        }
        assert_eq!(said, [0, 0, 1, 1]);
        reminding.abort();
    }
}
