//! Errors as the kernel counts them.

use std::fmt;

/// A positive errno value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// Splits a kernel's answer into the count it stands for or the error it carries.
pub fn check(result: i32) -> Result<i32, Errno> {
    if result < 0 { Err(Errno(-result)) } else { Ok(result) }
}

impl Errno {
    /// The value as results carry it: negative.
    pub fn result(self) -> i32 {
        -self.0
    }

    /// The symbolic name, such as `ECONNRESET`, or `EUNKNOWN` for a value that has none here.
    pub fn name(self) -> &'static str {
        &self.entry().1[..self.entry().1.len() - 1]
    }

    /// What the error says, in words.
    pub fn text(self) -> &'static str {
        &self.entry().2[..self.entry().2.len() - 1]
    }

    /// [`name`](Self::name), with the NUL that C expects behind it.
    pub fn name_nul(self) -> &'static str {
        self.entry().1
    }

    /// [`text`](Self::text), with the NUL that C expects behind it.
    pub fn text_nul(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (i32, &'static str, &'static str) {
        const UNKNOWN: (i32, &str, &str) = (0, "EUNKNOWN\0", "unknown error\0");
        LIST.iter().chain(RESOLVER).find(|entry| entry.0 == self.0).unwrap_or(&UNKNOWN)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

mod numbers {
    pub(super) use crate::sys::portable::ENODATA;
    pub(super) use libc::*;
}

macro_rules! errnos {
    ($($name:ident $text:literal,)*) => {
        /// One list yields value, name and text, so that they cannot disagree.
        const LIST: &[(i32, &str, &str)] = &[$((numbers::$name, concat!(stringify!($name), "\0"), concat!($text, "\0")),)*];
    };
}

errnos! {
    EPERM "operation not permitted",
    ENOENT "no such file or directory",
    ESRCH "no such fiber, loop or process",
    EINTR "interrupted by a signal",
    EIO "input/output error",
    ENXIO "no such device or address",
    E2BIG "argument list too long",
    EBADF "bad or closed file descriptor",
    ECHILD "no child process",
    EAGAIN "not ready, try again",
    ENOMEM "out of memory",
    EACCES "permission denied",
    EFAULT "bad address",
    EBUSY "device or resource busy",
    EEXIST "file exists",
    EXDEV "cross-device link",
    ENODEV "no such device",
    ENOTDIR "not a directory",
    EISDIR "is a directory",
    EINVAL "invalid argument",
    ENFILE "too many open files in the system",
    EMFILE "too many open files in the process",
    ENOTTY "not a terminal",
    ETXTBSY "text file busy",
    EFBIG "file too large",
    ENOSPC "no space left on device",
    ESPIPE "not seekable",
    EROFS "read-only file system",
    EMLINK "too many links",
    EPIPE "broken pipe",
    EDOM "argument out of domain",
    ERANGE "result out of range",
    EDEADLK "would wait for itself",
    ENAMETOOLONG "name too long",
    ENOLCK "no locks available",
    ENOSYS "function not implemented",
    ENOTEMPTY "directory not empty",
    ELOOP "too many symbolic links",
    EPROTO "protocol error",
    EBADMSG "bad message",
    EOVERFLOW "value too large",
    EILSEQ "illegal byte sequence",
    ENOTSOCK "not a socket",
    EDESTADDRREQ "destination address required",
    ENOMSG "no message of the desired type",
    ENODATA "no data available",
    ETOOMANYREFS "too many references",
    EMSGSIZE "message too long",
    EPROTOTYPE "wrong protocol for socket",
    ENOPROTOOPT "protocol option not available",
    EPROTONOSUPPORT "protocol not supported",
    ESOCKTNOSUPPORT "socket type not supported",
    EOPNOTSUPP "operation not supported",
    EPFNOSUPPORT "protocol family not supported",
    EAFNOSUPPORT "address family not supported",
    EADDRINUSE "address already in use",
    EADDRNOTAVAIL "address not available",
    ENETDOWN "network is down",
    ENETUNREACH "network is unreachable",
    ENETRESET "connection dropped by the network",
    ECONNABORTED "connection aborted",
    ECONNRESET "connection reset by peer",
    ENOBUFS "no buffer space",
    EISCONN "already connected",
    ENOTCONN "not connected",
    ESHUTDOWN "transport endpoint is shut down",
    ETIMEDOUT "deadline passed or connection timed out",
    ECONNREFUSED "connection refused",
    EHOSTDOWN "host is down",
    EHOSTUNREACH "host is unreachable",
    EALREADY "already in progress",
    EINPROGRESS "in progress",
    ESTALE "stale handle",
    EDQUOT "quota exceeded",
    ECANCELED "cancelled",
    EOWNERDEAD "owner died",
    ENOTRECOVERABLE "state not recoverable",
}

mod eai {
    pub(super) use crate::sys::portable::{EAI_ADDRFAMILY, EAI_NODATA};
    pub(super) use libc::{
        EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY, EAI_NONAME, EAI_OVERFLOW, EAI_SERVICE, EAI_SOCKTYPE,
    };
}

/// The errors of the resolver (getaddrinfo(3)) have numbers of their own from here on, as 3000 and what they are on Linux.
macro_rules! resolver {
    ($($name:ident $number:literal $text:literal,)*) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`: ", $text, ".")] pub const $name: Errno = Errno($number);)*

            /// The error that an answer of the resolver stands for, apart from `EAI_SYSTEM`, which refers to errno.
            pub fn of_resolver(answer: i32) -> Errno {
                match answer {
                    libc::EAI_MEMORY => Errno(libc::ENOMEM),
                    $(eai::$name => Errno::$name,)*
                    _ => Errno::EAI_FAIL,
                }
            }
        }

        const RESOLVER: &[(i32, &str, &str)] = &[$(($number, concat!(stringify!($name), "\0"), concat!($text, "\0")),)*];
    };
}

resolver! {
    EAI_BADFLAGS 3001 "invalid flags for a look-up",
    EAI_NONAME 3002 "no such host or service",
    EAI_AGAIN 3003 "no answer from the name servers for now",
    EAI_FAIL 3004 "the name servers failed",
    EAI_NODATA 3005 "the host has no address",
    EAI_FAMILY 3006 "no addresses of that family",
    EAI_SOCKTYPE 3007 "no such type of socket",
    EAI_SERVICE 3008 "no such service for that type of socket",
    EAI_ADDRFAMILY 3009 "the host has no address of that family",
    EAI_OVERFLOW 3012 "the name does not fit",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_come_from_one_list() {
        assert_eq!(Errno(libc::ENOTSOCK).name(), "ENOTSOCK");
        assert_eq!(Errno(libc::ECANCELED).text(), "cancelled");
        assert_eq!(Errno(4095).name(), "EUNKNOWN");
        assert_eq!(Errno::of_resolver(libc::EAI_NONAME).name(), "EAI_NONAME");
        assert_eq!(Errno::of_resolver(libc::EAI_MEMORY).name(), "ENOMEM");
        assert!(LIST.iter().chain(RESOLVER).all(|(_, name, text)| name.ends_with('\0') && text.ends_with('\0')));
    }

    #[test]
    fn results_split_at_zero() {
        assert_eq!(check(7), Ok(7));
        assert_eq!(check(-libc::EPIPE), Err(Errno(libc::EPIPE)));
    }
}
