//! What the shipped providers make of answers: every recorded sample, answers nobody has seen yet, hostile ones.

mod sample;
mod samples;
