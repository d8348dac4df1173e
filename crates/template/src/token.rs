//! Text into tokens, by the rules of Go's `text/template/parse`.

/// What a token is. Offsets are bytes of the template's text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Text outside of actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// White space inside an action, which separates arguments.
    Space,
    /// A name: a function, a keyword, `true`, `nil`.
    Word(String),
    /// `.name`
    Field(String),
    /// `$name`; the dollar is not part of it.
    Variable(String),
    /// `.` alone.
    Dot,
    /// A string, unquoted.
    String(String),
    /// A character constant or a number with no fraction.
    Integer(i64),
    /// A number with fraction or exponent.
    Float(f64),
    /// `|`
    Pipe,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
    /// `(`
    OpenParenthesis,
    /// `)`
    CloseParenthesis,
}

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub offset: usize,
}

/// What is wrong with a text, and where: a byte offset.
#[derive(Debug)]
pub(crate) struct Fault {
    pub offset: usize,
    pub message: String,
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { text, at: 0, found: Vec::new() };
    lexer.run()?;
    Ok(lexer.found)
}

/// White space as Go's template language knows it.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, offset: usize) {
        self.found.push(Token { kind, offset });
    }

    fn fault<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { offset, message: message.into() })
    }

    fn run(&mut self) -> Result<(), Fault> {
        while self.at < self.text.len() {
            let start = self.at;
            let Some(open) = self.rest().find("{{") else {
                self.push(Kind::Text(self.rest().to_owned()), start);
                return Ok(());
            };
            let mut text = &self.text[start..start + open];
            self.at = start + open + 2;
            if self.trims_left() {
                text = text.trim_end_matches(is_space);
                self.at += 1;
            }
            if !text.is_empty() {
                let text = text.to_owned();
                self.push(Kind::Text(text), start);
            }
            let comment = if self.rest().starts_with(is_space) {
                self.rest().trim_start_matches(is_space).starts_with("/*")
            } else {
                self.rest().starts_with("/*")
            };
            let trimmed =
                if comment { self.comment(start + open)? } else { self.action(start + open)? };
            if trimmed {
                self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
            }
        }
        Ok(())
    }

    /// Whether `- ` follows the opening delimiter.
    fn trims_left(&self) -> bool {
        let mut characters = self.rest().chars();
        characters.next() == Some('-') && characters.next().is_some_and(is_space)
    }

    /// The closing delimiter, when it is here: its length, and whether it trims.
    fn close(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        rest.starts_with(is_space)
            .then(|| &rest[1..])
            .filter(|rest| rest.starts_with("-}}"))
            .map(|_| (4, true))
    }

    /// Passes a comment over; whether its end trims.
    fn comment(&mut self, open: usize) -> Result<bool, Fault> {
        let Some(end) = self.rest().find("*/") else {
            return self.fault(open, "unclosed comment");
        };
        self.at += end + 2;
        match self.close() {
            Some((length, trims)) => {
                self.at += length;
                Ok(trims)
            }
            None => self.fault(open, "comment ends before closing delimiter"),
        }
    }

    /// The tokens of one action; whether its end trims.
    fn action(&mut self, open: usize) -> Result<bool, Fault> {
        self.push(Kind::Open, open);
        loop {
            let start = self.at;
            if let Some((length, trims)) = self.close() {
                self.at += length;
                self.push(Kind::Close, start);
                return Ok(trims);
            }
            let Some(character) = self.rest().chars().next() else {
                return self.fault(open, "unclosed action");
            };
            self.token(character, start)?;
        }
    }

    fn token(&mut self, character: char, start: usize) -> Result<(), Fault> {
        let next = self.rest().chars().nth(1);
        let simple = match character {
            '|' => Some(Kind::Pipe),
            '=' => Some(Kind::Assign),
            ',' => Some(Kind::Comma),
            '(' => Some(Kind::OpenParenthesis),
            ')' => Some(Kind::CloseParenthesis),
            _ => None,
        };
        if let Some(kind) = simple {
            self.at += 1;
            self.push(kind, start);
            return Ok(());
        }
        match character {
            ':' if next == Some('=') => {
                self.at += 2;
                self.push(Kind::Declare, start);
                Ok(())
            }
            ':' => self.fault(start, "expected :="),
            '"' => self.quoted(start),
            '`' => self.raw(start),
            '\'' => self.character(start),
            '$' => {
                self.at += 1;
                let name = self.word();
                self.push(Kind::Variable(name), start);
                Ok(())
            }
            '.' if !next.is_some_and(|next| next.is_ascii_digit()) => {
                self.at += 1;
                let name = self.word();
                self.push(if name.is_empty() { Kind::Dot } else { Kind::Field(name) }, start);
                Ok(())
            }
            '+' | '-' | '.' | '0'..='9' => self.number(start),
            space if is_space(space) => {
                self.spaces();
                self.push(Kind::Space, start);
                Ok(())
            }
            letter if is_word(letter) => {
                let name = self.word();
                self.push(Kind::Word(name), start);
                Ok(())
            }
            other => self.fault(start, format!("unexpected {other:?} in an action")),
        }
    }

    /// Passes white space over, but for one in front of `-}}`, which belongs to it.
    fn spaces(&mut self) {
        while self.rest().starts_with(is_space) && !matches!(self.close(), Some((4, _))) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let word = rest[..length].to_owned();
        self.at += length;
        word
    }

    fn raw(&mut self, start: usize) -> Result<(), Fault> {
        let Some(end) = self.rest()[1..].find('`') else {
            return self.fault(start, "unterminated raw quoted string");
        };
        let text = self.rest()[1..=end].to_owned();
        self.at += end + 2;
        self.push(Kind::String(text), start);
        Ok(())
    }

    fn quoted(&mut self, start: usize) -> Result<(), Fault> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(character) = self.rest().chars().next().filter(|found| *found != '\n') else {
                return self.fault(start, "unterminated quoted string");
            };
            self.at += character.len_utf8();
            match character {
                '"' => break,
                '\\' => text.push(self.escaped(start)?),
                plain => text.push(plain),
            }
        }
        self.push(Kind::String(text), start);
        Ok(())
    }

    fn character(&mut self, start: usize) -> Result<(), Fault> {
        self.at += 1;
        let value = match self.rest().chars().next() {
            Some('\\') => {
                self.at += 1;
                self.escaped(start)?
            }
            Some(plain) if plain != '\'' && plain != '\n' => {
                self.at += plain.len_utf8();
                plain
            }
            _ => return self.fault(start, "malformed character constant"),
        };
        if !self.rest().starts_with('\'') {
            return self.fault(start, "unterminated character constant");
        }
        self.at += 1;
        self.push(Kind::Integer(i64::from(u32::from(value))), start);
        Ok(())
    }

    /// What follows a backslash, as in Go's string literals.
    fn escaped(&mut self, start: usize) -> Result<char, Fault> {
        let Some(character) = self.rest().chars().next() else {
            return self.fault(start, "unterminated quoted string");
        };
        self.at += character.len_utf8();
        let digits = match character {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'v' => return Ok('\u{b}'),
            '\\' | '"' | '\'' => return Ok(character),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => return self.fault(start, format!("unknown escape \\{other}")),
        };
        let value = self
            .rest()
            .get(..digits)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        self.at += digits.min(self.rest().len());
        match value {
            Some(value) => Ok(value),
            None => self.fault(start, format!("malformed escape \\{character}")),
        }
    }

    fn number(&mut self, start: usize) -> Result<(), Fault> {
        let rest = self.rest();
        let mut length = 0;
        let mut exponent = false;
        for (at, character) in rest.char_indices() {
            let sign = matches!(character, '+' | '-') && (at == 0 || exponent);
            if !sign && !is_word(character) && character != '.' {
                break;
            }
            exponent = matches!(character, 'e' | 'E') && !rest.starts_with("0x");
            length = at + character.len_utf8();
        }
        let text = rest[..length].replace('_', "");
        let Some(kind) = number(&text) else {
            return self.fault(start, format!("bad number syntax: {:?}", &rest[..length]));
        };
        self.at += length;
        self.push(kind, start);
        Ok(())
    }
}

/// A number as Go writes it: decimal, `0x`, `0o`, `0b`, with fraction or exponent.
fn number(text: &str) -> Option<Kind> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| lower.strip_prefix(prefix).map(|rest| (rest, radix)));
    let integer = match radix {
        Some((rest, radix)) => i64::from_str_radix(rest, radix).ok(),
        None if lower.len() > 1 && lower.starts_with('0') && !lower.contains(['.', 'e']) => {
            i64::from_str_radix(&lower[1..], 8).ok()
        }
        None => lower.parse().ok(),
    };
    if let Some(integer) = integer {
        return Some(Kind::Integer(if negative { -integer } else { integer }));
    }
    if !lower.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let float: f64 = lower.parse().ok()?;
    Some(Kind::Float(if negative { -float } else { float }))
}
