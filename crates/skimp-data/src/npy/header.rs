//! The header of a `.npy` file: a Python dictionary with the keys `descr`, `fortran_order` and `shape`.

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) descr: String,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// Parses the dictionary. The error says what was expected.
pub(super) fn parse(text: &str) -> Result<Header, String> {
    let mut rest = Cursor { rest: text.trim_end() };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    rest.expect('{')?;
    while !rest.accept('}') {
        let key = rest.string()?;
        rest.expect(':')?;
        match key {
            "descr" => descr = Some(rest.string()?.to_owned()),
            "fortran_order" => fortran_order = Some(rest.boolean()?),
            "shape" => shape = Some(rest.tuple()?),
            _ => return Err(format!("expected descr, fortran_order or shape, found \"{key}\"")),
        }
        if !rest.accept(',') {
            rest.expect('}')?;
            break;
        }
    }
    match (rest.rest, descr, fortran_order, shape) {
        ("", Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
        ("", ..) => Err("expected the keys descr, fortran_order and shape".to_owned()),
        (rest, ..) => Err(format!("expected the end of the header, found \"{rest}\"")),
    }
}

/// The dictionary as NumPy writes it.
pub(super) fn format(descr: &str, shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", extents.join(", "))
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn accept(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let stripped = self.rest.strip_prefix(wanted);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.accept(wanted) { Ok(()) } else { Err(self.complaint(&format!("'{wanted}'"))) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.accept('"') { '"' } else { '\'' };
        if quote == '\'' && !self.accept('\'') {
            return Err(self.complaint("a string"));
        }
        let (text, rest) = self.rest.split_once(quote).ok_or_else(|| self.complaint("a closing quote"))?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.complaint("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut extents = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            extents.push(digits.parse().map_err(|_| self.complaint("an extent"))?);
            self.rest = rest;
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(extents)
    }

    fn complaint(&self, expected: &str) -> String {
        let found: String = self.rest.chars().take(24).collect();
        format!("expected {expected} in the header, found \"{found}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_parse() {
        let header = |descr: &str, fortran_order, shape: &[usize]| {
            Ok(Header { descr: descr.to_owned(), fortran_order, shape: shape.to_vec() })
        };
        let cases = [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n", header("<f4", false, &[3, 4])),
            ("{\"shape\":(7,),\"descr\":\"|u1\",\"fortran_order\":True}", header("|u1", true, &[7])),
            ("{'descr': '<i8', 'fortran_order': False, 'shape': (), }\n", header("<i8", false, &[])),
            ("{'descr': '<f4'}", Err("expected the keys descr, fortran_order and shape".to_owned())),
            ("{'descr': [('a', '<f4')]}", Err("expected a string in the header, found \"[('a', '<f4')]}\"".to_owned())),
            ("", Err("expected '{' in the header, found \"\"".to_owned())),
            ("{'shape': (-1,)}", Err("expected an extent in the header, found \"-1,)}\"".to_owned())),
            ("{'color': 1}", Err("expected descr, fortran_order or shape, found \"color\"".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_parses() {
        for shape in [&[][..], &[0], &[5], &[2, 3, 4]] {
            let text = format("<i4", shape);
            assert_eq!(parse(&text).unwrap().shape, shape, "{text}");
        }
        assert_eq!(format("<f4", &[5]), "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }");
    }
}
