//! What binary this is.

/// Version, revision and build date of this binary.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Of the package.
    pub version: &'static str,
    /// The commit, or `unknown`.
    pub revision: &'static str,
    /// Day of the build, or of `SOURCE_DATE_EPOCH`.
    pub date: &'static str,
}

/// This binary.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("BUILD_REVISION"),
    date: env!("BUILD_DATE"),
};
