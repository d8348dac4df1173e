//! Counting the messages of a gRPC stream.

/// Counts the messages in one direction of a gRPC stream by their length prefixes; the messages
/// themselves are not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageCounter {
    messages: u64,
    /// Bytes of the current message that are still to come.
    remaining: u64,
    /// Bytes of the current prefix: a flag and four bytes of length.
    prefix: [u8; 5],
    filled: u8,
}

impl MessageCounter {
    /// Takes the next bytes of the stream.
    pub fn observe(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.remaining > 0 {
                let skip = bytes.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                self.remaining -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.prefix[usize::from(self.filled)] = bytes[0];
            self.filled += 1;
            bytes = &bytes[1..];
            if usize::from(self.filled) == self.prefix.len() {
                let [_, length @ ..] = self.prefix;
                self.remaining = u64::from(u32::from_be_bytes(length));
                self.filled = 0;
                self.messages += 1;
            }
        }
    }

    /// Messages whose prefix has come.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut stream = Vec::new();
        for length in [0_u32, 1, 7, 300] {
            stream.push(0);
            stream.extend_from_slice(&length.to_be_bytes());
            stream.extend(std::iter::repeat_n(0x55, length as usize));
        }
        for step in 1..stream.len() {
            let mut counter = MessageCounter::default();
            for chunk in stream.chunks(step) {
                counter.observe(chunk);
            }
            assert_eq!(counter.messages(), 4, "in pieces of {step}");
        }
    }
}
