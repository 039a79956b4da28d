"""A whole rule in one English sentence."""

from segments.context import Context
from segments.rule import Rule


def sentence(rule: Rule, context: Context) -> str:
    """`Customers whose country is “HU” and with no “Order Completed” events in the last 60 days.`"""
    return f"Customers {rule.where.clause(context)}."
