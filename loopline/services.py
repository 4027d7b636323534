"""What runs on the laptop: each service's command and environment. Secrets stand in the environment of all, no file."""

import os
import sys
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from loopline.environment import as_environment
from loopline.keys import hash_of
from loopline.label_studio_database import database_fingerprint, database_variables
from loopline.label_studio_venv import fingerprint, venv_folder
from loopline.laptop_addresses import LaptopAddresses
from loopline.routes import HEALTH
from loopline.settings import LAPTOP, PrefectSettings, Settings
from loopline.supervised import Service

# The user's own servers and keys are no affair of the laptop's.
FOREIGN = ("AWS_", "DJANGO_", "HEARTEX_", "LABEL_STUDIO_", "LOOPLINE_", "PREFECT_", "RCLONE_", "SECRET_KEY")

DEPLOYMENTS = Path(__file__).parents[1] / "deployments"
PAGE, ROUTER = DEPLOYMENTS / "gradio" / "app.py", DEPLOYMENTS / "laptop" / "router.py"

# What Label Studio refuses to call on anyone's behalf: its own list without the loopback, where the store listens.
BANNED_SUBNETS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "233.252.0.0/24", "240.0.0.0/4", "255.255.255.255/32", "::/128", "::ffff:0:0/96", "::ffff:0:0:0/96",
    "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001:0000::/32", "2001:20::/28", "2001:db8::/32", "2002::/16",
    "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip


def laptop_services(settings: Settings, addresses: LaptopAddresses) -> list[Service]:
    """Return the services that the settings leave to the laptop, and those that the addresses ask for."""
    services = []
    if settings.store.endpoint == LAPTOP:
        services.append(_store(addresses))
    if settings.prefect.api_url == LAPTOP:
        services.append(_prefect(addresses))
    if addresses.labels:
        database = database_fingerprint(settings.laptop.label_studio_database, key=addresses.label_studio_password)
        services.append(_label_studio(addresses.label_studio_url, venv=fingerprint(settings), database=database))
    if addresses.worker:
        services.append(_worker(addresses))
    if addresses.serving and addresses.readers:
        services.append(_router(addresses))
        services += [_reader(settings, addresses, colour=colour) for colour in sorted(addresses.readers)]
    if addresses.demo:
        services.append(_demo(addresses))
    return services


def services_environment(settings: Settings, addresses: LaptopAddresses) -> dict[str, str]:
    """Return what supervisord hands to all services, secrets included."""
    home, database = settings.folder, settings.laptop.label_studio_database
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    programs = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), str(venv_folder(settings) / "bin")]
    return {
        **inherited,
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
        "PREFECT_HOME": str(home / "prefect"),
        **_store_secrets(home, addresses),
        **(_label_studio_secrets(home, addresses) if addresses.labels else {}),
        **(database_variables(database) if addresses.labels and database else {}),
        **(_worker_settings(settings, addresses) if addresses.worker else {}),
        **(_reader_secrets(settings, addresses) if addresses.serving else {}),
        "PREFECT_SERVER_API_AUTH_STRING": addresses.prefect_auth.get_secret_value(),
    }


def _store_secrets(home: Path, addresses: LaptopAddresses) -> dict[str, str]:
    secret = addresses.store_secret_key.get_secret_value()
    return {
        "RCLONE_AUTH_KEY": f'"{addresses.store_access_key},{secret}"',  # rclone reads a CSV list, of one pair here
        "RCLONE_CACHE_DIR": str(home / "run"),
        "RCLONE_CONFIG": os.devnull,
    }


def _label_studio_secrets(home: Path, addresses: LaptopAddresses) -> dict[str, str]:
    return {
        "LABEL_STUDIO_BASE_DATA_DIR": str(home / "label-studio"),
        "LABEL_STUDIO_DATABASE_NAME": str(home / "label-studio" / "label_studio.sqlite3"),
        "LABEL_STUDIO_USERNAME": addresses.label_studio_user,
        "LABEL_STUDIO_PASSWORD": addresses.label_studio_password.get_secret_value(),
    }


def _reader_secrets(settings: Settings, addresses: LaptopAddresses) -> dict[str, str]:
    key, store = addresses.reader_key.get_secret_value(), settings.store
    if store.endpoint == LAPTOP:
        access, secret = addresses.store_access_key, addresses.store_secret_key
    else:
        access, secret = store.access_key or "", store.secret_key or SecretStr("")
    keys = {"LOOPLINE_STORE__ACCESS_KEY": access, "LOOPLINE_STORE__SECRET_KEY": secret.get_secret_value()}
    return {"LOOPLINE_CLIENT__KEY": key, "LOOPLINE_PAGE": str(PAGE), "LOOPLINE_ROUTER": str(ROUTER)} | {
        name: value for name, value in keys.items() if value
    }


def _store(addresses: LaptopAddresses) -> Service:
    where = urlsplit(addresses.store_url).netloc
    command = f"rclone serve s3 --addr {where} --dir-cache-time 1s store"
    return Service(name="store", url=addresses.store_url, health="/", command=command, environment={})


def _prefect(addresses: LaptopAddresses) -> Service:
    url = addresses.prefect_url.removesuffix("/api")
    port = urlsplit(url).port
    return Service(
        name="prefect",
        url=url,
        health="/api/health",
        command=f"{Path(sys.executable).name} -P -m prefect server start --host 127.0.0.1 --port {port}",
        environment={
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Prefect's client keeps a connection for 25 s. A server that ends it sooner costs 2 s, the client's pause
            # before it asks again, after each step that takes longer.
            "PREFECT_SERVER_API_KEEPALIVE_TIMEOUT": "60",
            # By default any web page may speak to this server through the user's browser.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            # Leases of concurrency slots outlive the server, so that a slot held while it restarts is freed.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_UI_API_URL": addresses.prefect_url,
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        },
    )


def _label_studio(url: str, *, venv: str, database: str) -> Service:
    port = urlsplit(url).port
    return Service(
        name="label-studio",
        url=url,
        health="/health",
        # Without --debug, which does nothing else, it moves to the next port when this one is taken.
        command=f"label-studio start --no-browser --debug --internal-host 127.0.0.1 --port {port}",
        environment={
            "LABEL_STUDIO_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "LABEL_STUDIO_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "true",
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
            "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": ",".join(BANNED_SUBNETS),
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "false",
            "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
            "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
            "LABEL_STUDIO_SENTRY_DSN": "",
            "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
            # It takes these without its prefix as well, as other programs leave them in the user's environment.
            "LABEL_STUDIO_CI": "false",
            "LABEL_STUDIO_DEBUG": "false",
            "LABEL_STUDIO_HOST": "",
            "LABEL_STUDIO_MINIO_STORAGE_ENDPOINT": "",
            "LABEL_STUDIO_STORAGE_TYPE": "",
            "LOG_LEVEL": "ERROR",
            "PYTHONPATH": "",
            "XDG_CONFIG_HOME": "label-studio/config",
            # So that it is another service, to be started anew, in another environment or with another database.
            "LOOPLINE_VENV": venv,
            "LOOPLINE_DATABASE": database,
        },
    )


def flow_environment(prefect: PrefectSettings) -> dict[str, str]:
    """Return how processes that run flows find their server, and what they log."""
    auth = prefect.auth_string.get_secret_value() if prefect.auth_string else ""
    return {
        "PREFECT_API_URL": prefect.api_url,
        **({"PREFECT_API_AUTH_STRING": auth} if auth else {}),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",  # without it, Prefect's client reports usage when a server elsewhere allows it
        "PREFECT_LOGGING_EXTRA_LOGGERS": "loopline",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; a run that is silent for five of them is dead
        # GNU OpenMP's threads wait by spinning: a second process on the same cores makes training 10 times slower.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
    }


def _worker_settings(settings: Settings, addresses: LaptopAddresses) -> dict[str, str]:
    """Return what a worker's flows need: what the user set, wherever it was read from, and where Prefect is."""
    ours = {"api_url": addresses.prefect_url, "auth_string": addresses.prefect_auth}
    is_laptop = settings.prefect.api_url == LAPTOP
    return as_environment(settings) | flow_environment(settings.prefect.model_copy(update=ours if is_laptop else {}))


def _worker(addresses: LaptopAddresses) -> Service:
    where, python = urlsplit(addresses.worker_url), Path(sys.executable).name
    return Service(
        name="worker",
        url=addresses.worker_url,
        health="/health",
        command=f"{python} -P -m prefect worker start --pool laptop --type process --with-healthcheck",
        environment={
            "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
            "PREFECT_WORKER_WEBSERVER_PORT": str(where.port),
            "PREFECT_WORKER_QUERY_SECONDS": "2",  # how late a run may start
        },
    )


def _router(addresses: LaptopAddresses) -> Service:
    return Service(
        name="reader",
        url=addresses.reader_url,
        health=HEALTH,
        command=f'{Path(sys.executable).name} "%(ENV_LOOPLINE_ROUTER)s"',
        environment={"ROUTER_PORT": str(urlsplit(addresses.reader_url).port)},
    )


def _reader(settings: Settings, addresses: LaptopAddresses, *, colour: str) -> Service:
    standing, store, ours = addresses.readers[colour], settings.store, settings.service
    python, port = Path(sys.executable).name, urlsplit(standing.url).port
    return Service(
        name=f"reader-{colour}",
        url=standing.url,
        health="/readyz",
        command=f"{python} -P -m bentoml serve {standing.bento} --host 127.0.0.1 --port {port}",
        environment={
            "BENTOML_HOME": "bentoml",
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_CONFIG_OPTIONS": "services.reader.workers=1",
            "LOOPLINE_SERVICE__KEY_HASHES": hash_of(addresses.reader_key.get_secret_value()),
            "LOOPLINE_SERVICE__OPEN": "false",  # whatever the user's settings, which reach it where a worker is
            "LOOPLINE_SERVICE__CAPTURE": "true",
            "LOOPLINE_SERVICE__CAPTURE_DAYS": str(ours.capture_days),
            "LOOPLINE_SERVICE__LEAST_CONFIDENCE": str(ours.least_confidence),
            "LOOPLINE_SERVICE__SPOOL": "reader/spool",
            "LOOPLINE_STORE__ENDPOINT": addresses.store_url if store.endpoint == LAPTOP else store.endpoint,
            "LOOPLINE_STORE__BUCKET": store.bucket,
            "LOOPLINE_STORE__PREFIX": store.prefix,
            "LOOPLINE_STORE__REGION": store.region,
        },
    )


def _demo(addresses: LaptopAddresses) -> Service:
    return Service(
        name="demo",
        url=addresses.demo_url,
        health="/",
        command=f'{Path(sys.executable).name} "%(ENV_LOOPLINE_PAGE)s"',
        environment={
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_SERVER_PORT": str(urlsplit(addresses.demo_url).port),
            "LOOPLINE_CLIENT__URL": addresses.reader_url,
        },
    )
