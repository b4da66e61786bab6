//! What models give, as their names tell it (PROVIDERS.md): of a list only those that give the same stand in for each other.

/// What a model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Texts,
    /// And words between them.
    Pictures,
    /// By a verb of its own.
    PicturesAlone,
    Speech,
}

impl Gives {
    /// By its bare name.
    pub(super) fn of(model: &str) -> Self {
        let begins = |text: &str, word: &str| {
            text.as_bytes().get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word.as_bytes()))
        };
        let has = |word| model.split('-').skip(1).any(|part| begins(part, word));
        if begins(model, "imagen") {
            Self::PicturesAlone
        } else if has("image") {
            Self::Pictures
        } else if has("tts") {
            Self::Speech
        } else {
            Self::Texts
        }
    }

    /// Whether one that gives this is of use where that was asked for.
    pub(super) fn instead_of(self, asked: Self) -> bool {
        self == asked || (self, asked) == (Self::Pictures, Self::Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for (model, gives) in [
            ("gemini-2.5-flash", Gives::Texts),
            ("gemini-2.5-flash-image", Gives::Pictures),
            ("Gemini-3-Pro-Image-Preview", Gives::Pictures),
            ("imagen-4.0-generate-001", Gives::PicturesAlone),
            ("gemini-2.5-flash-preview-tts", Gives::Speech),
            ("gemini-3.8-flash-lite-tts", Gives::Speech),
            ("tunedModels/mine", Gives::Texts),
            ("i", Gives::Texts),
        ] {
            assert_eq!(Gives::of(model), gives, "{model}");
        }
    }

    #[test]
    fn what_draws_writes_too() {
        assert!(Gives::Pictures.instead_of(Gives::Texts) && !Gives::Texts.instead_of(Gives::Pictures));
        assert!(!Gives::Speech.instead_of(Gives::Texts) && Gives::Speech.instead_of(Gives::Speech));
    }
}
