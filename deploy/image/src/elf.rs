//! What an ELF program or library says about itself (System V ABI, chapters 4 and 5), as far as packing
//! it asks: 64 bits, little endian.

/// What was read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// For which processor, as OCI images name it: `amd64`, `arm64`.
    pub architecture: &'static str,
    /// The program that loads it (`PT_INTERP`); `None` for libraries and static programs.
    pub interpreter: Option<String>,
    /// Names of the libraries that it needs (`DT_NEEDED`), in order.
    pub needed: Vec<String>,
    /// Folders that it names for them (`DT_RUNPATH`, `DT_RPATH`), with `$ORIGIN` as written.
    pub run_path: Vec<String>,
}

/// Why a file was not read as ELF.
pub type Problem = &'static str;

const TRUNCATED: Problem = "the ELF file ends too early";

/// The header's size.
const HEADER: usize = 64;

/// Whether the bytes begin as an ELF file does.
#[must_use]
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

impl Elf {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When it is no ELF file of a kind that is packed, or is damaged.
    pub fn parse(file: &[u8]) -> Result<Self, Problem> {
        if !is_elf(file) || file.len() < HEADER {
            return Err("it is no ELF file");
        }
        if file[4..6] != [2, 1] {
            return Err("only ELF files of 64 bits, little endian, are packed");
        }
        let architecture = match u16_at(file, 18)? {
            62 => "amd64",
            183 => "arm64",
            _ => return Err("its processor is neither x86-64 nor AArch64"),
        };
        let segments = segments(file)?;
        let interpreter = match segments.iter().find(|segment| segment.kind == Segment::INTERPRETER)
        {
            Some(segment) => Some(text_at(slice(file, segment.offset, segment.size)?, 0)?),
            None => None,
        };
        let mut elf = Self { architecture, interpreter, needed: Vec::new(), run_path: Vec::new() };
        if let Some(dynamic) = segments.iter().find(|segment| segment.kind == Segment::DYNAMIC) {
            elf.read_dynamic(file, &segments, dynamic)?;
        }
        Ok(elf)
    }

    fn read_dynamic(
        &mut self,
        file: &[u8],
        segments: &[Segment],
        dynamic: &Segment,
    ) -> Result<(), Problem> {
        const NEEDED: u64 = 1;
        const STRINGS: u64 = 5;
        const RPATH: u64 = 15;
        const RUNPATH: u64 = 29;
        let table = slice(file, dynamic.offset, dynamic.size)?;
        let entries: Vec<(u64, u64)> = (0..table.len() / 16)
            .map(|index| Ok((u64_at(table, index * 16)?, u64_at(table, index * 16 + 8)?)))
            .take_while(|entry| !matches!(entry, Ok((0, _))))
            .collect::<Result<_, Problem>>()?;
        let Some((_, address)) = entries.iter().find(|(tag, _)| *tag == STRINGS) else {
            return Ok(());
        };
        let strings = segments
            .iter()
            .filter(|segment| segment.kind == Segment::LOAD)
            .find_map(|segment| segment.offset_of(*address))
            .ok_or("its strings are in no segment")?;
        let strings = file.get(strings..).ok_or(TRUNCATED)?;
        for (tag, value) in entries {
            let text = || text_at(strings, index(value)?);
            match tag {
                NEEDED => self.needed.push(text()?),
                RPATH | RUNPATH => self.run_path.extend(text()?.split(':').map(str::to_owned)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A program header.
#[derive(Debug)]
struct Segment {
    kind: u32,
    offset: usize,
    address: u64,
    size: usize,
}

impl Segment {
    const LOAD: u32 = 1;
    const DYNAMIC: u32 = 2;
    const INTERPRETER: u32 = 3;

    /// Where in the file a virtual address is.
    fn offset_of(&self, address: u64) -> Option<usize> {
        let within = usize::try_from(address.checked_sub(self.address)?).ok()?;
        (within < self.size).then(|| self.offset.checked_add(within)).flatten()
    }
}

fn segments(file: &[u8]) -> Result<Vec<Segment>, Problem> {
    let table = index(u64_at(file, 32)?)?;
    let size = usize::from(u16_at(file, 54)?);
    let count = usize::from(u16_at(file, 56)?);
    (0..count)
        .map(|number| {
            let start = number.checked_mul(size).and_then(|it| it.checked_add(table));
            let header = slice(file, start.ok_or(TRUNCATED)?, 56)?;
            Ok(Segment {
                kind: u32::from_le_bytes(array(header, 0)?),
                offset: index(u64_at(header, 8)?)?,
                address: u64_at(header, 16)?,
                size: index(u64_at(header, 32)?)?,
            })
        })
        .collect()
}

fn index(value: u64) -> Result<usize, Problem> {
    usize::try_from(value).map_err(|_| TRUNCATED)
}

fn slice(bytes: &[u8], offset: usize, size: usize) -> Result<&[u8], Problem> {
    bytes.get(offset..).and_then(|rest| rest.get(..size)).ok_or(TRUNCATED)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Problem> {
    slice(bytes, offset, N)?.try_into().map_err(|_| TRUNCATED)
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Problem> {
    array(bytes, offset).map(u16::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Result<u64, Problem> {
    array(bytes, offset).map(u64::from_le_bytes)
}

/// The text that begins at an offset and ends before a zero.
fn text_at(bytes: &[u8], offset: usize) -> Result<String, Problem> {
    let rest = bytes.get(offset..).ok_or(TRUNCATED)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or(TRUNCATED)?;
    std::str::from_utf8(&rest[..end]).map(str::to_owned).map_err(|_| "a name in it is no UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_program_needs_the_c_library_and_a_loader() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&own).unwrap();
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.so")), "{elf:?}");
        assert!(elf.interpreter.is_some_and(|path| path.contains("/ld-")));
        assert_eq!(
            elf.architecture,
            match std::env::consts::ARCH {
                "x86_64" => "amd64",
                _ => "arm64",
            }
        );
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(Elf::parse(b"#!/bin/sh\n").is_err());
        assert!(Elf::parse(b"\x7fELF").is_err());
        let mut narrow = vec![0; 64];
        narrow[..6].copy_from_slice(b"\x7fELF\x01\x01");
        assert!(Elf::parse(&narrow).is_err());
    }

    proptest! {
        /// Damage is an error, or other names; never a panic.
        #[test]
        fn damage_is_survived(cut in 0usize..4096, at in 0usize..2048, byte in any::<u8>()) {
            let own = std::fs::read("/proc/self/exe").unwrap();
            let mut head = own[..4096.min(own.len())].to_vec();
            head[at] = byte;
            head.truncate(cut);
            let _ = Elf::parse(&head);
        }
    }
}
