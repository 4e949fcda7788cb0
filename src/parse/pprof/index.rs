//! The page at `/debug/pprof/`: which profiles a service has (src/net/http/pprof/pprof.go, `Index`).
//!
//! | since | a row |
//! |---|---|
//! | Go 1.5 | `<tr><td align=right>31<td><a href="goroutine?debug=1">goroutine</a>` |
//! | Go 1.11 | `<td>33</td><td><a href=goroutine?debug&#61;1>goroutine</a></td>`, on lines of its own |
//! | Go 1.16 | `<tr><td>32</td><td><a href='goroutine?debug=1'>goroutine</a></td></tr>` |
//!
//! Go 1.24 lists symbol too, 1.27 goroutineleak.

use super::PprofError;

/// What every release has in the head of the page.
const TITLE: &str = "<title>/debug/pprof/</title>";

/// Most profiles taken; a program may make some of its own.
const PROFILES_MAX: usize = 256;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The profile's name, as it stands in its path.
    pub name: String,
    /// How many stacks it counts now; for goroutineleak of the last detection.
    pub count: u64,
}

/// Reads the page.
///
/// # Errors
/// The page is another, or cut.
pub fn read(body: &[u8]) -> Result<Vec<Row>, PprofError> {
    let page = String::from_utf8_lossy(body);
    let Some((_, page)) = page.split_once(TITLE) else {
        return Err(PprofError::Other("pprof index"));
    };
    if !page.trim_end().ends_with("</html>") {
        return Err(PprofError::Truncated);
    }
    Ok(page.split("<tr>").skip(1).filter_map(row).take(PROFILES_MAX).collect())
}

fn row(text: &str) -> Option<Row> {
    let (_, cell) = text.split_once("<td")?;
    let (_, cell) = cell.split_once('>')?;
    let digits = cell.find(|c: char| !c.is_ascii_digit())?;
    let (count, rest) = cell.split_at_checked(digits)?;
    let (_, target) = rest.split_once("href=")?;
    let target = target.trim_start_matches(['"', '\'']);
    let end = target.find(['?', '"', '\'', '>', '&', '<', ' ', '\n'])?;
    let (name, _) = target.split_at_checked(end)?;
    let row = Row { name: name.to_owned(), count: count.parse().ok()? };
    (!row.name.is_empty()).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &str, expected: &[(&str, u64)]) {
        let page = format!(
            "<html>\n<head>\n{TITLE}\n</head>\n<table>\n<thead><td>Count</td><td>Profile</td></thead>\n{rows}\
             </table>\n<a href=\"goroutine?debug=2\">full goroutine stack dump</a>\n</html>\n"
        );
        let found = read(page.as_bytes()).unwrap();
        let found: Vec<(&str, u64)> = found.iter().map(|row| (&*row.name, row.count)).collect();
        assert_eq!(found, expected);
        assert_eq!(read(&page.as_bytes()[..page.len() - 3]), Err(PprofError::Truncated));
    }

    #[test]
    fn rows_of_every_form_are_read() {
        check(
            "\n<tr><td align=right>31<td><a href=\"goroutine?debug=1\">goroutine</a>\n\n\
             <tr><td align=right>0<td><a href=\"block?debug=1\">block</a>\n\n",
            &[("goroutine", 31), ("block", 0)],
        );
        check(
            "\n\t<tr>\n\t<td>33</td><td><a href=goroutine?debug&#61;1>goroutine</a></td>\n\t</tr>\n\n\
             \t<tr>\n\t<td>0</td><td><a href=cmdline>cmdline</a></td>\n\t</tr>\n",
            &[("goroutine", 33), ("cmdline", 0)],
        );
        check(
            "<tr><td>32</td><td><a href='goroutineleak?debug=1'>goroutineleak</a></td></tr>\n",
            &[("goroutineleak", 32)],
        );
        check("", &[]);
    }

    #[test]
    fn another_page_is_refused() {
        for page in ["", "<html><title>Welcome</title></html>", "404 page not found\n"] {
            assert_eq!(read(page.as_bytes()), Err(PprofError::Other("pprof index")), "{page}");
        }
    }
}
