//! The layers, each alone and together, over mocks and over the layers of tower that may stand between them.

mod cooldown;
mod replay;
