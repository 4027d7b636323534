"""A personal access token for the user of a Label Studio that was just set up, got as a browser gets it.

Label Studio gives the token to a user who has signed in, once, and to none who has a valid one already.
"""

from http import HTTPStatus

import httpx
from pydantic import SecretStr

from loopline.errors import AccessError, UnreachableError

TIMEOUT_SECONDS = 60  # it is slow just after its start, on a busy machine


def personal_token(url: str, *, user: str, password: SecretStr, known: SecretStr) -> SecretStr:
    """Return the known token if the server takes it; else a new one, in place of any that the user may have.

    Raises AccessError if the password is refused, UnreachableError if the server does not do its part.
    """
    # Of the environment's proxies none leads to the loopback.
    with httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            if known and _is_valid(client, known):
                return known
            _sign_in(client, user=user, password=password)
            _revoke_tokens(client)
            return SecretStr(_post(client, "/api/token/").json()["token"])
        except httpx.HTTPError as error:
            words = str(error).partition("\n")[0] or type(error).__name__
            raise UnreachableError(f"Label Studio at {url} gave no access token: {words}; run this again") from None


def _is_valid(client: httpx.Client, token: SecretStr) -> bool:
    response = client.post("/api/token/refresh/", json={"refresh": token.get_secret_value()})
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        return False
    response.raise_for_status()
    return True


def _sign_in(client: httpx.Client, *, user: str, password: SecretStr) -> None:
    client.get("/user/login/").raise_for_status()
    form = {"email": user, "password": password.get_secret_value()}
    response = client.post("/user/login/", data=form, headers=_no_forgery(client))
    if not response.is_redirect:
        response.raise_for_status()
        raise AccessError(
            f"Label Studio at {client.base_url} refused {user}: its data were made with another password; bring back "
            "the addresses.json of that time, or move the folder label-studio away to begin anew"
        )


def _revoke_tokens(client: httpx.Client) -> None:
    for kept in client.get("/api/token/").raise_for_status().json():
        _post(client, "/api/token/blacklist/", refresh=kept["token"])


def _post(client: httpx.Client, path: str, **body: str) -> httpx.Response:
    return client.post(path, json=body, headers=_no_forgery(client)).raise_for_status()


def _no_forgery(client: httpx.Client) -> dict[str, str]:
    return {"X-CSRFToken": client.cookies.get("csrftoken") or "", "Referer": str(client.base_url)}
