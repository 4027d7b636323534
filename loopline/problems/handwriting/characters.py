"""Characters that nobody writes by hand: controls, what can't be seen, what is left of a damaged text."""

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

KINDS: Mapping[str, str] = MappingProxyType(  # of Unicode's general categories
    {
        "Cc": "control character",
        "Zl": "control character",
        "Zp": "control character",
        "Cf": "invisible character",  # bidirectional marks, byte order mark, zero-width spaces, soft hyphen, tags
        "Cs": "half a character",
        "Co": "private character",
        "Cn": "unassigned character",
    }
)
LEARNABLE = {  # kinds that may yet be ink, and do no harm
    "private character",  # medieval letters stand there (MUFI)
    "unassigned character",  # to this Python: newer scripts and emoji, which must not depend on where a label is read
}
LOST = "\ufffc\ufffd"  # stand for what could not be kept or decoded
# Written, though formats by category: Prepended_Concatenation_Mark (Unicode's PropList.txt) and a gap in Mongolian.
SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\u180e"
# Unseen, though no formats by category: Default_Ignorable_Code_Point (Unicode's DerivedCoreProperties.txt) without
# Mongolian's variants, which are written differently; and Braille without a dot.
UNSEEN = frozenset(
    {"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u3164", "\uffa0", "\u2800"}
    | set(map(chr, range(0xFE00, 0xFE10)))  # variation selectors, which keyboards add to emoji
    | set(map(chr, range(0xE0100, 0xE01F0)))  # more of them
)
JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner
VIRAMA = 9  # Unicode's canonical combining class
MOST_NAMED = 5  # particulars in one message; it must fit into a table


def oddities(label: str) -> dict[str, list[str]]:
    """Return the distinct characters that nobody writes, by kind, in the order in which they first come."""
    found: dict[str, dict[str, None]] = {}
    for place, character in enumerate(label):
        kind = _kind(character)
        if kind and not (character in JOINERS and _shapes(label, place)):
            found.setdefault(kind, {})[character] = None
    return {kind: list(characters) for kind, characters in found.items()}


def unlearnable(label: str) -> str | None:
    """Say which characters of a label no ink can stand for, or None if there are none.

    They are not taken out in silence: what came with them, from another program, is worth a look.
    """
    for kind, characters in oddities(label).items():
        if kind not in LEARNABLE:
            return f"{kind}: {listed(named(character) for character in characters)}"
    return None


def named(character: str) -> str:
    """Return a character's code point and name, without the character: U+200B ZERO WIDTH SPACE."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def listed(particulars: Iterable[str]) -> str:
    """Return the first MOST_NAMED of them, and how many more there are."""
    every = list(particulars)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more


def _kind(character: str) -> str | None:
    if character in LOST:
        return "lost character"
    if character in SIGNS:
        return None
    return "invisible character" if character in UNSEEN else KINDS.get(unicodedata.category(character))


def _shapes(label: str, place: int) -> bool:
    """Tell whether a joiner changes what is written: beside a virama, or after an Arabic letter.

    RFC 5892, appendix A.1 and A.2; the joining types that it asks for are not in Python, so any letter of a script
    that joins counts.
    """
    if any(unicodedata.combining(character) == VIRAMA for character in label[max(place - 1, 0) : place + 2]):
        return True
    before = place - 1
    while before >= 0 and unicodedata.combining(label[before]):
        before -= 1
    return before >= 0 and unicodedata.bidirectional(label[before]) == "AL"
