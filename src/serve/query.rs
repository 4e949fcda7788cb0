//! What a request for `/metrics` wants.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

use crate::config::units::percent_decoded;
use crate::export::accept;
use crate::model::exposition::Wanted;

/// Reads a query and headers. Keys that are not ours are no matter.
///
/// # Errors
/// What is wrong with the query.
pub(super) fn wanted(query: &str, headers: &HeaderMap) -> Result<Wanted, &'static str> {
    let (format, escaping) = accept::format(&all(headers, &ACCEPT));
    let coding = accept::coding(&all(headers, &ACCEPT_ENCODING));
    let mut wanted = Wanted { format, escaping, coding, ..Wanted::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |text: &str| percent_decoded(&text.replace('+', " "));
        let (key, value) =
            text(key).zip(text(value)).ok_or("the query is not percent-encoded text")?;
        let list = match key.as_str() {
            "name[]" => &mut wanted.names,
            "service" => &mut wanted.services,
            _ => continue,
        };
        if value.is_empty() {
            return Err(
                "name[] and service need a value: /metrics?service=checkout&name[]=go_goroutines",
            );
        }
        list.push(value);
    }
    Ok(wanted)
}

/// A header may be there several times.
fn all(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_families_and_services() {
        let owned =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let check = |query: &str, names: &[&str], services: &[&str]| {
            let wanted = wanted(query, &HeaderMap::new()).unwrap();
            assert_eq!((wanted.names, wanted.services), (owned(names), owned(services)), "{query}");
        };
        check("", &[], &[]);
        check("name[]=a&name%5B%5D=b&service=x%2Fy", &["a", "b"], &["x/y"]);
        check("debug=1&&service=a+b", &[], &["a b"]);
        for wrong in ["service", "name[]=", "service=%", "name[]=%ff", "x=%zz"] {
            assert!(wanted(wrong, &HeaderMap::new()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_that_are_there_twice_are_one() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, "deflate".parse().unwrap());
        headers.append(ACCEPT_ENCODING, "gzip".parse().unwrap());
        let wanted = wanted("", &headers).unwrap();
        assert_eq!(wanted.coding, crate::model::exposition::Coding::Gzip);
    }
}
