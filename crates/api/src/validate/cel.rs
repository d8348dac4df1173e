//! The syntax of the Common Expression Language, as its specification's grammar has it. Whether names
//! and types fit is known only where an expression is evaluated.

use super::syntax::Check;

/// How deep an expression may be nested.
const MAX_DEPTH: usize = 64;

/// Operators of two operands; which binds tighter makes no difference to whether a text is one.
const OPERATORS: [&str; 13] =
    ["||", "&&", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%"];

/// Words that are no names (the specification's *reserved*, and literals stand for themselves).
const RESERVED: [&str; 15] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
];

/// Whether `text` is an expression.
pub(super) fn check(text: &str) -> Check {
    let mut reader = Reader { rest: text };
    let whole = reader.expression(0).and_then(|()| reader.space().rest.is_empty().then_some(()));
    whole.ok_or_else(|| {
        let at = text.len() - reader.rest.len();
        format!(
            "`{text}` is not an expression: it breaks at character {}",
            text[..at].chars().count() + 1
        )
    })
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Skips white space and comments.
    fn space(&mut self) -> &mut Self {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("//") else { return self };
            self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
        }
    }

    /// Takes a sign if it comes next.
    fn take(&mut self, sign: &str) -> bool {
        let rest = self.space().rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Operands with operators in between, perhaps a condition with two outcomes.
    fn expression(&mut self, depth: usize) -> Option<()> {
        self.operations(depth)?;
        if self.take("?") {
            self.operations(depth)?;
            self.take(":").then_some(())?;
            self.expression(depth + 1)?;
        }
        Some(())
    }

    fn operations(&mut self, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.unary(depth)?;
        while self.operator() {
            self.unary(depth)?;
        }
        Some(())
    }

    fn operator(&mut self) -> bool {
        if let Some(after) = self.space().rest.strip_prefix("in")
            && !after.starts_with(is_name_part)
        {
            self.rest = after;
            return true;
        }
        OPERATORS.iter().any(|sign| self.take(sign))
    }

    fn unary(&mut self, depth: usize) -> Option<()> {
        while self.take("!") || self.take("-") {}
        self.primary(depth)?;
        loop {
            if self.take(".") {
                let _optional = self.take("?");
                self.space().name()?;
                if self.take("(") {
                    self.list(")", depth, Self::argument)?;
                }
            } else if self.take("[") {
                let _optional = self.take("?");
                self.expression(depth + 1)?;
                self.take("]").then_some(())?;
            } else {
                return Some(());
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Option<()> {
        if self.take("(") {
            self.expression(depth + 1)?;
            return self.take(")").then_some(());
        }
        if self.take("[") {
            return self.list("]", depth, Self::argument);
        }
        if self.take("{") {
            return self.list("}", depth, Self::entry);
        }
        if let Some(()) = self.text() {
            return Some(());
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) || self.rest.starts_with('.') {
            if let Some(()) = self.number() {
                return Some(());
            }
            self.take(".").then_some(())?;
        }
        let name = self.space().name()?;
        if RESERVED.contains(&name) || name == "in" {
            return None;
        }
        if self.take("(") {
            return self.list(")", depth, Self::argument);
        }
        if name.starts_with(char::is_uppercase) && self.take("{") {
            return self.list("}", depth, Self::entry);
        }
        Some(())
    }

    /// Items up to the closing sign; a comma may stand behind the last.
    fn list(
        &mut self,
        close: &str,
        depth: usize,
        item: impl Fn(&mut Self, usize) -> Option<()>,
    ) -> Option<()> {
        while !self.take(close) {
            item(self, depth + 1)?;
            if !self.take(",") {
                return self.take(close).then_some(());
            }
        }
        Some(())
    }

    fn argument(&mut self, depth: usize) -> Option<()> {
        self.expression(depth)
    }

    fn entry(&mut self, depth: usize) -> Option<()> {
        self.operations(depth)?;
        self.take(":").then_some(())?;
        self.expression(depth)
    }

    fn name(&mut self) -> Option<&'a str> {
        let quoted = self.rest.strip_prefix('`').and_then(|rest| rest.split_once('`'));
        if let Some((name, rest)) = quoted {
            self.rest = rest;
            return Some(name);
        }
        let begins = self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let end = self.rest.find(|c| !is_name_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        begins.then(|| {
            self.rest = rest;
            name
        })
    }

    /// A number: `1`, `0x1f`, `7u`, `1.5e3`.
    fn number(&mut self) -> Option<()> {
        let end = self.rest.find(|c| !is_name_part(c) && c != '.').unwrap_or(self.rest.len());
        let mut end = end;
        let exponent = self.rest[..end].ends_with(['e', 'E']) && !self.rest.starts_with("0x");
        if exponent && self.rest[end..].starts_with(['+', '-']) {
            let digits = self.rest[end + 1..].find(|c: char| !c.is_ascii_digit());
            end = digits.map_or(self.rest.len(), |count| end + 1 + count);
        }
        let number = &self.rest[..end];
        let whole = number.strip_suffix(['u', 'U']).unwrap_or(number);
        let hex = whole.strip_prefix("0x").or_else(|| whole.strip_prefix("0X"));
        let fits = match hex {
            Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
            None => whole.parse::<u64>().is_ok() || whole.parse::<f64>().is_ok(),
        };
        fits.then(|| self.rest = &self.rest[end..])
    }

    /// Text in quotes, perhaps raw or bytes.
    fn text(&mut self) -> Option<()> {
        let prefix = self.space().rest.find(['"', '\''])?;
        let letters = &self.rest[..prefix];
        if letters.len() > 2 || !letters.chars().all(|c| "rRbB".contains(c)) {
            return None;
        }
        let raw = letters.contains(['r', 'R']);
        let body = &self.rest[prefix..];
        let triple = ["\"\"\"", "'''"].into_iter().find(|quote| body.starts_with(quote));
        let quote = triple.unwrap_or(&body[..1]);
        let end = end_of_text(&body[quote.len()..], quote, raw)?;
        self.rest = &body[quote.len() + end + quote.len()..];
        Some(())
    }
}

/// Where the closing quotes stand.
fn end_of_text(body: &str, quote: &str, raw: bool) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if body[at..].starts_with(quote) {
            return Some(at);
        } else if c == '\\' && !raw {
            escaped = true;
        } else if c == '\n' && quote.len() == 1 {
            return None;
        }
    }
    None
}

fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn expressions_are_told_from_other_texts() {
        for text in [
            "response.code >= 400",
            "true",
            "has(request.headers['x-a']) && request.url_path.startsWith(\"/a\") || !(1 + 2 < 3u)",
            "a ? b : c ? d : e",
            "[1, 2,].exists(it, it in {'k': 1.5e-3})",
            "connection.mtls == false // why not",
            "r'\\d' + '''it's'''",
            "a.b[0].c(1, -x).d",
            "T{field: 1}",
            ".a.b",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in [
            "",
            " ",
            "response.code >=",
            "a b",
            "(a",
            "a)",
            "a ? b",
            "'a",
            "a.",
            "if",
            "&& a",
            "[1, 2",
            "a == ",
            "f(,)",
            "a..b",
            "1x",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
