"""What a registry says of an announcement: it believes nothing that it does not know, and a release moves stages."""

from pathlib import Path

import pytest
from registries import PROBLEM, Place, make_place

from loopline.errors import DataError
from loopline.settings import StoreSettings
from loopline.subscribing import confirmed


@pytest.fixture
def place(s3_server: StoreSettings, tmp_path: Path) -> Place:
    return make_place(s3_server, tmp_path)


def stages(place: Place) -> dict[str, str]:
    return {stage: model.judged.version for model in place.registry.models(PROBLEM) for stage in model.stages}


def test_only_the_champion_is_confirmed_and_others_are_told_apart(place: Place) -> None:
    with pytest.raises(DataError, match="has no champion"):
        confirmed(place.registry.models(PROBLEM), PROBLEM)
    first = place.commit_model("one")
    held = place.commit_model("two", ready=False, met=first.version)
    second = place.commit_model("three", met=first.version)
    models, digest = place.registry.models(PROBLEM), second.packaged.archive.sha256
    assert (
        confirmed(models, PROBLEM)
        == confirmed(models, PROBLEM, version=second.version, package_sha256=digest)
        == second
    )
    for version, sha256, reason in (
        ("v99.0.0", None, "the registry has no"),
        (second.version, "f" * 64, "is another package"),
        (held.version, None, "was held back"),
        (first.version, None, f"is not the champion; that is {second.version}"),
    ):
        with pytest.raises(DataError, match=reason):
            confirmed(models, PROBLEM, version=version, package_sha256=sha256)


def test_a_release_is_noted_once_and_one_that_failed_gives_its_championship_back(place: Place) -> None:
    first = place.commit_model("one")
    assert place.registry.release(PROBLEM, first.version, target="laptop") is None
    second = place.commit_model("two", met=first.version)
    assert place.registry.release(PROBLEM, second.version, target="laptop") == first.version
    assert place.registry.release(PROBLEM, second.version, target="laptop") == second.version
    assert stages(place) == {"champion": second.version, "previous": first.version, "laptop": second.version}
    for _ in range(2):
        place.registry.withdraw(PROBLEM, second.version, target="laptop", restored=first.version)
        assert stages(place) == {"champion": first.version, "previous": first.version, "laptop": first.version}


def test_a_first_release_that_failed_leaves_no_champion(place: Place) -> None:
    first = place.commit_model("one")
    place.registry.withdraw(PROBLEM, first.version, target="laptop", restored=None)
    assert stages(place) == {}
    assert place.commit_model("two").version == "v2.0.0"


def test_a_champion_that_came_meanwhile_keeps_its_place(place: Place) -> None:
    first = place.commit_model("one")
    second = place.commit_model("two", met=first.version)
    third = place.commit_model("three", met=second.version)
    place.registry.withdraw(PROBLEM, second.version, target="laptop", restored=first.version)
    assert stages(place)["champion"] == third.version
