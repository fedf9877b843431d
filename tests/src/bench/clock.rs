//! Counting instructions: the machine's time-stamp counter, which the emulator advances by one
//! for each instruction that it executes.

use anyhow::bail;

/// Batches of which the median is taken.
const BATCHES: usize = 101;

/// How often the median is taken anew, until two in a row agree.
const ROUNDS: usize = 20;

/// Two figures agree when they differ by less than one in so many.
const AGREE: u64 = 500;

/// Instructions executed since some moment.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: reads a register that every x86-64 processor has.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Instructions of one call of `operation`: the median over batches of `calls` calls, so that
/// the timer's interrupts do not count. `before` and `after` each batch are not counted.
pub fn per_call(
    calls: u64,
    mut before: impl FnMut() -> anyhow::Result<()>,
    mut operation: impl FnMut(u64),
    mut after: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let empty = median(
        calls,
        &mut || Ok(()),
        &mut |call| {
            core::hint::black_box(call);
        },
        &mut || Ok(()),
    )?;
    let mut last = 0;
    for _ in 0..ROUNDS {
        let batch = median(calls, &mut before, &mut operation, &mut after)?;
        let figure = batch.saturating_sub(empty).div_ceil(calls);
        if figure.abs_diff(last) * AGREE <= figure {
            return Ok(figure);
        }
        last = figure;
    }
    bail!("the figures do not settle; the last was {last}")
}

/// The median of a few counts, in instructions.
pub fn median_of(mut counts: Vec<u64>) -> u64 {
    counts.sort_unstable();
    counts[counts.len() / 2]
}

fn median(
    calls: u64,
    before: &mut impl FnMut() -> anyhow::Result<()>,
    operation: &mut impl FnMut(u64),
    after: &mut impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut counts = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        before()?;
        let start = now();
        for call in 0..calls {
            operation(call);
        }
        counts.push(now() - start);
        after()?;
    }
    Ok(median_of(counts))
}
