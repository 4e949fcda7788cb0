//! A line grammar by itself, in both of its modes.

/// A target for one or more grammars, given by the functions that make them.
macro_rules! grammar {
    ($($make:path),+) => {
        |data: &[u8]| {
            $({
                let whole = |bytes: &[u8]| godebug_exporter::parse::primitive::whole($make(), bytes).is_some();
                let begins = |bytes: &[u8]| godebug_exporter::parse::primitive::begins($make(), bytes);
                crate::grammar::check(data, &whole, &begins);
            })+
        }
    };
}
pub(crate) use grammar;

/// Longer ones say nothing new, and each is looked at in all its lengths.
const LINE_MAX_BYTES: usize = 600;

/// A whole line is a beginning too, and whatever begins a line, so does every shorter piece of it:
/// the framer of packets and the search for torn pieces rely on both.
pub fn check(line: &[u8], whole: &dyn Fn(&[u8]) -> bool, begins: &dyn Fn(&[u8]) -> bool) {
    if line.len() <= LINE_MAX_BYTES && (whole(line) || begins(line)) {
        for end in 0..=line.len() {
            assert!(begins(&line[..end]), "{} bytes do not begin what all of them do", end);
        }
    }
}
