"""The rule language of segments: read a rule, put it into words, turn it into SQL. A library of its own."""

from segments.check import references
from segments.context import Context, StoredCampaign, StoredSegment
from segments.errors import RuleError, RuleFault
from segments.rule import Rule, parse
from segments.sentence import sentence
from segments.sql import compile, of_customers
from segments.sql_rows import Binding

__all__ = [
    "Binding",
    "Context",
    "Rule",
    "RuleError",
    "RuleFault",
    "StoredCampaign",
    "StoredSegment",
    "compile",
    "of_customers",
    "parse",
    "references",
    "sentence",
]
