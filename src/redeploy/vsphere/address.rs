//! Where the server is, and who we are to it. A password comes from a variable, a file or a
//! prompt; there is no argument for one, because arguments are there for everybody to read.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or number.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken; without, only on this machine itself.
    pub tls: bool,
    /// A user that stood in the address.
    pub user: Option<String>,
}

/// A text that is no address we take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("{0:?} is no server address; give a host, host:port or https://host")]
    Form(String),
    /// A password in an argument or plan.
    #[error(
        "a password in the address would be there for everybody to read; use GOVC_PASSWORD, --password-file or the prompt"
    )]
    Password,
    /// Plain HTTP to another machine.
    #[error(
        "{0:?} is not encrypted; without TLS only a server on this machine itself is spoken to"
    )]
    Plain(String),
}

impl Address {
    /// Reads `host`, `host:port`, `user@host`, `https://host/sdk` or `vsphere://host`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::split(text).and_then(|(address, password)| match password {
            Some(_) => Err(AddressError::Password),
            None => Ok(address),
        })
    }

    /// The same from `GOVC_URL`, where a password may stand.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn from_variable(text: &str) -> Result<(Self, Option<SecretString>), AddressError> {
        Self::split(text)
    }

    fn split(text: &str) -> Result<(Self, Option<SecretString>), AddressError> {
        // The text may hold a password: errors name only what follows it.
        let shown = text.rsplit('@').next().unwrap_or_default().to_owned();
        let form = || AddressError::Form(shown.clone());
        let whole = match text.trim().split_once("://") {
            Some(("vsphere" | "vi", rest)) => format!("https://{rest}"),
            Some(_) => text.trim().to_owned(),
            None => format!("https://{}", text.trim()),
        };
        let url = Url::parse(&whole).map_err(|_| form())?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(form()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(form)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        if !tls && !matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") {
            return Err(AddressError::Plain(shown));
        }
        let port = url.port_or_known_default().unwrap_or(443);
        let word = |text: &str| percent_decoded(text);
        let user = Some(word(url.username())).filter(|user| !user.is_empty());
        let password = url.password().map(|password| SecretString::from(word(password)));
        Ok((Self { host, port, tls, user }, password))
    }

    /// `https://host:port`, without a path.
    #[must_use]
    pub fn base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base())
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digits = rest.clone();
        let pair = (byte == b'%').then(|| (digits.next(), digits.next()));
        let digit = |c: Option<u8>| char::from(c?).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match pair.and_then(|(a, b)| Some(digit(a)? * 16 + digit(b)?)) {
            Some(byte) => {
                bytes.push(byte);
                rest = digits;
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// User and password. Printing one shows the user only.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// Never printed.
    password: SecretString,
}

/// No credentials to be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Nobody said who.
    #[error("no user; give --user or GOVC_USERNAME")]
    NoUser,
    /// Nothing to read a password from.
    #[error(
        "no password; set GOVC_PASSWORD, give --password-file, or run on a terminal to be asked"
    )]
    NoPassword,
    /// The file cannot be read.
    #[error("cannot read the password file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The terminal did not answer.
    #[error("cannot ask for the password")]
    Prompt(#[source] io::Error),
}

impl Credentials {
    /// From parts.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: SecretString::from(password.to_owned()) }
    }

    /// The first password of: the file, the variable, the address in `GOVC_URL`, the prompt.
    ///
    /// # Errors
    /// [`CredentialsError`], when there is none or it cannot be read.
    pub fn gather(
        user: Option<String>,
        file: Option<&Path>,
        known: Option<SecretString>,
        ask: bool,
        host: &str,
    ) -> Result<Self, CredentialsError> {
        let user = user.ok_or(CredentialsError::NoUser)?;
        if let Some(path) = file {
            let fail = |source| CredentialsError::File { path: path.to_path_buf(), source };
            let text = fs::read_to_string(path).map_err(fail)?;
            let line = text.lines().next().unwrap_or_default().to_owned();
            return Ok(Self { user, password: line.into() });
        }
        if let Some(password) = known {
            return Ok(Self { user, password });
        }
        if !ask {
            return Err(CredentialsError::NoPassword);
        }
        let prompt = format!("Password of {user} on {host}: ");
        let password = rpassword::prompt_password(prompt).map_err(CredentialsError::Prompt)?;
        Ok(Self { user, password: password.into() })
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_way_to_write_a_server_is_read() {
        for text in ["esx1", "https://esx1", "https://esx1/sdk", "vsphere://esx1/ds", "esx1:443"] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port, address.tls),
                ("esx1", 443, true),
                "{text}"
            );
        }
        let address = Address::parse("https://root%40x@[::1]:8989/sdk").unwrap();
        assert_eq!(address.user.as_deref(), Some("root@x"));
        assert_eq!(address.base(), "https://[::1]:8989");
    }

    #[test]
    fn a_password_or_a_plain_line_to_another_machine_is_refused_without_showing_it() {
        let said = Address::parse("https://u:hunter2@h").unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
        assert!(matches!(Address::parse("http://h"), Err(AddressError::Plain(_))));
        assert!(Address::parse("http://127.0.0.1:80").is_ok());
        assert!(matches!(Address::parse(""), Err(AddressError::Form(_))));
        let (_, password) = Address::from_variable("https://u:p%20w@h").unwrap();
        assert_eq!(password.unwrap().expose_secret(), "p w");
        let said = Address::from_variable("ftp://u:hunter2@h").unwrap_err().to_string();
        assert!(!said.contains("hunter2"), "{said}");
        let shown = format!("{:?}", Credentials::new("u", "hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
