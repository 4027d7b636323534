"""What the laptop's demo page shows: the champion, as a Bento of this home folder."""

from loopline.clients.bento import build_bento
from loopline.clients.store import Store
from loopline.contracts import PackagedModel
from loopline.errors import ConfigError
from loopline.laptop_addresses import LaptopAddresses
from loopline.registry import Registry
from loopline.scratch import private_folder
from loopline.settings import LAPTOP, Settings

PROBLEM = "handwriting"  # what the page can show
NO_CHAMPION = "there is no model to show yet; `loopline run` builds one (`make run`, from drawn samples)"


def champion_bento(settings: Settings) -> str:
    """Return the tag of the champion's Bento, which is built here if it was built elsewhere.

    Raises ConfigError if there is no champion, and what registry and store raise.
    """
    if settings.store.endpoint == LAPTOP and not LaptopAddresses.path(settings.folder).exists():
        raise ConfigError(NO_CHAMPION)  # nothing was ever started
    store = settings.resolved_store()
    champion = Registry(settings.resolved_registry(), store, home=settings.folder).champion(PROBLEM)
    if champion is None:
        raise ConfigError(NO_CHAMPION)
    return bento_of(settings, champion.judged.packaged)


def bento_of(settings: Settings, packaged: PackagedModel) -> str:
    """Return the tag of a package's Bento in this home folder; it is built here if it was built elsewhere."""
    home = settings.folder
    name, _, version = packaged.bento_tag.partition(":")
    bentos = home / "bentoml"
    if not (bentos / "bentos" / name / version).exists():
        with private_folder(home / "cache" / "bento") as folder:
            archive = Store(settings.resolved_store()).read_artifact(packaged.archive)
            build_bento(archive, name, version=version, home=bentos, folder=folder)
    return packaged.bento_tag
