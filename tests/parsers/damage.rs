//! Random damage to files: bits, bytes, lines and cells.

use super::*;

/// Something done to a file.
#[derive(Clone, Debug)]
pub enum Damage {
    FlipBit(Index, u8),
    SetByte(Index, u8),
    Truncate(Index),
    DeleteLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    SwapCells(Index, Index, Index),
    SetCell(Index, Index, String),
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    prop_oneof![
        1 => (index(), 0u8..8).prop_map(|(at, bit)| Damage::FlipBit(at, bit)),
        1 => (index(), select(b"\",\n\r\0 -.e9{}[]:\xff".to_vec())).prop_map(|(at, byte)| Damage::SetByte(at, byte)),
        1 => index().prop_map(Damage::Truncate),
        1 => index().prop_map(Damage::DeleteLine),
        1 => index().prop_map(Damage::RepeatLine),
        1 => (index(), index()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
        2 => (index(), index(), index()).prop_map(|(line, a, b)| Damage::SwapCells(line, a, b)),
        5 => (index(), index(), cell()).prop_map(|(line, at, cell)| Damage::SetCell(line, at, cell)),
    ]
}

/// A cell as no table should have it: at the edge of every integer type, or not a number at all.
pub fn cell() -> impl Strategy<Value = String> {
    const EDGES: &[&str] = &[
        "",
        "0",
        "1",
        "-1",
        "-0",
        "+5",
        "1.0",
        "1.5",
        "1e3",
        "1e400",
        "NaN",
        "inf",
        "-inf",
        "0x10",
        " 7 ",
        "\"",
        "\"\"",
        "\"7",
        "4294967295",
        "4294967296",
        "9007199254740993",
        "92233720368547758",
        "92233720368547759",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999999999999999",
        "00000000000000000000000000000000000000000000000009",
        "7.0000000000000000000000000000000000000000000001",
        "ok",
        "error",
        "fidelio",
        "v9",
        "null",
        "\u{feff}1",
        "٣",
        "1\u{0}",
    ];
    prop_oneof![3 => select(EDGES).prop_map(str::to_owned), 1 => any::<u64>().prop_map(|value| value.to_string())]
}

pub fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Changes the cells of one line, which JSON has too: what lies between commas.
pub fn with_cells(bytes: &[u8], line: Index, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut lines = lines(bytes);
    let line = line.index(lines.len());
    let text = lines[line].strip_suffix(b"\n").unwrap_or(&lines[line]);
    let mut cells: Vec<Vec<u8>> = text.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
    change(&mut cells);
    lines[line] = cells.join(&b","[..]);
    lines[line].push(b'\n');
    lines.concat()
}

pub fn apply(damage: &Damage, mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let mut all = lines(&bytes);
    match damage {
        Damage::FlipBit(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        }
        Damage::SetByte(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            bytes
        }
        Damage::Truncate(at) => {
            bytes.truncate(at.index(bytes.len()));
            bytes
        }
        Damage::DeleteLine(at) => {
            all.remove(at.index(all.len()));
            all.concat()
        }
        Damage::RepeatLine(at) => {
            let at = at.index(all.len());
            all.insert(at, all[at].clone());
            all.concat()
        }
        Damage::SwapLines(a, b) => {
            let (a, b) = (a.index(all.len()), b.index(all.len()));
            all.swap(a, b);
            all.concat()
        }
        Damage::SwapCells(line, a, b) => with_cells(&bytes, *line, |cells| {
            let (a, b) = (a.index(cells.len()), b.index(cells.len()));
            cells.swap(a, b);
        }),
        Damage::SetCell(line, at, cell) => with_cells(&bytes, *line, |cells| {
            let at = at.index(cells.len());
            cells[at] = cell.clone().into_bytes();
        }),
    }
}

pub fn damaged(good: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    damages.iter().fold(good, |bytes, damage| apply(damage, bytes))
}
