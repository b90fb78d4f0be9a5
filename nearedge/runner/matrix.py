"""Fan-out: the params of each TaskRun of a Task with a matrix, in Tekton's order."""

from collections.abc import Mapping

from nearedge.errors import InputError
from nearedge.runner.model import Matrix
from nearedge.runner.parse import MOST_COMBINATIONS
from nearedge.runner.substitution import Scope, Value, text, value


def combinations(matrix: Matrix, scope: Scope) -> list[dict[str, Value]]:
    """The params of every TaskRun; empty where one of the arrays is.

    As in Tekton, an `include` adds its params to the combinations that hold the same values under the names they share
    (to all where they share none), and stands as a combination of its own where no combination holds them.
    Raises InputError for more than 256 combinations or a param that is no array.
    """
    arrays = {name: array(name, value(template, scope)) for name, template in matrix.params.items()}
    if any(not items for items in arrays.values()):
        return []
    found = fanned_out(arrays) if arrays else []
    alone: list[dict[str, Value]] = []
    for extra in matrix.include:
        given = {name: text(template, scope) for name, template in extra.items()}
        hits = [combination for combination in found if fits(combination, given, arrays)]
        for combination in hits:
            combination.update(given)
        if not hits:
            alone.append(dict(given))
    if len(found) + len(alone) > MOST_COMBINATIONS:
        raise InputError(
            f"the matrix has {len(found) + len(alone)} combinations; Tekton runs at most {MOST_COMBINATIONS}"
        )
    return found + alone


def fanned_out(arrays: Mapping[str, list[str]]) -> list[dict[str, Value]]:
    """Every combination; as in Tekton the first param changes fastest."""
    found: list[dict[str, Value]] = [{}]
    for name, items in arrays.items():
        found = [{**combination, name: item} for item in items for combination in found]
    return found


def fits(combination: Mapping[str, Value], given: Mapping[str, str], arrays: Mapping[str, list[str]]) -> bool:
    """Whether an include belongs to a combination: the names it shares with the product have the same values there."""
    return all(combination[name] == item for name, item in given.items() if name in arrays)


def array(name: str, found: Value) -> list[str]:
    """The items of one matrix param."""
    if not isinstance(found, list):
        raise InputError(f"matrix param {name}: is no array")
    return found
