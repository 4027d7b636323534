"""What is suspicious about a label: for people to look at, not a reason to throw it away."""

import unicodedata
from collections.abc import Collection, Iterator
from itertools import groupby

from loopline.problems.handwriting.characters import listed, named, oddities
from loopline.problems.handwriting.lines import unspellable
from loopline.problems.handwriting.recipe import Recipe

# Widths of a column, in heights of the line. A column is what a letter takes; ideographs and emoji take two.
# Half of the 5,773 lines of Copiste d'un jour (BAnQ, 2024), by 267 people, have more than 0.33 a character.
NARROWEST = 0.15  # 4 of these lines are denser
WIDEST, MARGINS = 0.75, 1.0  # 2 of these lines are wider than both together, and no drawn line of digits is
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")  # whose letters look alike
GREEK_TWINS = frozenset("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγινορσυ")  # of Latin letters (Unicode's confusables.txt); kΩ is no slip
LONGEST_WORD = 40  # characters of it that are shown


def lint(label: str, width_px: int, height_px: int, *, alphabet: Collection[str]) -> list[str]:
    """Return what is suspicious about a label, each as a reason and, after a colon, its particulars.

    The alphabet is what other labels are written with. An image's width is held against the number of characters at
    whatever height it has.
    """
    if not label:
        return ["empty label"]
    odd = oddities(label)
    findings = [f"{kind}: {listed(map(named, characters))}" for kind, characters in odd.items()]
    if unknown := sorted(set(label).difference(alphabet, *odd.values())):
        findings.append(f"unknown character: {listed(map(_shown, unknown))}")
    if mixed := [told for word in dict.fromkeys(_words(label)) if (told := _mixture(word))]:
        findings.append(f"two scripts in one word: {listed(mixed)}")
    if not unicodedata.is_normalized("NFC", label):
        findings.append("not in NFC")
    findings += _proportions(label, width_px, height_px=height_px)
    spelling = unspellable(label, width_px, height_px, recipe=Recipe())
    return findings + ([spelling] if spelling else [])


def _shown(character: str) -> str:
    """Return a character with its code point, on a circle if it needs a letter to stand on: ◌́ U+0301."""
    if character == " " or not character.isprintable():
        return named(character)
    base = "◌" if unicodedata.combining(character) else ""
    return f"{base}{character} U+{ord(character):04X}"


def _words(label: str) -> Iterator[str]:
    """Yield runs of letters, with the marks on them."""
    for is_word, run in groupby(label, lambda c: c.isalpha() or unicodedata.category(c)[0] == "M"):
        if is_word:
            yield "".join(run)


def _mixture(word: str) -> str | None:
    """Tell a word whose letters are of several scripts: pаypal (Cyrillic а, Latin pypal)."""
    of_script: dict[str, str] = {}
    for letter in word:
        script = unicodedata.name(letter, "").partition(" ")[0]
        if script in SCRIPTS:
            of_script[script] = of_script.get(script, "") + letter
    if len(of_script) < 2 or (set(of_script) == {"LATIN", "GREEK"} and not _twins(of_script["GREEK"])):
        return None
    shares = (f"{script.title()} {_cut(letters)}" for script, letters in sorted(of_script.items()))
    return f"{_cut(word)} ({', '.join(shares)})"


def _twins(greek: str) -> bool:
    return any(unicodedata.normalize("NFD", letter)[0] in GREEK_TWINS for letter in greek)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_WORD else f"{text[:LONGEST_WORD]}…"


def _proportions(label: str, width_px: int, *, height_px: int) -> list[str]:
    columns, heights = _columns(label), width_px / height_px
    about = f"length {len(label)}, {width_px}x{height_px} px"
    if heights < NARROWEST * columns:
        return [f"too long for its image: {about}"]
    return [f"too short for its image: {about}"] if heights > MARGINS + WIDEST * columns else []


def _columns(label: str) -> int:
    """Return how many letters wide a text is: marks and formats take no room, ideographs and emoji twice as much."""
    flat = (c for c in label if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in flat)
