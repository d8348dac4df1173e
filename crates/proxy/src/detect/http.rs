//! The beginnings of HTTP/1 and HTTP/2.

/// Whether bytes are the beginning of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// They are, beyond doubt.
    Yes,
    /// They are not, whatever follows.
    No,
    /// They may be.
    Open,
}

/// RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longer than every method that is registered (`UPDATEREDIRECTREF`, 17).
const METHOD_LIMIT: usize = 32;

/// The connection preface of HTTP/2.
pub(super) fn preface(bytes: &[u8]) -> Match {
    if bytes.starts_with(PREFACE) {
        Match::Yes
    } else if PREFACE.starts_with(bytes) {
        Match::Open
    } else {
        Match::No
    }
}

/// `method SP target SP HTTP/1.x`, RFC 9112, 3. Empty lines before it are allowed there (2.2).
pub(super) fn request_line(bytes: &[u8]) -> Match {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    let Some(space) = bytes.iter().position(|&byte| byte == b' ') else {
        return open_if(bytes.len() <= METHOD_LIMIT && bytes.iter().all(|&byte| is_token(byte)));
    };
    if space == 0 || space > METHOD_LIMIT || !bytes[..space].iter().all(|&byte| is_token(byte)) {
        return Match::No;
    }
    let (method, rest) = (&bytes[..space], &bytes[space + 1..]);
    let Some(space) = rest.iter().position(|&byte| byte == b' ') else {
        return open_if(rest.is_empty() || target(method, rest) != Match::No);
    };
    if space == 0 || target(method, &rest[..space]) != Match::Yes {
        return Match::No;
    }
    version(&rest[space + 1..])
}

/// A path, `*`, an absolute URI, or the authority of a `CONNECT` (RFC 9112, 3.2). Anything else is
/// not HTTP to Envoy either.
fn target(method: &[u8], bytes: &[u8]) -> Match {
    if !bytes.iter().all(|&byte| is_target(byte)) {
        return Match::No;
    }
    if matches!(bytes, [b'/' | b'*', ..]) || method == b"CONNECT" {
        return Match::Yes;
    }
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let scheme = bytes.iter().take_while(|byte| in_scheme(byte)).count();
    let after = &bytes[scheme..];
    if !bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        Match::No
    } else if after.starts_with(b"://") {
        Match::Yes
    } else {
        open_if(b"://".starts_with(after))
    }
}

fn version(bytes: &[u8]) -> Match {
    const NAME: &[u8] = b"HTTP/1.";
    let Some((name, rest)) = bytes.split_at_checked(NAME.len()) else {
        return open_if(NAME.starts_with(bytes));
    };
    if name != NAME {
        return Match::No;
    }
    match rest {
        [] => Match::Open,
        [minor] => open_if(minor.is_ascii_digit()),
        [minor, b'\r' | b'\n', ..] if minor.is_ascii_digit() => Match::Yes,
        _ => Match::No,
    }
}

const fn open_if(condition: bool) -> Match {
    if condition { Match::Open } else { Match::No }
}

/// RFC 9110, 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Anything visible; bytes above ASCII occur in practice.
const fn is_target(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}
