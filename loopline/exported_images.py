"""Which image of the source a task of another Label Studio project shows, whatever its data calls it.

The end of a name decides: what stands before the source's own path (a bucket, a server, a folder above) is passed over,
and a name may leave out folders. Two paths that differ anywhere else are two images. A digest decides alone.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopline.board import IMAGE
from loopline.errors import DataError
from loopline.sidecars import Row, finder

LONGEST = 4096  # characters of a reference; anything longer is a text or the picture itself
Match = Callable[[Mapping[str, Any]], str]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"(?:^|/)(?:data/)?upload/(?:\d+/)?([^/]+)$")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def image_finder(images: Iterable[Row]) -> Match:
    """Return a function from a task's data to the sha256 of its image, which raises DataError with the reason if it
    can't tell."""
    rows = {row["key"]: row for row in images}
    usable = {row["image_sha256"] for row in rows.values() if not row["quarantine_reason"]}
    keys_of = _Keys(rows)

    def match(data: Mapping[str, Any]) -> str:
        texts = {name: text for name, text in data.items() if isinstance(text, str) and text and len(text) < LONGEST}
        digests = {digest for name, text in texts.items() if (digest := _digest(name, text))}
        keys = set() if digests else {key for text in texts.values() for key in keys_of(text)}
        found = digests & usable or {rows[key]["image_sha256"] for key in keys if not rows[key]["quarantine_reason"]}
        if len(found) == 1:
            return found.pop()
        reason = "several such images" if found else "image quarantined" if keys else "no such image"
        raise DataError(f"{reason}: {_shown(texts)}")

    return match


def _digest(name: str, text: str) -> str | None:
    """Return the digest that a task of ours names, by itself or in the address of a blob."""
    last = text.rsplit("/", 1)[-1]
    return last if _DIGEST.fullmatch(last) and (name == IMAGE or "/blobs/" in text) else None


class _Keys:
    """From a reference to the keys that it may mean."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._find = finder(keys)
        self._of_uploaded: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            self._of_uploaded[_uploaded(key)].append(key)
        self._find_uploaded = finder(self._of_uploaded)

    def __call__(self, text: str) -> Sequence[str]:
        """Return the keys that the reference may mean; none, or several, if it can't be told."""
        names = _names(text)
        upload = next((found[1] for name in names if (found := _UPLOAD.search(name))), "")
        plain = _UPLOAD_PREFIX.sub("", upload)
        ways = [*map(self._ending, names), *(self._find(name) for name in (upload, plain) if name)]
        uploaded = self._find_uploaded(plain) if plain else ()
        return next(filter(None, ways), [key for name in uploaded for key in self._of_uploaded[name]])

    def _ending(self, path: str) -> Sequence[str]:
        if found := self._find(path):
            return found
        while "/" in path:
            path = path.partition("/")[2]
            if whole := [key for key in self._find(path) if _nfc(key) == _nfc(path)]:
                return whole
        return ()


def _names(text: str) -> list[str]:
    """Return the paths that a reference may stand for, the likeliest first."""
    path = text.replace("\\", "/")
    scheme, separator, rest = path.partition("://")
    if separator and not scheme.startswith("http"):
        return [rest.partition("/")[2]]  # a key of S3, GCS or Azure, in which ? and % are letters
    try:
        parts = urlsplit(path)
    except ValueError:
        return []
    if "/local-files" in parts.path:
        return [name.lstrip("/") for name in parse_qs(parts.query).get("d", ())]
    as_it_is = [] if separator or "/" in parts.query else [path]
    return [*as_it_is, unquote(parts.path).lstrip("/")]


def _uploaded(key: str) -> str:
    """Return the key with its file's name as Label Studio keeps an uploaded file: no spaces, no brackets."""
    folder, separator, name = key.rpartition("/")
    return folder + separator + re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _shown(texts: Mapping[str, str]) -> str:
    """Return what names the image, as can be printed anywhere: what looks like a file, else the first of all."""
    files = sorted(texts.values(), key=lambda text: not re.search(r"\.\w{3,4}($|\?)", text))
    return ascii(files[0].partition("?")[0] if "?d=" not in files[0] else files[0])[1:-1][:120] if files else "no name"
