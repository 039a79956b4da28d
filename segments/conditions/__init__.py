"""The kinds of condition, one file each: to add one, add a file."""

import importlib
import pkgutil

from segments.conditions.base import Condition, Node, kinds

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Condition", "Node", "kinds"]
