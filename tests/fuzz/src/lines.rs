//! `frame::lines`: wherever the chunks are cut, the lines, the counts and the rest are those of one
//! chunk.

use godebug_exporter::frame::lines::{Counted, Lines};

use crate::input::{Input, Output};
use crate::seeds;

const CUTS_MAX: usize = 16;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let max = input.below(300);
    let cuts: Vec<usize> = (0..input.below(CUTS_MAX)).map(|_| input.below(1 << 16)).collect();
    let text = input.rest();
    assert_eq!(read(max, &[text]), read(max, &chunks(text, cuts)));
    let (lines, counted, _) = read(max, &[text]);
    let ended = text.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(counted.lines, ended as u64);
    assert!(lines.iter().all(|line| line.len() <= max && !line.contains(&b'\n')));
    assert!(lines.len() as u64 <= counted.lines);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let text = |bytes: &[u8]| bytes[..bytes.len().min(1500)].to_vec();
    seeds::logs()
        .iter()
        .map(|log| Output::default().below(150).below(2).below(100).below(777).rest(&text(log)))
        .collect()
}

pub fn chunks(text: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
    for cut in &mut cuts {
        *cut = (*cut).min(text.len());
    }
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

/// Lines given out, what was counted, and the beginning of a line that has no end.
type Read = (Vec<Vec<u8>>, Counted, Option<Vec<u8>>);

fn read(max: usize, chunks: &[&[u8]]) -> Read {
    let (mut lines, mut out, mut total) = (Lines::new(max), Vec::new(), Counted::default());
    for chunk in chunks {
        let counted = lines.push(chunk, |line: &[u8]| out.push(line.to_vec()));
        total.lines += counted.lines;
        total.too_long += counted.too_long;
        assert!(lines.pending() <= max);
    }
    (out, total, lines.cut())
}
