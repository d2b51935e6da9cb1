"""Which routings are run: every rule at the cost of equal shares and its controls (`decide.compare`), and two more budgets."""

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
    rules = {_name(rule): rule for rule in equal}
    rules |= {f"budget-{ratio}": Rule(name="budget", parameters={"ratio": ratio}) for ratio in BUDGETS}
    found = []
    for name, rule in rules.items():
        if rule.parameters.get("pattern") != "global":
            table = decide.decide(heads, rule, heads_csv_sha256=sha256)
            found.append(Routed(name=name, rule=rule, table=table, kl_total=decide.total(heads, table)))
    return found


def _name(rule: Rule) -> str:
    """Name a rule of `decide.compare`, always the same; the numbers that follow from the statistics stay in the rule."""
    which = {"random": "seed", "uniform": "pattern"}.get(rule.name)
    return rule.name if which is None else f"{rule.name}-{rule.parameters[which]}"
