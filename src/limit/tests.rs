//! Property tests of windows and quotas, against oracles that remember every start.

mod quota;
mod sliding;
