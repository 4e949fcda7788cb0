//! A body of bounded size, unpacked.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;

use super::error::FetchError;

/// Reads a body of at most `max` bytes; the same bound holds for what gzip makes of it.
pub(super) async fn read(response: Response<Incoming>, max: usize) -> Result<Bytes, FetchError> {
    let encoding = response.headers().get(CONTENT_ENCODING).cloned();
    let body = Limited::new(response.into_body(), max).collect().await;
    let body = body.map_err(|error| FetchError::of_body(error, max))?.to_bytes();
    match encoding.as_ref().map(|encoding| encoding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"identity" | b"") => Ok(body),
        Some(b"gzip" | b"x-gzip") => unpacked(&body, max),
        Some(_) => Err(FetchError::Encoding),
    }
}

fn unpacked(packed: &[u8], max: usize) -> Result<Bytes, FetchError> {
    let mut text = Vec::new();
    let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(most).read_to_end(&mut text).map_err(FetchError::Gzip)?;
    if text.len() > max { Err(FetchError::TooLarge(max)) } else { Ok(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::reason::Reason;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_bound_is_on_what_was_unpacked() {
        let text = vec![b'x'; 1000];
        assert_eq!(unpacked(&packed(&text), 1000).unwrap(), text);
        let check = |body: &[u8], reason| {
            assert_eq!(unpacked(body, 999).unwrap_err().reason(), reason);
        };
        check(&packed(&text), Reason::TooLarge);
        check(&packed(&vec![0; 10_000_000]), Reason::TooLarge);
        check(&packed(b"x")[..12], Reason::Truncated);
        check(b"no gzip at all", Reason::BadGzip);
        check(&[packed(b"x"), b"and more that is no gzip".to_vec()].concat(), Reason::BadGzip);
    }
}
