//! The keys to a storage: from the environment, else from the file that the AWS tools keep.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;
use rusty_s3::Credentials;

use crate::error::Hinted;

/// The keys of the environment, else those of `$AWS_PROFILE` (or `default`) in `~/.aws/credentials`.
///
/// # Errors
/// When there are none, or the file cannot be read.
pub fn find() -> anyhow::Result<Credentials> {
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(key), Some(secret)) => return Ok(made(key, secret, variable("AWS_SESSION_TOKEN"))),
        (None, None) => {}
        (key, _) => {
            let (there, missing) = if key.is_some() {
                ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            } else {
                ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")
            };
            return Err(Hinted::new(format!("{there} is set, {missing} is not"), "set both, or none").into());
        }
    }
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let file = file();
    let text = match &file {
        Some(file) if file.is_file() => {
            fs::read_to_string(file).with_context(|| format!("reading `{}`", file.display()))?
        }
        _ => String::new(),
    };
    read(&text, &profile).ok_or_else(|| {
        let place = file.as_deref().unwrap_or(Path::new("~/.aws/credentials")).display().to_string();
        let problem = format!(
            "there are no credentials for the storage: neither in the environment nor as `{profile}` in `{place}`"
        );
        Hinted::new(
            problem,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN where there is one)",
        )
        .into()
    })
}

/// A variable of the environment that says something.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn made(key: String, secret: String, token: Option<String>) -> Credentials {
    match token {
        Some(token) => Credentials::new_with_token(key, secret, token),
        None => Credentials::new(key, secret),
    }
}

fn file() -> Option<PathBuf> {
    let named = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    named.or_else(|| env::home_dir().map(|home| home.join(".aws/credentials")))
}

/// The keys in the section `[profile]`.
fn read(text: &str, profile: &str) -> Option<Credentials> {
    let (mut is_inside, mut key, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name.trim()) {
            is_inside = name == profile;
        } else if is_inside && let Some((name, value)) = line.split_once('=') {
            match name.trim().to_ascii_lowercase().as_str() {
                "aws_access_key_id" => key = Some(value.trim().to_owned()),
                "aws_secret_access_key" => secret = Some(value.trim().to_owned()),
                "aws_session_token" => token = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    Some(made(key?, secret?, token))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_profile_is_found_among_others() {
        let text = "# keys\n[default]\naws_access_key_id = A\n\n[other]\n AWS_ACCESS_KEY_ID=B\naws_secret_access_key = s=1 \n\
                    aws_session_token=t\nregion = x\n[last]\naws_secret_access_key=z\n";
        let found = read(text, "other").expect("both keys");
        assert_eq!((found.key(), found.secret(), found.token()), ("B", "s=1", Some("t")));
        assert!(read(text, "default").is_none(), "the secret of another profile is not taken");
        assert!(read(text, "last").is_none() && read("", "default").is_none());
    }
}
