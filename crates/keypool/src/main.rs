//! keypool
fn main() {}
