//! Takes an input apart: small numbers and texts, one after the other.

/// What is still to be read; past the end everything is 0 or empty.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % n.max(1)
    }

    /// A text of at most 255 bytes, after a byte with its length.
    pub fn text(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Makes seeds: the reverse.
#[derive(Default)]
pub struct Output(pub Vec<u8>);

impl Output {
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub fn below(self, n: u16) -> Self {
        let [low, high] = n.to_le_bytes();
        self.byte(low).byte(high)
    }

    pub fn text(mut self, text: &[u8]) -> Self {
        let text = &text[..text.len().min(255)];
        self.0.push(u8::try_from(text.len()).unwrap());
        self.0.extend_from_slice(text);
        self
    }

    pub fn rest(mut self, rest: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(rest);
        self.0
    }
}
