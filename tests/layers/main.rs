//! The layers over mocks, and over the layers of tower that may stand between them.

mod retry;
mod rotation;
mod run;
mod support;
