"""What boto3 and S3 say went wrong, as one line each; codes as in the S3 API reference, "Error responses"."""

from nearedge.delivery import transport
from nearedge.delivery.sources.download import PassingError
from nearedge.errors import InputError, OutsideError

PASSING_CODES = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "Throttling")
CHANGED = ("PreconditionFailed", "InvalidRange")
LOGIN = "check the workspace aws-credentials"
CODES = {
    "NoSuchBucket": "there is no such bucket; check the name and s3-endpoint",
    "AllAccessDisabled": "access is disabled by the store",
    "InvalidAccessKeyId": f"the store does not know this access key; {LOGIN}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; {LOGIN}",
    "ExpiredToken": f"the session token has expired; {LOGIN}",
    "InvalidToken": f"the session token is not valid; {LOGIN}",
    "RequestTimeTooSkewed": "the clock of this machine or of the store is wrong; set it",
    "AuthorizationHeaderMalformed": "the region is wrong; set it in the file config of the workspace aws-credentials",
    "PermanentRedirect": "the bucket is elsewhere; set its region in the file config of the workspace aws-credentials",
    "InvalidObjectState": "the object is archived; restore it first",
    "MethodNotAllowed": "the object was deleted or the store does not know this request",
}
ANONYMOUS = "no credentials were found; bind the workspace aws-credentials"
ON_THE_WAY = {
    "ProxyConnectionError": "the proxy cannot be reached or refuses",
    "ConnectTimeoutError": f"no connection within {transport.CONNECT_S:.0f} s",
    "ReadTimeoutError": f"no answer within {transport.READ_S:.0f} s",
}
INPUT = {
    "ProfileNotFound": "has no profile [default]; name it so",
    "ConfigParseError": "cannot be parsed; it has to be as `aws configure` writes it",
    "UnicodeDecodeError": "cannot be parsed; it has to be as `aws configure` writes it",
    "PartialCredentialsError": "holds only a part of aws_access_key_id and aws_secret_access_key",
    "ParamValidationError": "is no name of a bucket and key; give s3://BUCKET/KEY",
    "InvalidRegionError": "names a region that is none",
    "InvalidEndpointConfigurationError": "names an endpoint that is none",
}


class ChangedError(PassingError):
    """The object is no longer what its first part was read of."""


class MissingError(OutsideError):
    """The object does not exist."""


class DeniedError(OutsideError):
    """Access is denied, which is also what is said of missing objects to those who may not list the bucket."""


def refusal(error: Exception, where: str, *, signed: bool) -> Exception:
    """The error to raise for one of botocore's: PassingError where it may be gone soon, else a line for a person.

    botocore's own text is not used: it may hold addresses and keys.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return answered(response, where, signed=signed)
    kind = type(error).__name__
    if kind == "SSLError":
        tls = any(getattr(cause, "reason", "") in transport.NO_TLS for cause in transport.causes(error))
        why = (
            "it speaks no TLS; give s3-endpoint with http://"
            if tls
            else "its certificate is not trusted; give its CA in ca-bundle"
        )
        return OutsideError(f"{where}: {why}")
    if kind in INPUT:
        return InputError(f"{where}: {INPUT[kind]}")
    if isinstance(error, ValueError):
        return InputError(f"{where}: s3-endpoint, region or bucket is no valid name")
    if "Credential" in kind or "Token" in kind:
        return OutsideError(f"{where}: no credentials can be had ({kind}); {LOGIN}")
    return PassingError(ON_THE_WAY.get(kind) or transport.reason(error))


def answered(response: dict[str, dict[str, object]], where: str, *, signed: bool) -> Exception:
    """The error for an answer of the store's."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in CHANGED:
        return ChangedError("changed meanwhile; it is read from its start")
    if code in PASSING_CODES or status in transport.PASSING:
        return PassingError(f"status {status} {code}".rstrip())
    if code in ("NoSuchKey", "NoSuchVersion") or (status == 404 and code != "NoSuchBucket"):
        return MissingError(f"{where}: there is no such object; check the key")
    if status == 407:
        return OutsideError(f"{where}: {transport.PROXY_LOGIN}")
    if code in CODES:
        return OutsideError(f"{where}: {CODES[code]}")
    if status in (401, 403):
        hint = "where the bucket may not be listed, it may also not exist" if signed else ANONYMOUS
        return DeniedError(f"{where}: access is denied; {hint}")
    return OutsideError(f"{where}: the store refuses with status {status} ({code[:40]})")
