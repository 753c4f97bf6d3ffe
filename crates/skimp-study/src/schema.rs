//! What the type of a configuration says of itself, without a value of it: its keys, and the words of a choice.

use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The fields of a struct as they stand in a file; none of another type.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    asked(|probe| T::deserialize(probe).map(drop)).fields
}

/// The words of a choice as they stand in a file; none of another type.
pub fn words_of<T: DeserializeOwned>() -> &'static [&'static str] {
    asked(|probe| T::deserialize(probe).map(drop)).words
}

/// [`words_of`] the type that a struct has under a key.
pub fn words_of_key<T: DeserializeOwned>(key: &'static str) -> &'static [&'static str] {
    asked(|probe| T::deserialize(MapDeserializer::new(std::iter::once((key, probe)))).map(drop)).words
}

/// What a type asked of a [`Probe`].
#[derive(Default)]
struct Answers {
    fields: &'static [&'static str],
    words: &'static [&'static str],
}

fn asked(ask: impl FnOnce(Probe<'_>) -> Result<(), Error>) -> Answers {
    let mut answers = Answers::default();
    // The answer comes by the way: there is nothing to be read.
    let _ = ask(Probe(&mut answers));
    answers
}

/// A deserializer that has no value, and notes what it is asked for.
struct Probe<'a>(&'a mut Answers);

impl IntoDeserializer<'_> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is no value"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.fields = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.words = words;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}
