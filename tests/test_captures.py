"""What is kept of a question names itself, leads to its place, and holds no more than it says."""

import io
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import SecretStr, TypeAdapter, ValidationError

from loopline.answers import PredictionId
from loopline.captures import bare_png, day_of, is_ours, new_prediction_id, place, signing_secret, tombstone
from loopline.errors import ConfigError, DataError
from loopline.images import decode
from loopline.settings import ServiceSettings

SECRET, KEY = b"correct horse battery staple", "ab" * 32
NOW = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)
START = "import sys; from pathlib import Path; from loopline.captures import signing_secret as secret; "
START += "from loopline.settings import ServiceSettings as S; print(secret(S(spool=Path(sys.argv[1]))).hex())"


def test_an_id_is_known_to_whoever_holds_the_secret_and_belongs_to_the_key_that_asked() -> None:
    name = new_prediction_id(KEY, secret=SECRET, now=NOW)
    assert TypeAdapter(PredictionId).validate_python(name) == name
    assert is_ours(name, KEY, secret=SECRET)
    assert not is_ours(name, "cd" * 32, secret=SECRET)
    assert not is_ours(name, "", secret=SECRET)
    assert not is_ours(name, KEY, secret=b"another secret")


def test_an_id_changed_anywhere_is_not_ours() -> None:
    name = new_prediction_id(KEY, secret=SECRET, now=NOW)
    changed = [f"{name[:at]}{'0' if sign != '0' else '1'}{name[at + 1 :]}" for at, sign in enumerate(name)]
    for wrong in (*changed, name[:-1], f"{name}0", name.upper(), f"{name}\n", "", "../../etc/passwd", "ü" * 62):
        assert not is_ours(wrong, KEY, secret=SECRET), wrong


def test_ids_are_never_alike() -> None:
    assert len({new_prediction_id(KEY, secret=SECRET, now=NOW) for _ in range(1000)}) == 1000


def test_an_id_leads_to_its_day_by_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    name = new_prediction_id(KEY, secret=SECRET, now=there)
    assert day_of(name) == date(2026, 11, 26)
    assert place(name, ".png") == f"captured/dt=2026-11-26/{name}.png"
    assert tombstone(name) == f"captured/forgotten/{name}"


@pytest.mark.parametrize("name", ["", "x" * 62, "../../../../secret", "20261399-" + "0" * 20 + "-" + "0" * 32])
def test_a_name_that_is_no_id_leads_nowhere(name: str) -> None:
    for where in (lambda: place(name, ".png"), lambda: tombstone(name)):
        with pytest.raises(DataError, match="is no prediction id"):
            where()


def test_processes_that_start_at_once_agree_on_a_secret_that_only_they_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    started = [
        subprocess.Popen([sys.executable, "-c", START, folder], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert len({process.communicate()[0] for process in started}) == 1
    assert [path.name for path in folder.iterdir()] == ["secret"]
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_secret_of_the_settings_leaves_no_file(tmp_path: Path) -> None:
    settings = ServiceSettings(signing_secret=SecretStr("sixteen letters!"), spool=tmp_path)
    assert signing_secret(settings) == b"sixteen letters!"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValidationError, match="at least 16"):
        ServiceSettings(signing_secret=SecretStr("short"))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="LOOPLINE_SERVICE__SPOOL"):
        signing_secret(ServiceSettings(spool=tmp_path / "file"))


def test_a_picture_is_kept_upright_and_grey_without_a_word_about_whoever_took_it() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 40), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9286] = 6, "CAMERA OF ADA", "AT HOME"
    said = PngInfo()
    said.add_text("Author", "ADA")
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, "PNG", exif=exif, icc_profile=b"PROFILE OF ADA", pnginfo=said, dpi=(300, 300))
    png = bare_png(decode(body.getvalue()))
    kept = Image.open(io.BytesIO(png))
    kept.load()
    assert (kept.mode, kept.size, kept.info) == ("L", (20, 40), {})
    assert np.array_equal(np.asarray(kept), np.rot90(pixels, -1))
    assert {png[at : at + 4] for at in range(len(png)) if png[at : at + 4].isalpha()} >= {b"IHDR", b"IDAT", b"IEND"}
    assert b"ADA" not in png and b"eXIf" not in png and b"pHYs" not in png
