"""Names that depend on the model alone, so that the same model gives the same .xml and .bin every time.

Converters name nodes with a counter that goes on through the process, leave their own tensor names inside the graph,
and note how they were called. None of that says anything about what the model computes.
"""

from collections.abc import Sequence
from typing import Any

from nearedge.release.description import Description

SPECIAL = ("Parameter", "Result")


def canonical(model: Any, description: Description) -> Any:  # openvino.Model
    """`model` with the names of `description`: inputs and outputs in its order, all else numbered. Returns it."""
    _number(model, "")
    _part_results(model)
    model.set_friendly_name(description.name)
    for key in list(model.get_rt_info().keys()):
        del model.get_rt_info()[key]
    _number(model, "")
    _name_ends(model, [one.name for one in description.inputs], [one.name for one in description.outputs])
    return model


def _number(model: Any, prefix: str) -> None:  # openvino.Model
    """Name each node by its type and its place in the topological order, in bodies of If and Loop too."""
    for index, node in enumerate(model.get_ordered_ops()):
        name = f"{prefix}{node.get_type_name()}_{index}"
        node.set_friendly_name(name)
        for output in node.outputs():
            output.get_tensor().set_names(set())
        info = node.get_rt_info()
        for key in [key for key in info if str(key).startswith("fused_names")]:
            del info[key]
        for number, body in enumerate(_bodies(node)):
            body.set_friendly_name(f"{name}.{number}")
            _number(body, f"{name}.{number}/")


def _bodies(node: Any) -> list[Any]:  # openvino.Node
    """The graphs inside a node: two in an If, one in a Loop or TensorIterator."""
    kind = node.get_type_name()
    if kind == "If":
        return [node.get_function(0), node.get_function(1)]
    if kind in ("Loop", "TensorIterator"):
        return [node.get_function()]
    return []


def _part_results(model: Any) -> None:  # openvino.Model
    """Put a node that changes nothing before a result whose tensor is an input's or another result's: names differ."""
    from openvino import opset13

    taken = set()
    for result in model.get_results():
        source = result.input_value(0)
        place = (source.get_node().get_friendly_name(), source.get_index())
        if source.get_node().get_type_name() == "Parameter" or place in taken:
            same = opset13.convert(source, source.get_element_type().get_type_name())
            result.input(0).replace_source_output(same.output(0))
        taken.add(place)
    model.validate_nodes_and_infer_types()


def _name_ends(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:  # openvino.Model
    """Give parameters and results, already in order, their names."""
    for parameter, name in zip(model.get_parameters(), inputs, strict=True):
        parameter.set_friendly_name(name)
        parameter.output(0).get_tensor().set_names({name})
    for result, name in zip(model.get_results(), outputs, strict=True):
        result.set_friendly_name(f"{name}/result")
        result.output(0).get_tensor().set_names({name})
