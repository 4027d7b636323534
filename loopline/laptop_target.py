"""The laptop as a place where models answer: readers of three colours behind one address, under the supervisor.

What is in service stays as it is while another colour gets the candidate; afterwards it stands ready, so that a
rollback is a line in a file. A candidate that fails takes neither's place.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from loopline import supervised
from loopline.addresses import Wanted, choose_addresses, write_addresses
from loopline.client import Client
from loopline.contracts import PackagedModel
from loopline.demo import bento_of
from loopline.errors import ConfigError
from loopline.laptop_addresses import LaptopAddresses
from loopline.locking import locked
from loopline.routes import AMBER, BLUE, GREEN, Colour, Pair, Routes, pairs_path, read_pairs, read_routes, write_routes
from loopline.services import laptop_services
from loopline.settings import Settings

COLOURS = (BLUE, GREEN, AMBER)


class LaptopTarget:
    """The readers of a home folder, whose services `loopline up --worker` or `--demo` has started."""

    name = "laptop"

    def __init__(self, settings: Settings) -> None:
        self._settings, self._home = settings, settings.folder

    def standing(self) -> str | None:
        """Return the Bento's tag of what answers; None before the first release."""
        routes = read_routes(self._home)
        return self._bento(routes.live) if routes else None

    def ready(self) -> str | None:
        """Return the Bento's tag of what answered before and still stands."""
        routes = read_routes(self._home)
        return self._bento(routes.ready) if routes and routes.ready else None

    def deploy(self, packaged: PackagedModel) -> None:
        """Start a model beside the one that answers, and wait until it could; FinalError says why it can't."""
        tag = bento_of(self._settings, packaged)
        self._go_on()  # a trial that was killed ends here
        self._stand({self._candidate: tag})

    def client(self, *, candidate: bool) -> Client:
        """Return what asks the candidate, or what answers now, and has nothing kept."""
        addresses, routes = self._addresses(), read_routes(self._home)
        colour = self._candidate if candidate or routes is None else routes.live
        key = addresses.reader_key.get_secret_value()
        return Client(addresses.readers[colour].url, key, retries=2, capture=False)

    def split(self, share: float, *, shadow: bool, seconds: float) -> None:
        """Give the candidate a share of the live pictures for so long; of the answers before, none counts any more."""
        pairs_path(self._home).unlink(missing_ok=True)
        if routes := read_routes(self._home):
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            trial = {"trial": self._candidate, "share": share, "shadow": shadow, "until": until}
            write_routes(self._home, routes.model_copy(update=trial))

    def pairs(self) -> list[Pair]:
        """Return what both answered since the split."""
        return read_pairs(self._home)

    def promote(self, packaged: PackagedModel) -> None:
        """Let the candidate answer, if it does not yet; what answered stands ready."""
        if self.standing() != packaged.bento_tag:
            if self._bento(self._candidate) != packaged.bento_tag:
                raise ConfigError(f"{packaged.bento_tag} does not stand beside what answers; release it again")
            routes = read_routes(self._home)
            write_routes(self._home, Routes(live=self._candidate, ready=routes.live if routes else None))
        self._stand({})

    def withdraw(self) -> None:
        """Let what answers go on alone."""
        self._go_on()
        self._stand({})

    def roll_back(self) -> None:
        """Let what answered before answer again, from the next request on; ConfigError if nothing stands ready."""
        routes = read_routes(self._home)
        if routes is None or routes.ready is None:
            raise ConfigError("no version stands ready on the laptop; release the one you want")
        write_routes(self._home, Routes(live=routes.ready))
        self._stand({})

    @property
    def _candidate(self) -> Colour:
        """The colour that neither answers nor stands ready."""
        return next(colour for colour in COLOURS if colour not in self._kept())

    def _kept(self) -> tuple[Colour | None, ...]:
        routes = read_routes(self._home)
        return (routes.live, routes.ready) if routes else ()

    def _go_on(self) -> None:
        if routes := read_routes(self._home):
            write_routes(self._home, Routes(live=routes.live, ready=routes.ready))

    def _bento(self, colour: Colour) -> str | None:
        reader = self._addresses().readers.get(colour)
        return reader.bento if reader else None

    def _addresses(self) -> LaptopAddresses:
        return LaptopAddresses.read(self._home)

    def _stand(self, new: Mapping[str, str]) -> None:
        """Have new readers beside those that answer or stand ready, and no others; all else runs on."""
        with locked(self._home):
            last = self._addresses()
            if not last.serving:
                raise ConfigError("no models are served here; start them with `loopline up --worker`")
            readers: dict[str, str] = {name: one.bento for name, one in last.readers.items() if name in self._kept()}
            readers.update(new)
            wanted = Wanted(labels=last.labels, worker=last.worker, demo=last.demo, readers=readers)
            addresses = choose_addresses(self._settings, wanted, last=last, running=True)
            write_addresses(self._home, addresses)
            services = laptop_services(self._settings, addresses)
            supervised.change(self._home, services)
        waited = {"reader", *(f"reader-{colour}" for colour in new)}
        supervised.wait_until_healthy(self._home, [service for service in services if service.name in waited])
