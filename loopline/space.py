"""Where a search looks: the recipe's own bounds and the plan's, as Optuna's distributions."""

import itertools
import math
import random
import typing
from collections.abc import Mapping
from typing import Any, Literal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from loopline.contracts import Scalar
from loopline.details import SearchDimension
from loopline.errors import ConfigError
from loopline.orders import FitPlan
from loopline.problems import Problem, Search

Space = Mapping[str, SearchDimension]

GRID_POINTS = 3  # of a value with bounds: both ends and the middle; the grid grows with their power
LARGEST_GRID = 20_000  # trials: more than anyone waits for, few enough to be shuffled in memory
NEVER_SEARCHED = frozenset({"epochs", "patience"})  # they decide how long a trial learns, not how well


def search_space(problem: Problem, plan: FitPlan) -> dict[str, SearchDimension]:
    """Return where to look: the plan's own bounds, else the problem's for each value that the plan does not set.

    Raises ConfigError for an unknown value, for bounds outside the recipe's, and for a search of nothing.
    """
    asked = plan.search.space if plan.search else {}
    fields = problem.recipe.model_fields
    space = {
        name: _own_dimension(field, search)
        for name, field in fields.items()
        if name not in plan.recipe and name not in asked and (search := _search(field))
    }
    space |= {name: _asked_dimension(problem, name, asked[name]) for name in asked}
    if not space:
        raise ConfigError(f"the plan sets every value of the recipe for {problem.name}, so nothing is left to search")
    return {name: space[name] for name in fields if name in space}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the space as Optuna knows it."""
    return {name: _distribution(dimension) for name, dimension in space.items()}


def grid(space: Space, *, seed: int) -> list[dict[str, Scalar]]:
    """Return every combination of a few values of each dimension, in an order of the seed.

    Raises ConfigError for a grid that no one would wait for.
    """
    points = [
        [(name, value) for value in _grid_values(distribution)] for name, distribution in distributions(space).items()
    ]
    if (size := grid_size(space)) > LARGEST_GRID:
        raise ConfigError(f"a grid over {', '.join(space)} has {size:,} trials; name fewer values in the search space")
    combinations = [dict(values) for values in itertools.product(*points)]
    random.Random(seed).shuffle(combinations)  # noqa: S311  # no secret
    return combinations


def grid_size(space: Space) -> int:
    """Return how many combinations a grid has."""
    return math.prod(len(_grid_values(distribution)) for distribution in distributions(space).values())


def contains(space: Space, values: Mapping[str, Any]) -> bool:
    """Tell whether values of a recipe lie within the space."""
    return all(_is_inside(dimension, values[name]) for name, dimension in space.items())


def _is_inside(dimension: SearchDimension, value: Any) -> bool:
    if dimension.choices:
        return value in dimension.choices
    assert dimension.low is not None and dimension.high is not None
    steps = (value - dimension.low) / (dimension.step or 1)
    return dimension.low <= value <= dimension.high and (dimension.step is None or steps == int(steps))


def _search(field: FieldInfo) -> Search | None:
    return next((found for found in field.metadata if isinstance(found, Search)), None)


def _own_dimension(field: FieldInfo, search: Search) -> SearchDimension:
    if choices := _choices(field):
        return SearchDimension(choices=choices)
    return SearchDimension(low=search.low, high=search.high, step=_step(field), log=search.log)


def _asked_dimension(problem: Problem, name: str, values: tuple[Scalar, ...]) -> SearchDimension:
    field = problem.recipe.model_fields.get(name)
    if field is None or name in NEVER_SEARCHED:
        known = ", ".join(sorted(problem.recipe.model_fields.keys() - NEVER_SEARCHED))
        raise ConfigError(f"the search space names {name}, which can't be searched for; choose from: {known}")
    for value in values:
        _check(problem, name, value)
    if _choices(field):
        return SearchDimension(choices=values)
    if len(values) != 2 or not values[0] < values[1]:  # type: ignore[operator]
        raise ConfigError(f"the search space of {name} is {list(values)}; give its lowest and its highest value")
    search = _search(field)
    low, high = float(values[0]), float(values[1])
    return SearchDimension(low=low, high=high, step=_step(field), log=bool(search and search.log and low > 0))


def _check(problem: Problem, name: str, value: Scalar) -> None:
    try:
        problem.recipe.model_validate({name: value})
    except ValidationError as error:
        wrong = error.errors()[0]["msg"].lower()
        raise ConfigError(f"the search space of {name} holds {value}, outside the recipe's bounds: {wrong}") from None


def _choices(field: FieldInfo) -> tuple[Scalar, ...]:
    if field.annotation is bool:
        return (False, True)
    return typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()


def _step(field: FieldInfo) -> float | None:
    if field.annotation is not int:
        return None
    return next((float(found.multiple_of) for found in field.metadata if hasattr(found, "multiple_of")), 1.0)


def _distribution(dimension: SearchDimension) -> BaseDistribution:
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None and dimension.high is not None
    if dimension.step is None:
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    step, low = int(dimension.step), int(dimension.low)
    high = low + (int(dimension.high) - low) // step * step
    return IntDistribution(low, high, log=dimension.log and step == 1, step=step)


def _grid_values(distribution: BaseDistribution) -> list[Scalar]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)  # type: ignore[arg-type]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    shares = [number / (GRID_POINTS - 1) for number in range(GRID_POINTS)]
    values = [low * (high / low) ** share if distribution.log else low + (high - low) * share for share in shares]
    if isinstance(distribution, FloatDistribution):
        return list(values)
    steps = [round((value - low) / distribution.step) * distribution.step for value in values]
    return list(dict.fromkeys(int(low + step) for step in steps))
