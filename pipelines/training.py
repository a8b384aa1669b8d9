"""What the params say to every trainer: how it uses the machine, and what trains under adapters.

settings = sft.Settings(**training.section(params.require("format_tuning")))
sft.tune(rows, settings, machine=training.machine(params), …)
"""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from factory.coat.grammar import ACTIONS
from factory.params import Params
from trainers import live
from trainers.lora import Lora
from trainers.machine import Machine


def machine(params: Params) -> Machine:
    """Raises ParamsError for a tracker that is not installed."""
    live.check(params.training.report_to)
    return Machine(**params.training.model_dump())


def section(given: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """The keys of a trainer's section but for those of the stage itself; `lora` as the trainers take it."""
    values: dict[str, Any] = given.model_dump(exclude=set(without))
    if values["lora"] is not None:
        values["lora"] = Lora(**values["lora"], tokens=tuple(ACTIONS.values()))
    return values
