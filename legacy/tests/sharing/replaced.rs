//! Keys with another secret, where processes share what owners may use: by the configuration, which says of each key whose it
//! is, while requests go on.

use std::time::Duration;

use tower_keypool::{Gemini, Key, KeyPool, KeyPoolBuilder, Limits, Tick, Verdict};

use crate::host::{FLASH, Host, Process, pass, paused};

/// Keys by name and secret, each of ten a minute.
fn of(keys: &[(&str, char)]) -> KeyPoolBuilder {
    let key = |(id, secret): &(&str, char)| {
        let secret = format!("AIza-not-a-real-key-{}", secret.to_string().repeat(5));
        Key::new(secret).id(*id).limits("*", Limits::new().per_minute(10))
    };
    KeyPool::builder(Gemini::new()).keys(keys.iter().map(key))
}

/// Asks four times a second; when each was served, and by which key.
async fn ask(process: &Process, seconds: u32, served: &mut Vec<(Tick, String)>) {
    for _ in 0..seconds * 4 {
        if let Ok(lease) = process.pool.try_acquire(FLASH) {
            served.push((process.pool.clock().tick(), lease.key_id().to_string()));
            lease.settle(&Verdict::SUCCESS);
        }
        pass(0.25).await;
    }
}

/// The most that one key served in any minute.
fn most_in_a_minute(served: &[(Tick, String)]) -> usize {
    let minute = Duration::from_secs(60);
    let of_one = |(at, key): &(Tick, String)| {
        served.iter().filter(|(other, by)| by == key && *other >= *at && other.since(*at) < minute).count()
    };
    served.iter().map(of_one).max().unwrap_or(0)
}

#[test]
fn a_key_that_was_replaced_before_its_first_request_is_lent() {
    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, of(&[("a", 'A')])).await;
        pass(2.5).await;
        one.pool.reconfigure(of(&[("a", 'B')])).unwrap();
        let mut served = Vec::new();
        ask(&one, 5, &mut served).await;
        assert_eq!(served.len(), 10, "as many as its minute has");
    });
}

#[test]
fn a_key_that_was_replaced_goes_on_minute_after_minute_in_all_processes() {
    paused().block_on(async {
        let host = Host::new(true);
        let (one, other) =
            (host.process("one", 1, of(&[("a", 'A')])).await, host.process("other", 1, of(&[("a", 'A')])).await);
        let mut served = Vec::new();
        ask(&one, 2, &mut served).await;
        assert!(!served.is_empty());
        for process in [&one, &other] {
            process.pool.reconfigure(of(&[("a", 'B')])).unwrap();
        }
        for _ in 0..8 {
            ask(&one, 30, &mut served).await;
            ask(&other, 30, &mut served).await;
        }
        assert!(served.len() >= 70, "{} in eight minutes", served.len());
        assert!(most_in_a_minute(&served) <= 10, "{served:?}");
    });
}

/// The old secret is a key of its own again, beside the one that took its place: what both used counts, whoever starts next.
#[test]
fn a_secret_that_comes_back_beside_its_heir_has_used_what_it_used() {
    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, of(&[("a", 'A')])).await;
        let mut served = Vec::new();
        ask(&one, 3, &mut served).await;
        one.pool.reconfigure(of(&[("a", 'B')])).unwrap();
        ask(&one, 3, &mut served).await;
        assert_eq!(served.len(), 10);
        one.pool.reconfigure(of(&[("a", 'B'), ("back", 'A')])).unwrap();
        ask(&one, 5, &mut served).await;
        let other = host.process("other", 1, of(&[("a", 'B'), ("back", 'A')])).await;
        ask(&other, 5, &mut served).await;
        let _ = one.pool.shutdown().await;
        let one = host.process("one", 2, of(&[("a", 'B'), ("back", 'A')])).await;
        ask(&one, 10, &mut served).await;
        assert_eq!(served.len(), 10, "the minute is used up: {served:?}");
        ask(&one, 120, &mut served).await;
        assert!(served.len() >= 25, "{}", served.len());
        assert!(most_in_a_minute(&served) <= 10, "{served:?}");
    });
}
