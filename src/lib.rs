//! keypool
