//! Versions that share a board.
