"""The PostgreSQL database that Label Studio is to keep its projects in, instead of SQLite in the home folder.

Its address holds a password, which goes into the environment of the services alone. The driver is imported only where
there is such an address.
"""

import hmac

from pydantic import SecretStr

from loopline.errors import AccessError, ConfigError, UnreachableError

SETTING = "LOOPLINE_LAPTOP__LABEL_STUDIO_DATABASE"
PARTS = ("host", "port", "dbname", "user", "password")  # that Label Studio can be told; it takes no options
PORT = "5432"
CONNECT_SECONDS = 10
REFUSED = ("authentication", "does not exist", "permission", "pg_hba")  # what no waiting mends


def database_variables(address: SecretStr) -> dict[str, str]:
    """Return what tells Label Studio of its database; ConfigError for what is no address of one."""
    host, port, name, user, password = (_parsed(address)[part] for part in PARTS)
    return {
        "LABEL_STUDIO_DJANGO_DB": "postgresql",
        "LABEL_STUDIO_POSTGRE_HOST": host,
        "LABEL_STUDIO_POSTGRE_PORT": port,
        "LABEL_STUDIO_POSTGRE_NAME": name,
        "LABEL_STUDIO_POSTGRE_USER": user,
        "LABEL_STUDIO_POSTGRE_PASSWORD": password,
    }


def ensure_database(address: SecretStr) -> None:
    """Sign in once, so that what is wrong is told in a sentence and not by the end of Label Studio's log.

    Raises ConfigError as above, AccessError if the database refuses us, UnreachableError if nothing answers.
    """
    import psycopg

    parts = _parsed(address)
    try:
        psycopg.connect(address.get_secret_value(), connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        shown = f"{parts['dbname']!r} of {parts['user']!r} at {parts['host']}:{parts['port']}"
        reason = str(error).partition("FATAL:")[2].partition("\n")[0].strip() or "it does not answer"
        kind = AccessError if any(word in reason for word in REFUSED) else UnreachableError
        raise kind(f"Label Studio's database {shown} can't be used: {reason}; check {SETTING}") from None


def database_fingerprint(address: SecretStr | None, *, key: SecretStr) -> str:
    """Return what differs if the database or its password does, and without the key gives neither away."""
    word = address.get_secret_value() if address else ""
    return hmac.digest(key.get_secret_value().encode(), word.encode(), "sha256").hex()


def _parsed(address: SecretStr) -> dict[str, str]:
    """Return the parts of an address, all of them there."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    text = address.get_secret_value()
    try:
        found = conninfo_to_dict(text) if text.startswith(("postgresql://", "postgres://")) else {}
    except ProgrammingError:
        found = {}
    parts = {"port": PORT, "password": ""} | {name: str(value) for name, value in found.items()}
    if parts.keys() != set(PARTS):
        raise ConfigError(
            f"{SETTING} is no address that Label Studio can use; write postgresql://user:password@host:port/database "
            "and nothing more"
        )
    return parts
