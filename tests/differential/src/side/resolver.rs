//! The name server of a side: it knows what the scenario says, and that nothing else exists.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;

/// Where it listens; the namespace's `resolv.conf` says so.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

/// Names and addresses, shared with the server.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Names {
    /// The names of another scenario.
    pub fn set(&self, names: &BTreeMap<String, Vec<IpAddr>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(names);
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve(self) -> anyhow::Result<()> {
        let socket = UdpSocket::bind(ADDRESS).await?;
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                if let Some(answer) = self.answer(&buffer[..length]) {
                    // Whoever asked asks again when the answer is lost.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Ok(())
    }

    /// The answer to a query with one question (RFC 1035, section 4).
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut name = String::new();
        let mut at = 12;
        loop {
            let length = usize::from(*query.get(at)?);
            let label = query.get(at + 1..at + 1 + length)?;
            at += 1 + length;
            if length == 0 {
                break;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let wanted = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
        let question = query.get(12..at + 4)?;
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.get(&name);
        let records: Vec<Vec<u8>> = known
            .into_iter()
            .flatten()
            .filter_map(|address| match address {
                IpAddr::V4(address) if wanted == TYPE_A => Some(address.octets().to_vec()),
                IpAddr::V6(address) if wanted == TYPE_AAAA => Some(address.octets().to_vec()),
                _ => None,
            })
            .collect();
        let mut answer = query.get(..2)?.to_vec();
        let code = if known.is_some() { 0 } else { NO_SUCH_NAME };
        answer.extend([0x85, 0x80 | code, 0, 1]);
        answer.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
        answer.extend([0, 0, 0, 0]);
        answer.extend(question);
        for data in records {
            // The name as in the question, the class IN, a lifetime of one second.
            answer.extend([0xc0, 0x0c]);
            answer.extend(wanted.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 1]);
            answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.push(0);
        query.extend(kind.to_be_bytes());
        query.extend([0, 1]);
        query
    }

    #[test]
    fn answers_what_it_knows_and_denies_the_rest() {
        let names = Names::default();
        names.set(&BTreeMap::from([("db.example".to_owned(), vec!["10.1.1.1".parse().unwrap()])]));
        for (name, kind, code, count, end) in [
            ("DB.example", TYPE_A, 0, 1, &[10, 1, 1, 1][..]),
            ("db.example", TYPE_AAAA, 0, 0, &[0, 28, 0, 1]),
            ("other.example", TYPE_A, NO_SUCH_NAME, 0, &[0, 1, 0, 1]),
        ] {
            let answer = names.answer(&query(name, kind)).unwrap();
            assert_eq!(&answer[..2], [7, 9], "{name}: the query's own number");
            assert_eq!((answer[3] & 15, answer[7]), (code, count), "{name}");
            assert!(answer.ends_with(end), "{name}: {answer:?}");
        }
        assert_eq!(names.answer(&[1, 2, 3]), None);
    }
}
