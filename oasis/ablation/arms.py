"""The arms of each ablation: what differs between them."""

from dataclasses import dataclass
from pathlib import Path

from oasis.routing import RoutingTable
from oasis.suite.routings import BUDGETS, choose
from oasis.train.schedule import SCHEDULES

CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm: dense without a `table`; `schedule` is that of the degradations it is trained on."""

    name: str
    rule: str
    control: bool
    table: RoutingTable | None
    schedule: str

    @property
    def ratio(self) -> float:
        """Self-attention FLOPs as a share of dense."""
        return 1.0 if self.table is None else float(self.table.rule["attention_flops_ratio"])


def routings(heads_csv: Path) -> list[Arm]:
    """Return dense, every rule at the cost of equal shares, and its controls; all go on with the same degradations."""
    found = [Arm(name="dense", rule="uniform:pattern=global", control=False, table=None, schedule=CONSTANT)]
    for each in choose(heads_csv):
        if each.name not in {f"budget-{ratio}" for ratio in BUDGETS}:  # these cost something else
            rule = str(each.rule)
            found.append(Arm(name=each.name, rule=rule, control=each.control, table=each.table, schedule=CONSTANT))
    return found


def schedules() -> list[Arm]:
    """Return progressive training and its controls, all dense and from the same start."""
    return [Arm(name=name, rule=name, control=name != "progressive", table=None, schedule=name) for name in SCHEDULES]
