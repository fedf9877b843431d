//! Variables of the command's environment that are known last: its session's name and runtime
//! directory. There is room for them before the child is forked, which only fills it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::environment::{RUNTIME, SESSION};
use super::name::{MAX_LENGTH, Name};

/// Room for each value, in bytes. What does not fit is left out.
const ROOM: [usize; COUNT] = [MAX_LENGTH, 128];

/// How many variables there are.
pub const COUNT: usize = 2;

/// The values as they go through the gate, each filled up with NULs.
pub type Values = [u8; ROOM[0] + ROOM[1]];

/// The values of a session; all NULs without one.
pub fn values(session: Option<&Name>, runtime: Option<&Path>) -> Values {
    let mut values = [0; size_of::<Values>()];
    let name = session.map_or(&b""[..], |name| name.as_str().as_bytes());
    let runtime = runtime.map_or(&b""[..], |path| path.as_os_str().as_bytes());
    let mut rest = &mut values[..];
    for (value, room) in [name, runtime].into_iter().zip(ROOM) {
        let (place, behind) = rest.split_at_mut(room);
        if let Some(place) = place.get_mut(..value.len()) {
            place.copy_from_slice(value);
        }
        rest = behind;
    }
    values
}

/// The variables, to be filled.
#[derive(Debug)]
pub struct Late([Vec<u8>; COUNT]);

impl Late {
    /// Room for all of them.
    pub fn new() -> Self {
        let variable = |at: usize| {
            let mut text = format!("{}=", [SESSION, RUNTIME][at]).into_bytes();
            // A NUL stands behind the longest value.
            text.resize(text.len() + ROOM[at] + 1, 0);
            text
        };
        Self([variable(0), variable(1)])
    }

    /// Fills in the values, and the places of an environment with those that are there. Allocates
    /// nothing.
    pub fn fill(&mut self, values: &Values, places: &mut [*const libc::c_char]) {
        let mut rest = &values[..];
        let mut places = places.iter_mut();
        for (text, room) in self.0.iter_mut().zip(ROOM) {
            let (value, behind) = rest.split_at(room);
            rest = behind;
            if value[0] == 0 {
                continue;
            }
            let start = text.len() - room - 1;
            text[start..start + room].copy_from_slice(value);
            if let Some(place) = places.next() {
                *place = text.as_ptr().cast();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn filled(session: Option<&str>, runtime: Option<&str>) -> Vec<String> {
        let name = session.map(|name| Name::new(name).unwrap());
        let values = values(name.as_ref(), runtime.map(Path::new));
        let mut late = Late::new();
        let mut places = [std::ptr::null(); COUNT];
        late.fill(&values, &mut places);
        places
            .into_iter()
            .filter(|place| !place.is_null())
            .map(|place| {
                // SAFETY: a string of `late` that ends with a NUL.
                let text = unsafe { CStr::from_ptr(place) };
                text.to_str().unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn what_is_known_comes_and_nothing_else() {
        let directory = "/run/guard/runtime/a-1.00";
        assert_eq!(
            filled(Some("a-1"), Some(directory)),
            [
                "GUARD_SESSION=a-1",
                "GUARD_RUNTIME=/run/guard/runtime/a-1.00"
            ]
        );
        assert_eq!(filled(None, None), [] as [&str; 0]);
        let longest = "x".repeat(MAX_LENGTH);
        let session = format!("GUARD_SESSION={longest}");
        for runtime in [None, Some("/".repeat(129))] {
            assert_eq!(
                filled(Some(&longest), runtime.as_deref()),
                [session.as_str()]
            );
        }
    }
}
