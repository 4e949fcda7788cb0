//! The inputs: made of a fixed seed, so that they are the same everywhere.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// Goroutines of a scheddetail dump.
const GOROUTINES: u64 = 20_000;

/// Lines of a log for each line of the runtime.
const LINES_PER_TRACE: u64 = 50;

/// Pseudo-random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// A service's log with schedtrace and gctrace lines in it.
pub(crate) fn logs(path: &Path, size: usize) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut random, mut written, mut n) = (Random(1), 0, 0);
    let mut line = Vec::new();
    while written < size {
        n += 1;
        line.clear();
        let trace = n / LINES_PER_TRACE;
        match n % LINES_PER_TRACE {
            0 if trace.is_multiple_of(2) => sched(&mut line, trace, &mut random)?,
            0 => gc(&mut line, trace, &mut random)?,
            _ => ordinary(&mut line, n, &mut random)?,
        }
        written += line.len();
        out.write_all(&line)?;
    }
    out.flush()
}

/// About 110 bytes, in the three forms that most Go services log in.
fn ordinary(out: &mut Vec<u8>, n: u64, random: &mut Random) -> Result<()> {
    let (ms, id, took) = (n % 1000, random.below(1_000_000), random.below(900));
    let (minute, second) = (n / 60_000 % 60, n / 1000 % 60);
    match random.below(3) {
        0 => writeln!(
            out,
            "2026/11/21 10:{minute:02}:{second:02}.{ms:03}000 handler.go:142: request served method=GET path=/orders/{id} status=200 took={took}ms"
        ),
        1 => writeln!(
            out,
            r#"{{"time":"2026-11-21T10:{minute:02}:{second:02}.{ms:03}Z","level":"INFO","msg":"order stored","order":{id},"status":200,"took_ms":{took}}}"#
        ),
        _ => writeln!(
            out,
            "time=2026-11-21T10:{minute:02}:{second:02}.{ms:03}Z level=info msg=\"cache refreshed\" shard={} id={id} hit=true took={took}ms",
            n % 17
        ),
    }
}

fn sched(out: &mut Vec<u8>, n: u64, random: &mut Random) -> Result<()> {
    let idle = random.below(5);
    write!(
        out,
        "SCHED {}ms: gomaxprocs=4 idleprocs={idle} threads={} spinningthreads={} needspinning=0 idlethreads={} runqueue={} [ ",
        n * 1000,
        7 + random.below(6),
        random.below(2),
        random.below(5),
        random.below(3),
    )?;
    for _ in 0..4 {
        write!(out, "{} ", if idle == 0 { random.below(40) } else { 0 })?;
    }
    writeln!(out, "] schedticks=[ {} {} {} {} ]", n * 977, n * 811, n * 640, n * 533)
}

fn gc(out: &mut Vec<u8>, n: u64, random: &mut Random) -> Result<()> {
    let (live, forced) = (40 + random.below(60), random.below(20) == 0);
    writeln!(
        out,
        "gc {} @{}.{:03}s {}%: 0.0{}+{}.{}+0.00{} ms clock, 0.{}+0.{}/{}.{}/0.{}+0.0{} ms cpu, {}->{}->{live} MB, {} MB goal, 0 MB stacks, {} MB globals, 4 P{}",
        n / 2 + 1,
        n,
        random.below(1000),
        1 + random.below(4),
        10 + random.below(89),
        1 + random.below(30),
        1 + random.below(9),
        1 + random.below(9),
        10 + random.below(89),
        10 + random.below(89),
        1 + random.below(30),
        1 + random.below(9),
        1 + random.below(9),
        10 + random.below(89),
        live * 19 / 10,
        live * 2,
        live * 2,
        random.below(3),
        if forced { " (forced)" } else { "" },
    )
}

/// Goroutines of each 1,000 by status and wait reason: every dump has the same numbers, in
/// another order.
const MIX: [(u64, &str); 14] = [
    (310, "4(IO wait)"),
    (260, "4(select)"),
    (150, "4(chan receive)"),
    (60, "4(sync.Mutex.Lock)"),
    (50, "4(sleep)"),
    (40, "4(sync.WaitGroup.Wait)"),
    (30, "4(chan send)"),
    (20, "4(sync.Cond.Wait)"),
    (10, "4(select (no cases))"),
    (5, "4(GC worker (idle))"),
    (5, "3()"),
    (10, "2()"),
    (20, "1()"),
    (30, "6()"),
];

/// The stderr of a service with GODEBUG=scheddetail=1, as Go 1.27 writes it.
pub(crate) fn detail(path: &Path, size: usize) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut kinds: Vec<&str> = MIX
        .iter()
        .flat_map(|(share, kind)| {
            std::iter::repeat_n(*kind, usize::try_from(share * GOROUTINES / 1000).unwrap_or(0))
        })
        .collect();
    let mut random = Random(1);
    let (mut written, mut dump) = (0, Vec::new());
    for n in 0.. {
        shuffle(&mut kinds, &mut random);
        dump.clear();
        block(&mut dump, n, &kinds, &mut random)?;
        if n > 0 && written + dump.len() > size {
            break;
        }
        written += dump.len();
        out.write_all(&dump)?;
    }
    out.flush()
}

fn shuffle(kinds: &mut [&str], random: &mut Random) {
    for at in (1..kinds.len()).rev() {
        let other = random.below(at as u64 + 1);
        kinds.swap(at, usize::try_from(other).unwrap_or(0));
    }
}

fn block(out: &mut Vec<u8>, n: u64, kinds: &[&str], random: &mut Random) -> Result<()> {
    writeln!(
        out,
        "SCHED {}ms: gomaxprocs=4 idleprocs={} threads=9 spinningthreads=0 needspinning=0 idlethreads=3 runqueue={} gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=false",
        n * 1000,
        random.below(4),
        random.below(9),
    )?;
    for p in 0..4 {
        let status = u64::from(p > 0);
        writeln!(
            out,
            "  P{p}: status={status} schedtick={} syscalltick={} m={} runqsize={} gfreecnt={} timerslen=3",
            n * 9771 + p,
            n * 1131 + p,
            if status == 1 { p.to_string() } else { "nil".into() },
            random.below(20),
            random.below(60),
        )?;
    }
    for m in (0..9).rev() {
        writeln!(
            out,
            "  M{m}: p={} curg={} mallocing=0 throwing=0 preemptoff= locks={} dying=0 spinning=false blocked={} lockedg=nil",
            if (1..4).contains(&m) { m.to_string() } else { "nil".into() },
            if (1..4).contains(&m) { (m * 31).to_string() } else { "nil".into() },
            random.below(2),
            m >= 4,
        )?;
    }
    for (id, kind) in kinds.iter().enumerate() {
        writeln!(out, "  G{}: status={kind} m=nil lockedm=nil", id * 7 + 1)?;
    }
    Ok(())
}
