//! What one forward pass is, in numbers, and the words the device reads to know it. Pure: no device here.

use super::error::GpuError;

/// Query rows one block of the prefill attention computes.
pub(super) const TILE_ROWS: usize = 64;

/// The part of one sequence that a step computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share<'a> {
    /// Token ids, at least one.
    pub(super) tokens: Vec<u32>,
    /// Tokens of the sequence before these.
    pub(super) start: usize,
    /// Its KV blocks in order.
    pub(super) block_table: &'a [u32],
    /// Its last row's logits are wanted.
    pub(super) emits_token: bool,
}

/// Rows of a step by kind. A captured graph is of one shape; steps are padded to it.
///
/// Rows come in this order: one for each share of a single token, then the tokens of the longer shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepShape {
    /// Shares of a single token.
    pub decode_rows: usize,
    /// Tokens of all longer shares.
    pub prefill_rows: usize,
    /// Pieces of at most 64 rows the longer shares are cut into.
    pub tiles: usize,
    /// Rows whose logits are wanted.
    pub logit_rows: usize,
}

impl StepShape {
    /// The shape of these shares, without padding.
    pub(super) fn of(shares: &[Share<'_>]) -> Self {
        let mut shape = StepShape::default();
        for share in shares {
            match share.tokens.len() {
                1 => shape.decode_rows += 1,
                rows => {
                    shape.prefill_rows += rows;
                    shape.tiles += rows.div_ceil(TILE_ROWS);
                }
            }
            shape.logit_rows += usize::from(share.emits_token);
        }
        shape
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.decode_rows + self.prefill_rows
    }
}

/// Where each list lies among a step's words. It depends on the shape only, so a captured graph can keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Four words a tile: first row, rows, position of the first row, start in `block_ids`.
    pub(super) tiles: usize,
    /// A token id a row.
    pub(super) ids: usize,
    /// A position in its sequence a row.
    pub(super) positions: usize,
    /// A place in the KV cache a row, −1 for padding.
    pub(super) slots: usize,
    /// The row of each wanted row of logits, −1 for padding.
    pub(super) logit_rows: usize,
    /// A start in `block_ids` a decode row.
    pub(super) table_starts: usize,
    /// Blocks of all sequences, one after the other: last, because its length is not the shape's.
    pub(super) block_ids: usize,
}

impl Layout {
    pub(super) fn of(shape: StepShape) -> Self {
        // Tiles come first: they are read 16 bytes at a time.
        let ids = 4 * shape.tiles;
        let positions = ids + shape.rows();
        let slots = positions + shape.rows();
        let logit_rows = slots + shape.rows();
        let table_starts = logit_rows + shape.logit_rows;
        Layout {
            tiles: 0,
            ids,
            positions,
            slots,
            logit_rows,
            table_starts,
            block_ids: table_starts + shape.decode_rows,
        }
    }
}

/// Writes the words of `shares`, padded to `shape`, and returns how many there are.
///
/// The wanted rows of logits are in the order of the shares that want them.
///
/// # Errors
/// When the shares do not fit into the shape or the words.
pub(super) fn pack(
    shares: &[Share<'_>],
    shape: StepShape,
    block_size: usize,
    words: &mut [i32],
) -> Result<usize, GpuError> {
    let exact = StepShape::of(shares);
    let fits = exact.decode_rows <= shape.decode_rows
        && exact.prefill_rows <= shape.prefill_rows
        && exact.tiles <= shape.tiles
        && exact.logit_rows <= shape.logit_rows;
    let layout = Layout::of(shape);
    let num_blocks: usize = shares.iter().map(|share| share.block_table.len()).sum();
    let used = layout.block_ids + num_blocks;
    if !fits || used > words.len() {
        return Err(GpuError::Step(format!(
            "a step of {exact:?} with {num_blocks} blocks does not fit into {shape:?}"
        )));
    }
    let mut writer = Writer { words: &mut words[..used], layout, block_size };
    writer.clear();
    let (mut decode_row, mut prefill_row) = (0, shape.decode_rows);
    let (mut table_start, mut logit_row) = (0, 0);
    let mut tiles = Vec::with_capacity(exact.tiles);
    for share in shares {
        let is_decode = share.tokens.len() == 1;
        let first = if is_decode { &mut decode_row } else { &mut prefill_row };
        writer.share(share, *first, table_start)?;
        if is_decode {
            writer.words[layout.table_starts + *first] = table_start as i32;
        } else {
            tiles.extend(tiles_of(share, *first, table_start));
        }
        *first += share.tokens.len();
        if share.emits_token {
            writer.words[layout.logit_rows + logit_row] = (*first - 1) as i32;
            logit_row += 1;
        }
        table_start += share.block_table.len();
    }
    // The tiles with most keys first: a long one begun last would be waited for.
    tiles.sort_by_key(|[_, rows, position, _]| std::cmp::Reverse(position + rows));
    writer.words[..4 * tiles.len()].copy_from_slice(tiles.as_flattened());
    Ok(used)
}

fn tiles_of(share: &Share<'_>, first_row: usize, table_start: usize) -> impl Iterator<Item = [i32; 4]> {
    let (rows, start) = (share.tokens.len(), share.start);
    (0..rows).step_by(TILE_ROWS).map(move |done| {
        let size = TILE_ROWS.min(rows - done);
        [first_row + done, size, start + done, table_start].map(|word| word as i32)
    })
}

struct Writer<'a> {
    words: &'a mut [i32],
    layout: Layout,
    block_size: usize,
}

impl Writer<'_> {
    /// Padding everywhere: token 0 at position 0 without a place, no tile, no wanted row.
    fn clear(&mut self) {
        let Layout { slots, table_starts, .. } = self.layout;
        self.words[..slots].fill(0);
        self.words[slots..table_starts].fill(-1);
        self.words[table_starts..].fill(0);
    }

    /// The rows of one share from `first` on, and its blocks.
    fn share(&mut self, share: &Share<'_>, first: usize, table_start: usize) -> Result<(), GpuError> {
        let Layout { ids, positions, slots, block_ids, .. } = self.layout;
        let blocks = share.block_table.iter().map(|block| *block as i32);
        self.words[block_ids + table_start..].iter_mut().zip(blocks).for_each(|(word, block)| *word = block);
        for (index, token) in share.tokens.iter().enumerate() {
            let (row, position) = (first + index, share.start + index);
            let Some(block) = share.block_table.get(position / self.block_size) else {
                let (tokens, blocks) = (share.start + share.tokens.len(), share.block_table.len());
                return Err(GpuError::Step(format!("a sequence of {tokens} tokens in {blocks} blocks")));
            };
            self.words[ids + row] = *token as i32;
            self.words[positions + row] = position as i32;
            self.words[slots + row] = (*block as usize * self.block_size + position % self.block_size) as i32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share<'a>(tokens: &[u32], start: usize, block_table: &'a [u32], emits_token: bool) -> Share<'a> {
        Share { tokens: tokens.to_vec(), start, block_table, emits_token }
    }

    #[test]
    fn rows_are_decodes_first_and_padding_has_no_place() {
        let shares = [share(&[7, 8, 9], 3, &[2, 5], true), share(&[4], 4, &[1, 3], true), share(&[6], 0, &[9], false)];
        let shape = StepShape { decode_rows: 4, prefill_rows: 5, tiles: 2, logit_rows: 3 };
        let mut words = vec![77; 100];
        let used = pack(&shares, shape, 4, &mut words).unwrap();
        let layout = Layout::of(shape);
        let list = |start: usize, len: usize| &words[start..start + len];
        assert_eq!(list(layout.tiles, 8), [4, 3, 3, 0, 0, 0, 0, 0], "first row 4 after the padded decodes");
        assert_eq!(list(layout.ids, 9), [4, 6, 0, 0, 7, 8, 9, 0, 0]);
        assert_eq!(list(layout.positions, 9), [4, 0, 0, 0, 3, 4, 5, 0, 0]);
        // Position 3 is the last slot of block 2, position 4 the first of block 5.
        assert_eq!(list(layout.slots, 9), [12, 36, -1, -1, 11, 20, 21, -1, -1]);
        assert_eq!(list(layout.logit_rows, 3), [6, 0, -1], "in the order of the shares");
        assert_eq!(list(layout.table_starts, 4), [2, 4, 0, 0]);
        assert_eq!(words[layout.block_ids..used], [2, 5, 1, 3, 9]);
    }

    #[test]
    fn long_shares_are_cut_into_tiles_and_the_longest_come_first() {
        let tokens = vec![1; 130];
        let blocks = [0; 40];
        let shares = [share(&tokens, 0, &blocks, false), share(&tokens[..2], 500, &blocks, true)];
        let exact = StepShape::of(&shares);
        assert_eq!(exact, StepShape { decode_rows: 0, prefill_rows: 132, tiles: 4, logit_rows: 1 });
        let mut words = vec![0; 1000];
        pack(&shares, exact, 16, &mut words).unwrap();
        let tiles: Vec<&[i32]> = words[..16].chunks(4).collect();
        assert_eq!(tiles, [[130, 2, 500, 40], [128, 2, 128, 0], [64, 64, 64, 0], [0, 64, 0, 0]]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shares = [share(&[1], 0, &[0], true), share(&[2], 0, &[1], true)];
        let small = StepShape { decode_rows: 1, ..StepShape::default() };
        assert!(pack(&shares, small, 4, &mut [0; 100]).is_err());
        let exact = StepShape::of(&shares);
        assert!(pack(&shares, exact, 4, &mut [0; 5]).is_err(), "too few words");
        let beyond = [share(&[1], 4, &[0], true)];
        let error = pack(&beyond, StepShape::of(&beyond), 4, &mut [0; 100]).unwrap_err();
        assert_eq!(error.to_string(), "a sequence of 5 tokens in 1 blocks");
    }
}
