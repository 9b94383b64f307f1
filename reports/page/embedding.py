"""What a page carries inside itself, in forms that no text of a model can break out of, the same bytes each time."""

import base64
import gzip
import hashlib
import json

from markupsafe import Markup

_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def compact_json(value: object) -> str:
    """Return plain data as compact JSON; NaN and infinity are refused with a ValueError."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def script_json(value: object) -> Markup:
    """Return plain data as JSON that can stand in a `script` element: `</script>` and `<!--` cannot occur in it."""
    return Markup(compact_json(value).translate(_ESCAPES))


def packed(texts: list[str]) -> str:
    """Return a list of values, each as JSON, as one JSON list in gzip in base64."""
    listed = f"[{','.join(texts)}]".encode("utf-8", "surrogatepass")
    return base64.b64encode(gzip.compress(listed, compresslevel=6, mtime=0)).decode("ascii")


def data_address(content: bytes, kind: str) -> str:
    """Return a `data:` address of a file's bytes of a media type, such as `image/svg+xml`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def policy_hash(text: str) -> str:
    """Return what a Content-Security-Policy names an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
