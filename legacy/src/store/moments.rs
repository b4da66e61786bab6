//! Moments as they are written: the first in full, of each later one only how much later it is. Half the bytes.

use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(moments: &[(i64, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut last = 0;
    serializer.collect_seq(moments.iter().flat_map(|(at, amount)| {
        let later = at - std::mem::replace(&mut last, *at);
        [later, i64::try_from(*amount).unwrap_or(i64::MAX)]
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(i64, u64)>, D::Error> {
    let flat = Vec::<i64>::deserialize(deserializer)?;
    let mut last = 0i64;
    let whole = |pair: &[i64]| {
        last = last.saturating_add(pair[0]);
        (last, u64::try_from(pair[1]).unwrap_or(0))
    };
    Ok(flat.chunks_exact(2).map(whole).collect())
}
