//! `config::file` and `config::web_file`: no text makes them panic, a config that is accepted can be used,
//! and every problem stands at a line of the file.

use std::path::Path;

use godebug_exporter::app::Stations;
use godebug_exporter::config::{Problem, file, web_file};
use godebug_exporter::frame::packets::TraceLines;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // YAML takes a carriage return alone for a line's end too.
    let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count() as u64;
    match file::read(text) {
        Ok(config) => {
            assert!(!config.services.is_empty());
            let stations = Stations::new(&config, TraceLines::Keep).unwrap();
            crate::page::check(&stations.pipelines.page());
        }
        Err(problems) => check(&problems, lines),
    }
    match web_file::read(text, Path::new("/")) {
        Ok(web) => assert!(web.users.iter().all(|user| user.hash.0.len() == 60)),
        Err(problems) => check(&problems, lines),
    }
}

fn check(problems: &[Problem], lines: u64) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        assert!((1..=lines).contains(&problem.line), "{problem} in a file of {lines} lines");
        assert!(!problem.what.is_empty() && !problem.to_string().contains('\n'), "{problem:?}");
    }
}
