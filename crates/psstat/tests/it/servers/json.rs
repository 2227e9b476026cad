//! A minimal JSON parser for responses. Numbers stay text, so that they are not rounded.

use std::collections::BTreeMap;

#[derive(Debug)]
pub enum Value {
    Null,
    /// A string, a number, `true` or `false`.
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn at(&self, key: &str) -> &Value {
        let Value::Object(pairs) = self else { panic!("no object: {self:?}") };
        &pairs.iter().find(|(name, _)| name == key).expect(key).1
    }

    pub fn item(&self, index: usize) -> &Value {
        &self.items()[index]
    }

    pub fn items(&self) -> &[Value] {
        let Value::List(items) = self else { panic!("no list: {self:?}") };
        items
    }

    pub fn text(&self) -> String {
        let Value::Text(text) = self else { panic!("no text: {self:?}") };
        text.clone()
    }

    /// An object whose values are texts.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let Value::Object(pairs) = self else { panic!("no object: {self:?}") };
        pairs.iter().map(|(key, value)| (key.clone(), value.text())).collect()
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

pub fn read(text: &str) -> Value {
    let mut rest = text.trim().chars().peekable();
    let value = value(&mut rest);
    assert_eq!(rest.next(), None, "behind the value of {text}");
    value
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn value(rest: &mut Rest<'_>) -> Value {
    match rest.peek() {
        Some('{') => Value::Object(between(rest, '}', |rest| {
            let key = string(rest);
            assert_eq!(rest.next(), Some(':'));
            (key, value(rest))
        })),
        Some('[') => Value::List(between(rest, ']', value)),
        Some('"') => Value::Text(string(rest)),
        _ => {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| !matches!(c, ',' | ']' | '}')) {
                word.push(c);
            }
            if word == "null" { Value::Null } else { Value::Text(word) }
        }
    }
}

fn between<T>(rest: &mut Rest<'_>, end: char, item: impl Fn(&mut Rest<'_>) -> T) -> Vec<T> {
    rest.next();
    let mut items = Vec::new();
    while rest.next_if_eq(&end).is_none() {
        items.push(item(rest));
        rest.next_if_eq(&',');
    }
    items
}

fn string(rest: &mut Rest<'_>) -> String {
    assert_eq!(rest.next(), Some('"'));
    let mut text = String::new();
    loop {
        match rest.next().expect("a string ends") {
            '"' => return text,
            '\\' => text.push(match rest.next().expect("an escape ends") {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => {
                    let digits: String = rest.take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).expect("four digits");
                    char::from_u32(code).expect("no surrogates are used here")
                }
                other => other,
            }),
            other => text.push(other),
        }
    }
}
