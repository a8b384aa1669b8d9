"""All families of the world by name; whole `unseen` families are never trained on."""

from factory.problems.world.model import Family
from factory.problems.world.procedures import PROCEDURE_FAMILIES
from factory.problems.world.search import SEARCH_FAMILIES

FAMILIES: dict[str, Family] = {family.name: family for family in (*PROCEDURE_FAMILIES, *SEARCH_FAMILIES)}
TRAINED = tuple(family for family in FAMILIES.values() if not family.unseen)
UNSEEN = tuple(family for family in FAMILIES.values() if family.unseen)

__all__ = ["FAMILIES", "TRAINED", "UNSEEN", "Family"]
