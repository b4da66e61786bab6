//! Values with a form of their own: read from text or a number, or refused with what is allowed.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{Deserializer, de::Visitor};

/// A value that is written as text or as a number.
pub(super) trait Scalar: Sized {
    /// What is allowed, behind "expected".
    fn expected() -> Cow<'static, str>;

    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    fn of_number(_number: f64) -> Option<Self> {
        None
    }

    fn of_whole(number: i64) -> Option<Self> {
        Self::of_number(number as f64)
    }
}

/// A whole number written as text.
pub(super) const WHOLE: &str = r"^\s*\+?[0-9]+\s*$";

/// The number that such a text is.
pub(super) fn whole(text: &str) -> Option<i64> {
    text.trim().parse::<u64>().ok()?.try_into().ok()
}

pub(super) fn read<'de, S: Scalar, D: Deserializer<'de>>(deserializer: D) -> Result<S, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData))
}

struct Reader<S>(PhantomData<S>);

impl<S: Scalar> Reader<S> {
    fn check<E: serde::de::Error>(found: Option<S>) -> Result<S, E> {
        found.ok_or_else(|| E::custom(format_args!("expected {}", S::expected())))
    }
}

impl<S: Scalar> Visitor<'_> for Reader<S> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&S::expected())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<S, E> {
        Self::check(S::of_text(text))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<S, E> {
        Self::check(S::of_whole(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<S, E> {
        Self::check(i64::try_from(number).ok().and_then(S::of_whole))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<S, E> {
        Self::check(S::of_number(number))
    }
}

/// A wrapper of `$inner` that is read by its [`Scalar`], shown by `$show`, and described by `$schema`.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident($inner:ty), schema: $schema:tt, show: $show:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name(pub $inner);

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::scalar::read(deserializer)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let show: fn(&$inner) -> serde_json::Value = $show;
                serde::Serialize::serialize(&show(&self.0), serializer)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
pub(super) use scalar;
