//! The real program, as a process of its own, and what the kernel says of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::outcome::Outcome;

/// Of /proc/PID/stat: USER_HZ is 100 on every Linux that there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A page that takes longer does not come any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon at work, until this is dropped.
pub(crate) struct Exporter {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Exporter {
    /// Starts it with a config that needs no `listen`.
    pub(crate) fn start(config: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("config.yaml");
        fs::write(&file, format!("listen: 127.0.0.1:0\n{config}"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_godebug-exporter"))
            .args([Path::new("run"), "--config".as_ref(), &file])
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().ok_or("no log")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                return Err("the exporter ended".into());
            }
            if let Some((_, rest)) = line.split_once("message=listening address=") {
                break rest.split(' ').next().unwrap_or_default().trim().to_owned();
            }
        };
        // Its log must have a reader.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(Self { child, address, _folder: folder })
    }

    /// The body of an answer; `headers`: whole lines.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Outcome<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n{headers}\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no answer")?;
        if !answer.starts_with(b"HTTP/1.0 200") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
        Ok(answer.split_off(end + 4))
    }

    /// All series of each metric, whose values are whole numbers, added up; of one moment.
    pub(crate) fn sums<const N: usize>(&self, metrics: [&str; N]) -> Outcome<[u64; N]> {
        let query = metrics.map(|metric| format!("name[]={metric}")).join("&");
        let page = String::from_utf8(self.get(&format!("/metrics?{query}"), "")?)?;
        let mut sums = [0; N];
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap_or_default();
            let name = series.split('{').next().unwrap_or_default();
            let sum = sums.iter_mut().zip(metrics).find(|(_, metric)| *metric == name);
            *sum.ok_or("nobody asked for that")?.0 += value.parse::<u64>()?;
        }
        Ok(sums)
    }

    /// What is in its folder of /proc.
    pub(crate) fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// Of user and system.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        let fields = stat.rsplit_once(')').ok_or("no stat")?.1;
        // utime and stime: fields 14 and 15 (proc(5)).
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
    }

    /// A number of /proc/PID/status: KiB, or a count.
    pub(crate) fn status(&self, key: &str) -> Outcome<u32> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find(|line| line.starts_with(key)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
