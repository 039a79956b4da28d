"""What a rule can be refused for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleFault:
    """One thing wrong with a rule: where (JSON path from the rule's root `$`), what, and a stable code."""

    path: str
    message: str
    code: str


class RuleError(ValueError):
    """The rule is refused; `faults` names everything that is wrong with it."""

    def __init__(self, faults: list[RuleFault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults
