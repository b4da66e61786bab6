//! What a schedule is made of.

use proptest::prelude::*;

use super::described::KEYS;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Acquire {
        model: usize,
        tokens: u64,
        must: Option<usize>,
    },
    Judge {
        lease: usize,
        verdict: usize,
        seconds: u64,
    },
    Settle {
        lease: usize,
        verdict: usize,
        seconds: u64,
    },
    Usage {
        lease: usize,
    },
    /// The answer says that its model counts in the quota of the first.
    Follow {
        lease: usize,
    },
    /// The answer says whose quota it is: the same of each key that nobody gave an owner.
    Group {
        lease: usize,
    },
    Drop {
        lease: usize,
    },
    Advance {
        millis: u64,
    },
    Wall {
        seconds: i64,
    },
    Disable {
        key: usize,
    },
    Enable {
        key: usize,
    },
    Replace {
        key: usize,
    },
    Weight {
        key: usize,
        weight: u8,
    },
    Many {
        model: usize,
        sizes: Vec<usize>,
        all: bool,
    },
    /// `other`: a key that is there goes with it, one that is not comes back.
    Reconfigure {
        strategy: usize,
        turn: usize,
        weight: u8,
        other: Option<usize>,
    },
    Remove {
        key: usize,
    },
    /// It comes back, with another secret or its own.
    Add {
        key: usize,
        secret: bool,
    },
}

impl Op {
    /// Whether the key's state is bound to another secret from then on.
    pub(super) fn replaces(&self) -> bool {
        matches!(self, Self::Replace { .. } | Self::Add { secret: true, .. })
    }
}

pub(super) fn ops(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        10 => (0..2usize, 0u64..12_000, prop::option::weighted(0.15, 0..KEYS))
            .prop_map(|(model, tokens, must)| Op::Acquire { model, tokens, must }),
        6 => (0..16usize, 0..12usize, 1u64..90).prop_map(|(lease, verdict, seconds)| Op::Judge { lease, verdict, seconds }),
        6 => (0..16usize, 0..12usize, 1u64..90).prop_map(|(lease, verdict, seconds)| Op::Settle { lease, verdict, seconds }),
        2 => (0..16usize).prop_map(|lease| Op::Usage { lease }),
        1 => (0..16usize).prop_map(|lease| Op::Follow { lease }),
        1 => (0..16usize).prop_map(|lease| Op::Group { lease }),
        6 => (0..16usize).prop_map(|lease| Op::Drop { lease }),
        5 => (1u64..30_000).prop_map(|millis| Op::Advance { millis }),
        1 => (1u64..40_000_000).prop_map(|millis| Op::Advance { millis }),
        1 => (-200_000i64..200_000).prop_map(|seconds| Op::Wall { seconds }),
        1 => (0..KEYS).prop_map(|key| Op::Disable { key }),
        1 => (0..KEYS).prop_map(|key| Op::Enable { key }),
        1 => (0..KEYS).prop_map(|key| Op::Replace { key }),
        1 => (0..KEYS, 1u8..20).prop_map(|(key, weight)| Op::Weight { key, weight }),
        1 => (0..2usize, prop::collection::vec(1usize..6, 1..3), any::<bool>())
            .prop_map(|(model, sizes, all)| Op::Many { model, sizes, all }),
        1 => (0..5usize, 0..KEYS, 1u8..20, prop::option::of(0..KEYS))
            .prop_map(|(strategy, turn, weight, other)| Op::Reconfigure { strategy, turn, weight, other }),
        1 => (0..KEYS).prop_map(|key| Op::Remove { key }),
        2 => (0..KEYS, prop::bool::weighted(0.2)).prop_map(|(key, secret)| Op::Add { key, secret }),
    ];
    prop::collection::vec(op, count)
}
