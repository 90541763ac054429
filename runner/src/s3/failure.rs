//! Why a storage did not do what was asked, and what can be done about it. Never holds an address or a secret.

use std::fmt;
use std::io;

/// What went wrong.
#[derive(Debug)]
pub enum Failure {
    /// It answered no.
    Refused {
        /// HTTP's number for it.
        status: u16,
        /// S3's word for it; empty when it has none.
        code: String,
        /// Its own explanation.
        message: String,
        /// Where the bucket is, when that is the trouble.
        region: Option<String>,
    },
    /// It did not answer.
    Lost {
        /// Of what kind.
        reason: Reason,
        /// More of it.
        detail: String,
    },
    /// The user had enough.
    Interrupted,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody listens there.
    NobodyListens,
    /// The name leads nowhere.
    NoSuchHost,
    /// The address makes no request.
    BadAddress,
    /// No secure connection.
    Insecure,
    /// The connection was lost, or nothing came for too long.
    Broken,
}

impl Failure {
    pub(super) fn refused(status: u16, body: &str, region: Option<String>) -> Self {
        let tag = |name: &str| {
            let found =
                body.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
            found.map_or_else(String::new, |(text, _)| text.trim().chars().take(300).collect())
        };
        let said = tag("Region");
        let region = region.or((!said.is_empty()).then_some(said));
        Failure::Refused { status, code: tag("Code"), message: tag("Message"), region }
    }

    pub(super) fn lost(error: &ureq::Error) -> Self {
        let reason = match error {
            ureq::Error::HostNotFound => Reason::NoSuchHost,
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Reason::BadAddress,
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Reason::Insecure,
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Reason::NobodyListens,
                io::ErrorKind::InvalidData => Reason::Insecure,
                // The standard library has no kind for it, only these words.
                _ if error.to_string().starts_with("failed to lookup address") => Reason::NoSuchHost,
                _ => Reason::Broken,
            },
            _ => Reason::Broken,
        };
        let detail =
            if reason == Reason::BadAddress { "it makes no valid request".to_owned() } else { error.to_string() };
        Failure::Lost { reason, detail }
    }

    /// An answer no S3 gives.
    pub(super) fn not_s3(detail: &str) -> Self {
        Failure::Refused { status: 200, code: String::new(), message: detail.to_owned(), region: None }
    }

    /// Asking again may help.
    pub(super) fn is_worth_another(&self, was_reached: bool) -> bool {
        match self {
            Failure::Refused { status, code, .. } => {
                *status >= 500
                    || *status == 429
                    || ["SlowDown", "InternalError", "RequestTimeout"].contains(&code.as_str())
            }
            Failure::Lost { reason: Reason::Broken, .. } => true,
            Failure::Lost { reason: Reason::NobodyListens, .. } => was_reached,
            Failure::Lost { .. } | Failure::Interrupted => false,
        }
    }

    /// It may have been done all the same: the answer is what is missing.
    pub fn is_unclear(&self) -> bool {
        match self {
            Failure::Refused { status, .. } => *status >= 500 || *status < 300,
            Failure::Lost { .. } | Failure::Interrupted => true,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Failure::Interrupted => "share it again when you like".to_owned(),
            Failure::Lost { reason, .. } => match reason {
                Reason::NobodyListens => "is the storage running, and its address right? `--endpoint` says it",
                Reason::NoSuchHost => {
                    "check `--endpoint`, the bucket's name and the network; some storages do not want `--virtual-host`"
                }
                Reason::BadAddress => "write the endpoint as `https://host` or `http://host:port`",
                Reason::Insecure => "check the certificate of the endpoint, and whether it is `http://` or `https://`",
                Reason::Broken => "try again: it starts from the beginning, and nothing of this attempt is kept",
            }
            .to_owned(),
            Failure::Refused { region: Some(region), status, .. } if [301, 307, 400].contains(status) => {
                format!("the bucket is in another region: `--region {region}`")
            }
            Failure::Refused { status, code, .. } => refusal_hint(*status, code).to_owned(),
        }
    }
}

fn refusal_hint(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "SignatureDoesNotMatch") => {
            "the secret does not belong to the access key: check AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and `--region`"
        }
        (_, "InvalidAccessKeyId" | "NotSignedUp") => {
            "the storage does not know this access key: check AWS_ACCESS_KEY_ID"
        }
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            "sign in again: AWS_SESSION_TOKEN is no longer good"
        }
        (_, "RequestTimeTooSkewed") => "set this machine's clock",
        (_, "NoSuchBucket") => "make the bucket first, or check its name, `--region` and `--endpoint`",
        (_, "InvalidBucketName") => "check the bucket's name in `--to s3://bucket/prefix`",
        (401 | 403, _) => "the credentials need to put and delete objects and to abort multipart uploads there",
        (301 | 307 | 308, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            "the bucket is in another region, or wants another address: check `--region` and `--endpoint`"
        }
        (429 | 500.., _) => "the storage is busy or broken: try again later",
        _ => "is there an S3 storage at this address? `--endpoint` says it",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Interrupted => out.write_str("interrupted"),
            Failure::Lost { reason, detail } => match reason {
                Reason::NobodyListens => out.write_str("nobody listens at the endpoint: connection refused"),
                Reason::NoSuchHost => out.write_str("the endpoint's host is not found"),
                Reason::BadAddress => write!(out, "the endpoint is not an address to send to: {detail}"),
                Reason::Insecure => write!(out, "no secure connection to the endpoint: {detail}"),
                Reason::Broken => write!(out, "the connection to the storage was lost: {detail}"),
            },
            Failure::Refused { status, code, message, .. } => {
                write!(out, "the storage answered {status}")?;
                if !code.is_empty() {
                    write!(out, " {code}")?;
                }
                if message.is_empty() { Ok(()) } else { write!(out, ": {message}") }
            }
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_from_its_document() {
        let body = "<?xml version=\"1.0\"?><Error><Code>PermanentRedirect</Code><Message> go away </Message></Error>";
        let failure = Failure::refused(301, body, Some("eu-west-3".to_owned()));
        assert_eq!(failure.to_string(), "the storage answered 301 PermanentRedirect: go away");
        assert_eq!(failure.hint(), "the bucket is in another region: `--region eu-west-3`");
        assert!(!failure.is_worth_another(true));
        let busy = Failure::refused(200, "<Error><Code>InternalError</Code></Error>", None);
        assert!(busy.is_worth_another(true) && busy.is_unclear());
        assert_eq!(Failure::refused(404, "<html>", None).to_string(), "the storage answered 404");
    }
}
