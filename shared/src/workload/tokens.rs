//! Prompts made of random token ids, for requests of which only lengths and block hashes are known.

use crate::random::Stream;

/// Token ids for a request of which only the length is known: uniform over `0..vocab_size`, the
/// same for the same seed and request whatever the rest of the workload is.
pub fn synthetic_prompt(seed: u64, request_id: u32, num_tokens: u32, vocab_size: u32) -> Vec<u32> {
    let mut stream = Stream::new(seed, &format!("prompt_tokens/{request_id}"));
    (0..num_tokens).map(|_| stream.below(u64::from(vocab_size)) as u32).collect()
}

/// The same where block hashes are known: equal hashes become equal tokens, so that prompts share what
/// the trace says they share. Tokens beyond the last hash are the request's own.
pub fn synthetic_prompt_of_blocks(
    seed: u64,
    request_id: u32,
    (block_tokens, hash_ids): (u32, &[u64]),
    num_tokens: u32,
    vocab_size: u32,
) -> Vec<u32> {
    let mut tokens = Vec::with_capacity(num_tokens as usize);
    for hash in hash_ids {
        let left = num_tokens.saturating_sub(tokens.len() as u32).min(block_tokens);
        let mut stream = Stream::new(seed, &format!("block_tokens/{hash}"));
        tokens.extend((0..left).map(|_| stream.below(u64::from(vocab_size)) as u32));
    }
    let left = num_tokens - tokens.len() as u32;
    tokens.extend(synthetic_prompt(seed, request_id, left, vocab_size));
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_prompts_depend_on_seed_and_request_alone() {
        let prompt = synthetic_prompt(1, 7, 100, 151_643);
        assert_eq!(prompt.len(), 100);
        assert!(prompt.iter().all(|token| *token < 151_643));
        assert_eq!(synthetic_prompt(1, 7, 40, 151_643), prompt[..40]);
        assert_ne!(synthetic_prompt(1, 8, 100, 151_643), prompt);
        assert_ne!(synthetic_prompt(2, 7, 100, 151_643), prompt);
    }

    #[test]
    fn equal_block_hashes_are_equal_tokens() {
        let prompt = |id: u32, hashes: &[u64], num: u32| synthetic_prompt_of_blocks(1, id, (16, hashes), num, 151_643);
        let (first, second) = (prompt(0, &[5, 6, 7], 40), prompt(9, &[5, 6, 8], 60));
        assert_eq!((first.len(), second.len()), (40, 60));
        assert_eq!(first[..32], second[..32]);
        assert_ne!(first[32..40], second[32..40]);
        assert_eq!(second[48..], synthetic_prompt(1, 9, 12, 151_643));
        assert_eq!(prompt(3, &[], 20), synthetic_prompt(1, 3, 20, 151_643));
    }
}
