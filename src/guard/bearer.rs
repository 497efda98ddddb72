//! The access token of a request (RFC 6750 §2.1).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::refusal::Refusal;

/// The token of the one `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::TokenMissing)?;
    // RFC 6750 §3.1: a request that "uses more than one method for including an access token" is an invalid_request.
    if values.next().is_some() {
        return Err(Refusal::AuthorizationMalformed);
    }
    let text = value.to_str().map_err(|_| Refusal::AuthorizationMalformed)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::TokenMissing);
    }
    let token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(token68) {
        return Err(Refusal::AuthorizationMalformed);
    }
    Ok(token)
}

/// RFC 6750 §2.3 has a way to send tokens in a URL, and RFC 9700 §4.3.2 forbids it: URLs are written down everywhere.
pub(super) fn check_query(query: Option<&str>) -> Result<(), Refusal> {
    let mut names = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name);
    if names.any(|name| name.eq_ignore_ascii_case("access_token")) {
        Err(Refusal::TokenInQuery)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_one_token() {
        assert_eq!(read(&["bearer abc.d-e_f"]).unwrap(), "abc.d-e_f");
        assert_eq!(read(&[]), Err(Refusal::TokenMissing));
        assert_eq!(read(&["Basic abc"]), Err(Refusal::TokenMissing));
        for values in [vec!["Bearer a", "Bearer b"], vec!["Bearer "], vec!["Bearer a b"], vec!["Bearer a,b"]]
        {
            assert_eq!(read(&values), Err(Refusal::AuthorizationMalformed), "{values:?}");
        }
    }

    #[test]
    fn no_token_in_a_url() {
        assert!(check_query(Some("a=1&b")).is_ok() && check_query(None).is_ok());
        for query in ["access_token=x", "a=1&ACCESS_token", "acc%65ss_token=x"] {
            assert!(check_query(Some(query)).is_err(), "{query}");
        }
    }
}
