"""API keys of the service: made once and shown once; everything else knows their sha256 alone."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "loopline-"  # tells scanners of repositories, and people, what they have found
KEY_BYTES = 32


def new_key() -> str:
    """Return a new key, random enough that nobody guesses it."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hash_of(key: str) -> str:
    """Return a key's sha256 in hex; without salt, since nobody can guess what is random."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def known(key: str, hashes: Iterable[str]) -> str | None:
    """Return the hash that a key has if it is among these, in a time that tells nothing about them."""
    given, found = hash_of(key), None
    for one in hashes:
        if hmac.compare_digest(one, given):
            found = one
    return found
