"""Which images are worth labelling first: those the champion is least sure of, those least like what is labelled, and
a share at random, which alone tells honestly how good the model is."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from loopline.orders import LabelPolicy

MOST_SPREAD = 2000  # images put farthest first; each costs a pass over all others, and nobody labels more in one go

Embeddings = Mapping[str, npt.NDArray[np.float32]]  # image -> what the model makes of it, (D,)


def rank(
    images: Iterable[str],
    *,
    policy: LabelPolicy,
    confidences: Mapping[str, float],
    embeddings: Embeddings,
    labelled: Sequence[npt.NDArray[np.float32]],
) -> list[str]:
    """Return the images, the most useful first: three orders dealt out by the policy's weights.

    Any beginning of the list holds each part's share. Images without confidence or embedding (no champion yet) take
    part at random only. The same images give the same order.
    """
    waiting = set(images)
    orders = {
        "uncertain": sorted(confidences.keys() & waiting, key=lambda image: (confidences[image], image)),
        "different": farthest_first(
            {image: embeddings[image] for image in sorted(embeddings.keys() & waiting)}, labelled
        ),
        "random": sorted(waiting, key=lambda image: hashlib.blake2b(image.encode(), digest_size=8).digest()),
    }
    weights = {name: getattr(policy, name) for name in orders}
    if not any(weights.values()):
        weights["random"] = 1.0
    return list(_dealt({name: iter(order) for name, order in orders.items()}, weights, count=len(waiting)))


def farthest_first(embeddings: Embeddings, labelled: Sequence[npt.NDArray[np.float32]]) -> list[str]:
    """Order images so that each is the farthest from all before it and from what is labelled.

    The greedy k-center of Gonzalez 1985, as a core set (Sener and Savarese 2018). Beyond MOST_SPREAD by distance alone.
    """
    names = list(embeddings)
    if not names:
        return []
    points_ND = np.stack([embeddings[name] for name in names])
    nearest_N = np.full(len(names), np.inf, dtype=np.float32)
    for anchor_D in labelled or [points_ND.mean(axis=0)]:
        np.minimum(nearest_N, _distances(points_ND, anchor_D), out=nearest_N)
    order: list[int] = []
    for _ in range(min(MOST_SPREAD, len(names))):
        chosen = int(nearest_N.argmax())
        order.append(chosen)
        np.minimum(nearest_N, _distances(points_ND, points_ND[chosen]), out=nearest_N)
        nearest_N[chosen] = -1
    rest = [number for number in np.argsort(-nearest_N, kind="stable") if nearest_N[number] >= 0]
    return [names[number] for number in [*order, *rest]]


def _dealt(orders: Mapping[str, Iterator[str]], weights: Mapping[str, float], *, count: int) -> Iterator[str]:
    """Yield from the orders in turn, each as often as its weight says (smooth weighted round robin)."""
    balance, taken = dict.fromkeys(orders, 0.0), set[str]()
    live = {name for name, weight in weights.items() if weight > 0}
    while len(taken) < count:
        live = live or {"random"}
        for name in live:
            balance[name] += weights[name] or 1.0
        name = max(sorted(live), key=lambda one: balance[one])
        balance[name] -= sum(weights[one] or 1.0 for one in live)
        image = next((image for image in orders[name] if image not in taken), None)
        if image is None:
            live.discard(name)
        else:
            taken.add(image)
            yield image


def _distances(points_ND: npt.NDArray[np.float32], anchor_D: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return squared Euclidean distances, (N,)."""
    difference_ND = points_ND - anchor_D
    distances_N: npt.NDArray[np.float32] = np.einsum("nd,nd->n", difference_ND, difference_ND)
    return distances_N
