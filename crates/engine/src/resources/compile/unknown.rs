//! Finding fields of a policy that this code does not know.

use lateen_mesh::v1;
use prost::Message;

/// Field number of `Resource.policy`.
const POLICY: u64 = 9;

/// Whether re-encoding a decoded policy gives as many bytes as came: a field that is not known was
/// left out on decoding and makes it shorter. Bytes that were written in any other way than ours
/// count as not understood, too, which errs on the safe side.
pub(super) fn all_known(resource: &[u8], policy: &v1::AuthorizationPolicy) -> bool {
    policy_len(resource) == Some(policy.encoded_len())
}

/// Length of the one policy in a resource; `None`: not exactly one, or not readable.
fn policy_len(mut rest: &[u8]) -> Option<usize> {
    let mut found = None;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let len = match key & 7 {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(len..)?;
        if key >> 3 == POLICY && found.replace(len).is_some() {
            return None;
        }
    }
    found
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
