//! Which shapes of steps have a captured graph, and to which one a step is padded. Pure.

use super::step::{StepShape, TILE_ROWS};

/// Longer shares a captured prefill has room for; a step with more runs without a graph.
pub(super) const PREFILL_SEQS: usize = 8;

/// Longest prefill with a captured graph: beyond, launching is hidden behind computing.
const LONGEST_PREFILL: usize = 2048;

/// A step with a prefill is padded to a graph only when it grows by less than this share of its own rows.
const MOST_PADDING: f64 = 0.15;

/// Steps up to this length are padded whatever it adds: launching alone takes longer.
const SHORT_STEP: usize = 256;

/// Decode rows a captured prefill may have beside it, up to all there can be.
const BESIDE_PREFILL: [usize; 3] = [16, 64, 256];

/// Shapes with a graph, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buckets {
    decode: Vec<usize>,
    /// Decode rows beside a prefill, none among them.
    beside: Vec<usize>,
    prefill: Vec<usize>,
}

impl Buckets {
    /// Buckets for at most `max_seqs` sequences and `max_tokens` tokens a step. Padded steps have up to `max_seqs`
    /// more rows, and up to [`PREFILL_SEQS`] more rows of logits.
    pub(super) fn new(max_seqs: usize, max_tokens: usize) -> Self {
        let decode = row_buckets(max_seqs.min(max_tokens));
        let mut prefill = vec![16, 32, 64];
        prefill.extend((128..=LONGEST_PREFILL).step_by(128));
        prefill.retain(|rows| *rows < max_tokens);
        prefill.push(max_tokens);
        prefill.retain(|rows| (2..=LONGEST_PREFILL).contains(rows));
        let most = max_seqs.min(max_tokens - 1);
        let mut beside = vec![0];
        beside.extend(BESIDE_PREFILL.into_iter().filter(|rows| *rows < most));
        beside.extend((most > 0).then_some(most));
        Buckets { decode, beside, prefill }
    }

    /// Every shape to capture.
    pub(super) fn shapes(&self) -> impl Iterator<Item = StepShape> + '_ {
        let decode = self.decode.iter().map(|rows| decode_shape(*rows));
        let beside = |decodes: usize| self.prefill.iter().map(move |rows| prefill_shape(decodes, *rows));
        let prefill = self.beside.iter().flat_map(move |decodes| beside(*decodes));
        decode.chain(prefill)
    }

    /// The captured shape a step of `exact` is padded to, if one is worth it.
    pub(super) fn padded(&self, exact: StepShape) -> Option<StepShape> {
        if exact.prefill_rows == 0 {
            return next(&self.decode, exact.decode_rows).map(decode_shape);
        }
        let shape = prefill_shape(next(&self.beside, exact.decode_rows)?, next(&self.prefill, exact.prefill_rows)?);
        let added = (shape.rows() - exact.rows()) as f64 / exact.rows() as f64;
        let fits = exact.tiles <= shape.tiles && exact.logit_rows <= shape.logit_rows;
        (fits && (shape.rows() <= SHORT_STEP || added < MOST_PADDING)).then_some(shape)
    }
}

fn decode_shape(rows: usize) -> StepShape {
    StepShape { decode_rows: rows, prefill_rows: 0, tiles: 0, logit_rows: rows }
}

fn prefill_shape(decode_rows: usize, rows: usize) -> StepShape {
    StepShape {
        decode_rows,
        prefill_rows: rows,
        tiles: rows.div_ceil(TILE_ROWS) + PREFILL_SEQS,
        logit_rows: decode_rows + PREFILL_SEQS,
    }
}

/// The smallest bucket of at least `rows`.
fn next(buckets: &[usize], rows: usize) -> Option<usize> {
    buckets.get(buckets.partition_point(|bucket| *bucket < rows)).copied()
}

/// 1, 2, 4, then every 8 to 256, every 16 to 512, every 64 to 1,024, every 128; the last is `most` itself.
///
/// These are also the numbers of rows that matrix products are prepared for.
pub(super) fn row_buckets(most: usize) -> Vec<usize> {
    let mut buckets = Vec::new();
    let mut rows = 1;
    while rows < most {
        buckets.push(rows);
        rows += match rows {
            0..4 => rows,
            4 => 4,
            5..256 => 8,
            256..512 => 16,
            512..1024 => 64,
            _ => 128,
        };
    }
    buckets.push(most);
    buckets
}

/// The bucket of `buckets` that holds `rows`, or `rows` itself beyond the last.
pub(super) fn row_bucket(buckets: &[usize], rows: usize) -> usize {
    next(buckets, rows).unwrap_or(rows)
}

/// Pieces the keys of each sequence are cut into for decode attention, so that `rows` sequences of
/// `num_kv_heads` heads keep the device's multiprocessors busy.
///
/// About two blocks a multiprocessor hide memory latency and all run at once (registers allow three); more pieces
/// than 32, or pieces shorter than 64 keys of the longest sequence there can be, would only add partial results to
/// combine.
pub(super) fn num_splits(rows: usize, num_kv_heads: usize, num_multiprocessors: usize, max_model_len: usize) -> usize {
    let wanted = (2 * num_multiprocessors).div_ceil((rows * num_kv_heads).max(1));
    wanted.clamp(1, 32).min(max_model_len.div_ceil(64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_with_their_size_and_end_at_the_limit() {
        assert_eq!(row_buckets(1), [1]);
        assert_eq!(row_buckets(20), [1, 2, 4, 8, 16, 20]);
        let large = row_buckets(2048);
        assert!(large.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(large.iter().filter(|rows| **rows <= 256).count(), 35);
        assert_eq!(row_bucket(&large, 257), 272);
        assert_eq!(row_bucket(&large, 2048), 2048);
    }

    #[test]
    fn decodes_go_to_the_next_bucket() {
        let buckets = Buckets::new(256, 2048);
        let exact = StepShape { decode_rows: 9, prefill_rows: 0, tiles: 0, logit_rows: 9 };
        assert_eq!(buckets.padded(exact), Some(decode_shape(16)));
        let beyond = StepShape { decode_rows: 257, ..exact };
        assert_eq!(buckets.padded(beyond), None);
    }

    #[test]
    fn prefills_are_padded_only_when_it_costs_little() {
        let buckets = Buckets::new(256, 8192);
        let of = |rows: usize| StepShape {
            decode_rows: 0,
            prefill_rows: rows,
            tiles: rows.div_ceil(TILE_ROWS),
            logit_rows: 1,
        };
        let padded = |rows: usize| buckets.padded(of(rows)).map(|shape| shape.prefill_rows);
        assert_eq!(padded(100), Some(128), "short ones always");
        assert_eq!(padded(1000), Some(1024));
        assert_eq!(padded(700), Some(768));
        assert_eq!(padded(260), None, "384 rows for 260");
        assert_eq!(padded(5000), None, "longer than any graph");
        assert_eq!(buckets.padded(StepShape { logit_rows: 9, ..of(100) }), None, "more sequences than it has room for");
        let mixed = |decode_rows: usize, rows: usize| {
            buckets.padded(StepShape { decode_rows, logit_rows: decode_rows + 1, ..of(rows) })
        };
        assert_eq!(mixed(20, 1000), Some(prefill_shape(64, 1024)));
        assert_eq!(mixed(20, 100), Some(prefill_shape(64, 128)));
        assert_eq!(mixed(70, 300), None, "640 rows for 370");
        assert_eq!(mixed(250, 2000), Some(prefill_shape(256, 2048)));
    }

    #[test]
    fn every_captured_shape_is_its_own_padding() {
        let buckets = Buckets::new(200, 300);
        for shape in buckets.shapes() {
            assert_eq!(buckets.padded(shape), Some(shape));
        }
    }

    #[test]
    fn splits_fill_the_device_and_stop_when_it_is_full() {
        assert_eq!(num_splits(1, 8, 132, 8192), 32);
        assert_eq!(num_splits(8, 8, 132, 8192), 5);
        assert_eq!(num_splits(256, 8, 132, 8192), 1);
        assert_eq!(num_splits(1, 8, 132, 100), 2, "no piece shorter than 64 keys");
    }
}
