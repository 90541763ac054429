//! Where in which storage: from what was typed and the environment to a bucket, a prefix and the keys.

use rusty_s3::{Bucket, BucketError, Credentials, UrlStyle};

use crate::error::Hinted;
use crate::s3::credentials::{self, variable};

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct PlaceOptions {
    /// `s3://bucket/prefix`.
    pub to: String,
    /// The storage's address; `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or Amazon's own otherwise.
    pub endpoint: Option<String>,
    /// Its region; `AWS_REGION`, `AWS_DEFAULT_REGION` or `us-east-1` otherwise.
    pub region: Option<String>,
    /// The bucket is part of the host's name; always so at Amazon's.
    pub is_virtual_host: bool,
    /// What browsers find the bucket's root under, where that is another address.
    pub public_url: Option<String>,
}

/// A prefix in a bucket, and the keys to it.
pub struct Place {
    pub(super) bucket: Bucket,
    pub(super) credentials: Credentials,
    name: String,
    prefix: String,
    public_url: Option<String>,
}

impl Place {
    /// Nothing is asked of the storage yet.
    ///
    /// # Errors
    /// When an address is none, or there are no credentials.
    pub fn resolve(options: &PlaceOptions) -> anyhow::Result<Self> {
        let (name, prefix) = split(&options.to)?;
        let endpoint = options.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL_S3"));
        let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL"));
        let region = options.region.clone().or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned());
        // Certificates know one label before Amazon's own names.
        let is_amazon = endpoint.is_none();
        let style = match options.is_virtual_host || is_amazon && !name.contains('.') {
            true => UrlStyle::VirtualHost,
            false => UrlStyle::Path,
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let bad = |problem: String| {
            let hint = "write it as `https://host` or `http://host:port`";
            Hinted::new(format!("the endpoint `{}` is not an address: {problem}", without_password(&endpoint)), hint)
        };
        let url = endpoint.parse().map_err(|error| bad(format!("{error}")))?;
        let bucket = Bucket::new(url, style, name.clone(), region).map_err(|error| match error {
            BucketError::UnsupportedScheme => bad("it is neither http nor https".to_owned()),
            BucketError::MissingHost => bad("it has no host".to_owned()),
            BucketError::ParseError(error) => bad(format!("the bucket `{name}` cannot be part of it: {error}")),
        })?;
        let public_url = options.public_url.as_deref().map(check_public).transpose()?;
        Ok(Place { bucket, credentials: credentials::find()?, name, prefix, public_url })
    }

    /// The key of `path` below the prefix.
    pub fn key(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    /// `s3://bucket/key`, for people.
    pub fn shown(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// What a browser opens an object by.
    pub fn link(&self, key: &str) -> String {
        let object = self.bucket.object_url(key);
        match &self.public_url {
            None => object.into(),
            Some(public) => {
                let path = object.path().strip_prefix(self.bucket.base_url().path()).unwrap_or(object.path());
                format!("{public}/{path}")
            }
        }
    }
}

/// Bucket and prefix, without slashes at their ends.
fn split(to: &str) -> Result<(String, String), Hinted> {
    let bad =
        |problem: &str| Hinted::new(format!("`{to}` {problem}"), "write it as `s3://bucket` or `s3://bucket/prefix`");
    let rest = to.strip_prefix("s3://").ok_or_else(|| bad("is not the address of a bucket"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if bucket.len() < 3 || bucket.len() > 63 || !bucket.chars().all(is_name) {
        return Err(bad("does not name a bucket: 3 to 63 letters, digits, dots and dashes"));
    }
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| [".", ".."].contains(part)) || prefix.chars().any(char::is_control) {
        return Err(bad("has a prefix that is no path"));
    }
    Ok((bucket.to_owned(), parts.join("/")))
}

fn check_public(url: &str) -> Result<String, Hinted> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest)
            if !rest.is_empty() && !rest.contains(['?', '#', ' ', '@']) && !rest.chars().any(char::is_control) =>
        {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => {
            let problem = format!("the public address `{}` is none to link to", without_password(url));
            Err(Hinted::new(problem, "write it as `https://host/path`, the address of the bucket's root"))
        }
    }
}

/// `https://user:password@host` without what stands before the host.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, after)) => format!("{}://…@{after}", before.split_once("://").map_or("", |(scheme, _)| scheme)),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_buckets_are_taken_apart() {
        let pair = |bucket: &str, prefix: &str| (bucket.to_owned(), prefix.to_owned());
        assert_eq!(split("s3://a-bucket").expect("good"), pair("a-bucket", ""));
        assert_eq!(split("s3://a-bucket//x//y z/").expect("good"), pair("a-bucket", "x/y z"));
        for bad in ["a-bucket", "s3:/a-bucket", "s3://", "s3:///x", "s3://a?b/", "s3://abc/../x", "s3://abc/a\nb"] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert_eq!(without_password("https://me:secret@host/x"), "https://…@host/x");
        assert!(check_public("host").is_err() && check_public("https://h/?x").is_err());
    }
}
