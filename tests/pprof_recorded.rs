//! /debug/pprof as real Go programs of many releases printed it (tests/fixtures/pprof), read
//! through the public stations.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use godebug_exporter::aggregate::catalog::METRICS;
use godebug_exporter::config;
use godebug_exporter::export::text;
use godebug_exporter::frame::packets::TraceLines;
use godebug_exporter::parse::pprof::stacks::{Profile, read};
use godebug_exporter::parse::pprof::{PprofError, heap, index};
use godebug_exporter::pipeline::Pipeline;
use godebug_exporter::telemetry::metrics::Metrics;

use crate::support::metrics::Page;

/// Name of the release, and the body.
fn recorded(what: &str, at_least: usize) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pprof");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let (release, kind) = path.file_stem()?.to_str()?.split_once('-')?;
            (kind == what).then(|| (release.to_owned(), fs::read_to_string(&path).unwrap()))
        })
        .collect();
    files.sort();
    assert!(files.len() >= at_least, "{what}: {}", files.len());
    files
}

/// Goroutines by function, with all frames of their stacks.
fn functions(profile: Profile, body: &str) -> (u64, Vec<(u64, Vec<String>)>) {
    let mut stacks = Vec::new();
    let total = read(profile, body.as_bytes(), &mut |stack| {
        let frames = stack.frames.iter();
        let frames = frames.map(|frame| format!("{}:{}", frame.function, frame.line)).collect();
        stacks.push((stack.count, frames));
    });
    (total.unwrap(), stacks)
}

#[test]
fn goroutines_of_every_release_are_read_to_the_last() {
    for (release, body) in recorded("goroutine", 16) {
        let (total, stacks) = functions(Profile::Goroutine, &body);
        let head = body.lines().next().unwrap();
        assert_eq!(head, format!("goroutine profile: total {total}"), "{release}");
        assert_eq!(stacks.len(), body.matches(" @").count(), "{release}");
        let frames = body.lines().filter(|line| line.starts_with("#\t") && line.contains('+'));
        let found: usize = stacks.iter().map(|(_, frames)| frames.len()).sum();
        assert_eq!(found, frames.count(), "{release}");
        let waiting = |name: &str| -> u64 {
            let is_there = |frames: &[String]| frames.iter().any(|frame| frame.starts_with(name));
            stacks.iter().filter(|(_, frames)| is_there(frames)).map(|(count, _)| count).sum()
        };
        for n in 1..=5 {
            assert_eq!(waiting(&format!("main.leak.func{n}:")), 2, "{release} func{n}");
        }
        assert_eq!(waiting("main.main:"), 1, "{release}");
    }
}

#[test]
fn profiler_labels_are_read_where_they_are_printed() {
    for (release, body) in recorded("goroutine", 16) {
        let mut labels = Vec::new();
        read(Profile::Goroutine, body.as_bytes(), &mut |stack| {
            labels.extend(stack.labels.to_vec())
        })
        .unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected: &[_] = match body.contains("# labels") {
            true => &[pair("kind", "worker"), pair("tenant", "a b")],
            false => &[],
        };
        assert_eq!(labels, expected, "{release}");
    }
}

#[test]
fn threads_of_every_release_are_read() {
    for (release, body) in recorded("threadcreate", 16) {
        let (total, stacks) = functions(Profile::ThreadCreate, &body);
        assert!((5..=9).contains(&total) && stacks.len() == 1, "{release}: {total}");
    }
}

#[test]
fn leaked_goroutines_are_read_and_a_404_is_no_profile() {
    for (release, body) in recorded("goroutineleak", 3) {
        if release == "go1.26" {
            let read = read(Profile::GoroutineLeak, body.as_bytes(), &mut |_| {});
            assert_eq!(read, Err(PprofError::Other("goroutineleak profile")));
            continue;
        }
        let (total, stacks) = functions(Profile::GoroutineLeak, &body);
        assert_eq!(total, if release == "go1.27" { 10 } else { 11 }, "{release}");
        assert!(stacks.iter().all(|(_, frames)| !frames.iter().any(|frame| frame == "main.main")));
        let leaks =
            |frames: &[String]| frames.iter().any(|frame| frame.starts_with("main.leak.func"));
        assert_eq!(stacks.iter().filter(|(_, frames)| leaks(frames)).count(), 5, "{release}");
    }
}

#[test]
fn the_heap_profile_ends_with_memstats() {
    for (release, body) in recorded("heap", 5) {
        let stats = heap::memstats(body.as_bytes()).unwrap();
        let field = |name: &str| -> Option<u64> {
            body.lines().find_map(|line| line.strip_prefix(&format!("# {name} = "))?.parse().ok())
        };
        assert!(stats.heap_alloc.unwrap() > 1 << 20, "{release}");
        assert_eq!(stats.heap_alloc, field("HeapAlloc"), "{release}");
        assert_eq!(stats.num_gc, field("NumGC"), "{release}");
        assert_eq!(stats.last_gc_ns, field("LastGC"), "{release}");
        assert_eq!(stats.gc_sys, field("GCSys"), "{release}");
        assert!(stats.stack_inuse <= stats.stack_sys && stats.mcache_sys.is_some(), "{release}");
        assert_eq!(stats.pause_ns.len(), 256, "{release}");
        let since_1_9 = !matches!(release.as_str(), "go1.5" | "go1.8");
        assert_eq!(stats.pause_end_ns.len(), if since_1_9 { 256 } else { 0 }, "{release}");
        assert_eq!(stats.gc_cpu_fraction.is_some(), since_1_9, "{release}");
        let newest = (usize::try_from(stats.num_gc.unwrap()).unwrap() + 255) % 256;
        assert_eq!(stats.pause_end_ns.get(newest).copied(), stats.last_gc_ns, "{release}");
    }
}

#[test]
fn the_index_says_which_profiles_there_are() {
    for (release, page) in recorded("index", 8) {
        let rows = index::read(page.as_bytes()).unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let has = |name: &str| names.contains(&name);
        assert!(has("goroutine") && has("threadcreate") && has("heap"), "{release} {names:?}");
        assert_eq!(has("goroutineleak"), release == "go1.27", "{release}");
        assert_eq!(has("mutex"), release != "go1.5", "{release}");
        assert_eq!(has("symbol"), ["go1.24", "go1.26", "go1.27"].contains(&&*release), "{release}");
        let rows_of_page = page.matches("<tr>").count();
        assert_eq!(rows.len(), rows_of_page, "{release} {names:?}");
        let goroutines = rows.iter().find(|row| row.name == "goroutine").unwrap().count;
        assert!((30..40).contains(&goroutines), "{release} {goroutines}");
    }
}

/// What an exporter says that read these bodies.
fn page(bodies: &[(Profile, &str)]) -> Page {
    let text = "services: [{name: s, pprof: {url: 'http://h', functions: 50}}]\n";
    let config = config::file::read(text).unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let pipeline = Pipeline::new(&config.services[0], metrics, TraceLines::Keep);
    for (profile, body) in bodies {
        pipeline.profile(*profile, body.as_bytes()).unwrap();
    }
    let mut page = Vec::new();
    text::services(&mut page, METRICS, &[pipeline.snapshot().unwrap()]);
    Page::read(&String::from_utf8(page).unwrap())
}

#[test]
fn every_release_names_the_functions_that_leak_and_loses_no_goroutine() {
    let threads = recorded("threadcreate", 16);
    for ((release, goroutines), (_, threads)) in recorded("goroutine", 16).iter().zip(&threads) {
        let page = page(&[(Profile::Goroutine, goroutines), (Profile::ThreadCreate, threads)]);
        let total: f64 =
            goroutines.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(page.value("go_goroutines"), total, "{release}");
        assert_eq!(page.sum("go_goroutines_by_function"), total, "{release}");
        for n in 1..=5 {
            let function = format!("go_goroutines_by_function{{function=\"main.leak.func{n}\"}}");
            assert_eq!(page.value(&function), 2.0, "{release}");
        }
        for function in ["net/http.(*conn).serve", "net/http.(*persistConn).writeLoop"] {
            let function = format!("go_goroutines_by_function{{function=\"{function}\"}}");
            assert!(page.sum(&function) >= 2.0, "{release} {function}\n{page}");
        }
        for own in ["runtime.gopark", "time.Sleep", "sync.runtime_Semacquire"] {
            assert!(!page.to_string().contains(&format!("\"{own}\"")), "{release}\n{page}");
        }
        assert!(page.value("go_threads") >= 5.0, "{release}");
    }
}

#[test]
fn a_body_that_is_cut_takes_back_what_was_known() {
    let (_, body) = recorded("goroutine", 16).pop().unwrap();
    let config = config::file::read("services: [{name: s, pprof: {url: 'http://h'}}]\n").unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let pipeline = Pipeline::new(&config.services[0], metrics, TraceLines::Keep);
    let series = || {
        let mut page = Vec::new();
        text::services(&mut page, METRICS, &[pipeline.snapshot().unwrap()]);
        Page::read(&String::from_utf8(page).unwrap()).has("go_goroutines")
    };
    pipeline.profile(Profile::Goroutine, body.as_bytes()).unwrap();
    assert!(series());
    let cut = &body.as_bytes()[..body.len() / 2];
    assert_eq!(pipeline.profile(Profile::Goroutine, cut), Err(PprofError::Truncated));
    assert!(!series());
}
