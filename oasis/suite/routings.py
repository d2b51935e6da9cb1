"""Which routings are run: every rule at the cost of equal shares, two more budgets, and the controls of `decide.compare`."""

from dataclasses import dataclass
from pathlib import Path

from oasis import decide, files
from oasis.decide import Rule
from oasis.routing import RoutingTable

BUDGETS = (0.25, 0.7)
CONTROLS = ("random", "uniform")


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A routing by a short name; `kl_total` in nats."""

    name: str
    rule: Rule
    table: RoutingTable
    kl_total: float

    @property
    def control(self) -> bool:
        """Whether others are held against it."""
        return self.rule.name in CONTROLS

    @property
    def ratio(self) -> float:
        """Self-attention FLOPs as a share of dense."""
        return float(self.table.rule["attention_flops_ratio"])

    @property
    def heads(self) -> str:
        """How many heads have each pattern, such as "G=12,F=20,W=32"."""
        return ",".join(f"{letter}={count}" for letter, count in self.table.counts().items())


def choose(heads_csv: Path) -> list[Routed]:
    """Return the routings that follow from head statistics; dense, the uniform global one, is not among them."""
    heads, sha256 = decide.read_heads(heads_csv), files.sha256(heads_csv)
    equal = [decide.parse_rule(text) for text in decide.compare(heads)["rule"]]
    budgets = [Rule(name="budget", parameters={"ratio": ratio}) for ratio in BUDGETS]
    found = []
    for rule in (*budgets, *equal):
        if rule.parameters.get("pattern") != "global":
            table = decide.decide(heads, rule, heads_csv_sha256=sha256)
            found.append(Routed(name=_name(rule), rule=rule, table=table, kl_total=decide.total(heads, table)))
    return found


def _name(rule: Rule) -> str:
    number = {"budget": "ratio", "threshold": "tau", "random": "seed", "uniform": "pattern"}.get(rule.name)
    return rule.name if number is None else f"{rule.name}-{rule.parameters[number]}"
