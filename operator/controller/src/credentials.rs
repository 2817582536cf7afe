//! What opens a repository, read from a Secret as the policy's account.

use std::collections::BTreeMap;

use cluster::{Account, Category};
use declared::Credentials;
use kube::Client;

use crate::policy::PolicyKey;

/// Credentials and certificate authority of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    pub credentials: Option<Credentials>,
    pub ca: Option<String>,
}

/// Why a Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "the Secret {namespace}/{secret} cannot be read as service account {account}: {message}. Let the account get it, and let Driftline act as the account: \
         kubectl -n {namespace} create role {policy}-git --verb=get --resource=secrets --resource-name={secret}, bound to {account}; and a Role with the verb impersonate on \
         serviceaccounts/{account}, bound to {operator} (see docs/rights.md)"
    )]
    Refused {
        namespace: String,
        secret: String,
        account: String,
        policy: String,
        operator: String,
        message: String,
    },
    #[error(
        "there is no Secret {namespace}/{secret}; create it or correct spec.source.git.secretRef"
    )]
    Missing { namespace: String, secret: String },
    #[error(
        "the Secret {namespace}/{secret} has {what}; it needs username and password, or bearerToken, or identity and known_hosts, and may have caFile"
    )]
    Content {
        namespace: String,
        secret: String,
        what: String,
    },
    #[error(transparent)]
    Call(cluster::Error),
}

impl SecretError {
    /// The reason in CamelCase, for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "SecretForbidden",
            Self::Missing { .. } => "SecretNotFound",
            Self::Content { .. } => "SecretInvalid",
            Self::Call(_) => "ApiServerUnavailable",
        }
    }
}

/// Reads a policy's Secret as the policy's account.
pub async fn read(
    client: &Client,
    key: &PolicyKey,
    account: &Account,
    secret: &str,
    operator: &str,
) -> Result<Opening, SecretError> {
    match cluster::read::secret_as(client, account, secret).await {
        Ok(data) => parse(data).map_err(|what| SecretError::Content {
            namespace: key.namespace.clone(),
            secret: secret.to_owned(),
            what,
        }),
        Err(error) => Err(match error.category() {
            Category::NotFound => SecretError::Missing {
                namespace: key.namespace.clone(),
                secret: secret.to_owned(),
            },
            Category::Forbidden => SecretError::Refused {
                namespace: key.namespace.clone(),
                secret: secret.to_owned(),
                account: account.name.clone(),
                policy: key.name.clone(),
                operator: operator.to_owned(),
                message: error.to_string(),
            },
            _ => SecretError::Call(error),
        }),
    }
}

fn parse(data: BTreeMap<String, Vec<u8>>) -> Result<Opening, String> {
    let text = |key: &str| match data.get(key) {
        None => Ok(None),
        Some(bytes) => match String::from_utf8(bytes.clone()) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(text)),
            Ok(_) => Err(format!("an empty {key}")),
            Err(_) => Err(format!("a {key} that is not text")),
        },
    };
    // A line break at the end comes from `echo`; it is never part of a name or a token.
    let word = |key: &str| {
        Ok::<_, String>(text(key)?.map(|t| t.trim_end_matches(['\n', '\r']).to_owned()))
    };
    let mut kinds = Vec::new();
    match (word("username")?, word("password")?) {
        (Some(username), Some(password)) => kinds.push(Credentials::Basic { username, password }),
        (None, None) => {}
        // An encrypted SSH key's passphrase may be called password.
        (None, Some(_)) if data.contains_key("identity") => {}
        (Some(_), None) => return Err("a username without password".to_owned()),
        (None, Some(_)) => return Err("a password without username".to_owned()),
    }
    if let Some(token) = word("bearerToken")? {
        kinds.push(Credentials::Bearer { token });
    }
    match (text("identity")?, text("known_hosts")?) {
        (Some(identity), Some(known_hosts)) => kinds.push(Credentials::Ssh {
            identity,
            known_hosts,
            passphrase: word("password")?,
        }),
        (Some(_), None) => {
            return Err(
                "an identity without known_hosts, so that the server could be anybody".to_owned(),
            );
        }
        (None, _) => {}
    }
    let ca = match text("caFile")? {
        Some(ca) => Some(ca),
        None => text("ca.crt")?,
    };
    let mut kinds = kinds.into_iter();
    match (kinds.next(), kinds.next()) {
        (_, Some(_)) => Err("more than one kind of credentials".to_owned()),
        (None, None) if ca.is_none() => Err("none of the keys that are understood".to_owned()),
        (credentials, None) => Ok(Opening { credentials, ca }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(entries: &[(&str, &str)]) -> Result<Opening, String> {
        parse(
            entries
                .iter()
                .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn each_kind_is_understood() {
        let basic = Credentials::Basic {
            username: "u".into(),
            password: "p".into(),
        };
        assert_eq!(
            secret(&[("username", "u\n"), ("password", "p\n")]).map(|o| o.credentials),
            Ok(Some(basic))
        );
        let bearer = Credentials::Bearer { token: "t".into() };
        assert_eq!(
            secret(&[("bearerToken", "t")]).map(|o| o.credentials),
            Ok(Some(bearer))
        );
        assert!(secret(&[("identity", "k"), ("known_hosts", "h"), ("password", "x")]).is_ok());
        assert_eq!(
            secret(&[("caFile", "pem")]),
            Ok(Opening {
                credentials: None,
                ca: Some("pem".into())
            })
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        for (entries, words) in [
            (&[("username", "u")][..], "without password"),
            (&[("password", "p")], "without username"),
            (&[("identity", "k")], "without known_hosts"),
            (&[("bearerToken", " ")], "empty bearerToken"),
            (&[("other", "x")], "none of the keys"),
            (
                &[("bearerToken", "t"), ("username", "u"), ("password", "p")],
                "more than one",
            ),
        ] {
            let error = secret(entries).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
