//! The layers, each alone and together.

mod replay;
