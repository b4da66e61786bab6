//! What the shipped providers make of answers: every recorded sample, answers nobody has seen yet, and hostile ones.

mod collected;
mod families;
mod gateways;
mod gathered;
mod gemini_outside;
mod heard;
mod hostile;
mod meaning;
mod met;
mod noted;
mod outside;
mod pooled;
mod recorded;
mod reported;
mod sample;
mod samples;
mod spoken;
mod streamed;
mod threads;
mod told;
mod unseen;
mod vendors;
mod worded;
mod world;
