//! Models on offer.

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What a request calls it.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Who has it.
    pub owner: String,
}
