"""The Grafana dashboard of one model: the fleet's (grafana.json, made by hack/dashboards.py), held to the model."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("grafana.json")
UID_CHARACTERS = 40
"""The most that Grafana takes."""


@cache
def text() -> str:
    """The fleet's dashboard."""
    return FILE.read_text(encoding="utf-8")


def of(model: str) -> dict[str, Any]:
    """The dashboard of `model`: its title, its identifier, and no other model to choose."""
    dashboard: dict[str, Any] = json.loads(text())
    variables = dashboard["templating"]["list"]
    at = next(index for index, one in enumerate(variables) if one["name"] == "model")
    chosen = {"selected": True, "text": model, "value": model}
    variables[at] = {"type": "constant", "name": "model", "hide": 2, "query": model, "current": chosen}
    return dashboard | {"title": f"nearedge: {model}", "uid": identifier(model)}


def identifier(model: str) -> str:
    """The dashboard's `uid`: the model's name, or what stands for it where it is too long."""
    uid = f"nearedge-{model}"
    return uid if len(uid) <= UID_CHARACTERS else f"nearedge-{hashlib.sha256(model.encode()).hexdigest()[:24]}"
