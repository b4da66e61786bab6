//! Which ids were seen: no two tasks may have one.

use std::collections::HashSet;

use super::Id;

/// Ids of tasks so far: a word for each that was given, a bit for each that is a place in the input.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    given: HashSet<u64>,
    places: Vec<u64>,
}

impl Seen {
    /// The id of the task at this place; `Err` where another has it.
    pub(crate) fn id(&mut self, given: Option<&Id>, index: u64) -> Result<Id, Id> {
        let id = given.cloned().unwrap_or(Id::Number(index));
        let number = match &id {
            Id::Number(number) => Some(*number),
            Id::Text(text) => text.parse().ok().filter(|number: &u64| number.to_string() == **text),
            Id::Written(_) => None,
        };
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        let is_place =
            |number: u64| self.places.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1);
        let twice = match given {
            Some(_) => !self.given.insert(id.hash()) || number.is_some_and(is_place),
            None => !self.given.is_empty() && self.given.contains(&id.hash()),
        };
        if given.is_none() {
            self.places.resize(self.places.len().max(word + 1), 0);
            self.places[word] |= bit;
        }
        if twice { Err(id) } else { Ok(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_a_given_id_may_be_the_same_one() {
        let mut seen = Seen::default();
        assert_eq!(seen.id(None, 0), Ok(Id::Number(0)));
        assert_eq!(seen.id(Some(&"a".into()), 1), Ok("a".into()));
        assert!(seen.id(Some(&"a".into()), 2).is_err());
        assert!(seen.id(Some(&"0".into()), 3).is_err(), "the first one's place");
        assert!(seen.id(Some(&"00".into()), 4).is_ok());
        assert_eq!(seen.id(Some(&6.into()), 5), Ok(Id::Number(6)));
        assert!(seen.id(None, 6).is_err(), "given before");
        assert_eq!(seen.id(None, 700), Ok(Id::Number(700)));
    }
}
