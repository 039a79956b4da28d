"""A whole rule in one sentence."""

from segments.context import Context
from segments.language import Message
from segments.rule import Rule

_CUSTOMERS = Message("Customers {clause}.")


def sentence(rule: Rule, context: Context) -> str:
    """`Customers whose country is “HU”, except with some “Order Completed” events in the last 60 days.`

    In the context's language.
    """
    return context.language.say(_CUSTOMERS, clause=rule.where.clause(context))
