//! Guard's user side.
