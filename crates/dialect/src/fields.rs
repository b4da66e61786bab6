//! An object's fields, each as it stands.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::{Deserialize, de};
use serde_json::value::RawValue;

use crate::{Fault, Text, ahead};

/// The top level of a request: names, and values not looked at yet.
pub(crate) struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads a body that must be one object.
    ///
    /// # Errors
    /// A fault that says what is no JSON, no object, or there twice.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Fault> {
        let split = Split::<()> { name: None, main: PhantomData };
        let (fields, _) = ahead::read_by(split, json(body)?)
            .map_err(|error| Fault::invalid(format!("the body is not right: {error}")))?;
        let mut names = HashSet::new();
        match fields.0.iter().find(|(name, _)| !names.insert(&**name)) {
            None => Ok(fields),
            Some((twice, _)) => Err(Fault::invalid(format!("{twice} stands there twice")).at(&**twice)),
        }
    }

    /// The same, the field `name` as what it is: nearly all of a request stands there, and is looked at once only.
    ///
    /// # Errors
    /// As [`read`](Self::read), or one that names what is wrong with that field.
    pub(crate) fn read_with<M: Deserialize<'a>>(
        body: &'a [u8],
        name: &'static str,
    ) -> Result<(Self, Option<M>), Fault> {
        let split = Split { name: Some(name), main: PhantomData };
        match ahead::read_by(split, json(body)?) {
            Ok((fields, main)) if fields.is_plain(name) => Ok((fields, main)),
            // What is wrong with it is said by the slower way.
            _ => match Self::read(body)?.given().find(|field| *field.name == *name) {
                Some(field) => Err(field.wrong::<M>()),
                None => Err(Fault::invalid(format!("{name} is missing")).at(name)),
            },
        }
    }

    /// Whether each name is there once; `main` stands elsewhere.
    fn is_plain(&self, main: &str) -> bool {
        let mut names = HashSet::from([main]);
        self.0.iter().all(|(name, _)| names.insert(name))
    }

    /// Those that are not `null`, in their order.
    pub(crate) fn given(self) -> impl Iterator<Item = Field<'a>> {
        let given = self.0.into_iter().filter(|(_, value)| value.get() != "null");
        given.map(|(name, value)| Field { name, value })
    }
}

/// A body as what JSON is written in.
fn json(body: &[u8]) -> Result<&str, Fault> {
    // A long body costs half of what it does with the standard library's.
    simdutf8::compat::from_utf8(body).map_err(|error| Fault::invalid(format!("the body is not right: {error}")))
}

/// One of them.
pub(crate) struct Field<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) value: &'a RawValue,
}

impl<'a> Field<'a> {
    /// Its value.
    ///
    /// # Errors
    /// A fault that names what inside of it is wrong.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Result<T, Fault> {
        ahead::read(self.value.get()).map_err(|_| self.wrong::<T>())
    }

    /// Its value, a whole number, which some clients write as a fraction of nothing: `100.0`.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn integer<T: Deserialize<'a>>(&self) -> Result<T, Fault> {
        let text = self.value.get();
        let is_nothing = |rest: &str| !rest.is_empty() && rest.bytes().all(|digit| digit == b'0');
        let whole = text.split_once('.').filter(|(_, rest)| is_nothing(rest)).map_or(text, |(whole, _)| whole);
        ahead::read(whole).map_err(|_| self.wrong::<T>())
    }

    /// The same of 1 at least.
    ///
    /// # Errors
    /// The same, and for 0.
    pub(crate) fn positive<T: Deserialize<'a> + Default + PartialEq>(&self) -> Result<T, Fault> {
        let value = self.integer::<T>()?;
        if value == T::default() {
            return Err(Fault::invalid(format!("{}: expected 1 at least, not 0", self.name)).at(&*self.name));
        }
        Ok(value)
    }

    /// Whether it says this.
    pub(crate) fn is(&self, json: &str) -> bool {
        self.value.get() == json
    }

    /// The answer for one that cannot be had.
    pub(crate) fn refused(&self) -> Fault {
        Fault::invalid(format!("{} cannot be had from this upstream", self.name)).at(&*self.name)
    }

    fn wrong<T: Deserialize<'a>>(&self) -> Fault {
        wrong::<T>(self.value, &self.name)
    }
}

/// What stands at `place` is read once more, slower, to name what is wrong inside of it.
#[cold]
fn wrong<'a, T: Deserialize<'a>>(value: &'a RawValue, place: &str) -> Fault {
    let mut json = serde_json::Deserializer::from_str(value.get());
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut json) else {
        return Fault::invalid(format!("{place} is not right")).at(place);
    };
    let inside = error.path().to_string();
    let place = match inside.as_str() {
        "." => place.to_owned(),
        inside if inside.starts_with('[') => format!("{place}{inside}"),
        inside => format!("{place}.{inside}"),
    };
    // serde counts columns within the field alone.
    let said = error.inner().to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    // What our types are called is nobody's.
    let said = match said.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => said.to_owned(),
    };
    Fault::invalid(format!("{place}: {said}")).at(place)
}

/// Reads an object, one field of it as what it is and the others as they stand.
struct Split<M> {
    name: Option<&'static str>,
    main: PhantomData<M>,
}

impl<M> Clone for Split<M> {
    fn clone(&self) -> Self {
        Self { name: self.name, main: PhantomData }
    }
}

impl<'de, M: Deserialize<'de>> de::DeserializeSeed<'de> for Split<M> {
    type Value = (Fields<'de>, Option<M>);

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, M: Deserialize<'de>> de::Visitor<'de> for Split<M> {
    type Value = (Fields<'de>, Option<M>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(12));
        let mut main = None;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if self.name == Some(&*name) && main.is_none() {
                main = Some(map.next_value()?);
            } else {
                fields.push((name, map.next_value()?));
            }
        }
        Ok((Fields(fields), main))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct B {
        #[expect(dead_code, reason = "only read")]
        b: u8,
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
        for (value, expected) in [
            ("100", Some(100_u32)),
            ("100.0", Some(100)),
            ("7.000", Some(7)),
            ("0.0", None),
            ("1.5", None),
            ("-1.0", None),
            (r#""1.0""#, None),
            (r#""x.0""#, None),
        ] {
            let body = format!(r#"{{"a":{value}}}"#);
            let fields: Vec<_> = Fields::read(body.as_bytes()).unwrap().given().collect();
            assert_eq!(fields[0].positive().ok(), expected, "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |body: &str| Fields::read(body.as_bytes()).err().unwrap();
        assert!(wrong("{").message.contains("EOF"));
        assert!(wrong("[]").message.contains("an object"));
        assert_eq!(wrong(r#"{"a":1,"a":2}"#).param.as_deref(), Some("a"));
        let body = br#"{"a":[{"b":1},{"b":"x"}],"c":null}"#;
        let fields: Vec<_> = Fields::read(body).unwrap().given().collect();
        assert_eq!(fields.len(), 1);
        let fault = fields[0].read::<Vec<B>>().unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("a[1].b"));
        assert!(!fault.message.contains("line"), "{}", fault.message);
    }
}
