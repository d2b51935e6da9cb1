"""Whether a routing is a finding: does it score better than every control that costs as much or less?"""

from collections.abc import Mapping, Sequence

from oasis import measures
from oasis.suite.routings import Routed

EQUAL = 1.05
"""Controls of up to this share of a routing's FLOPs count as costing as much: a threshold cannot meet a cost exactly."""
Quality = Mapping[str, float | None]
"""Means by measure; more is better for each."""


def lines(routed: Sequence[Routed], quality: Mapping[str, Quality], clips: int) -> list[str]:
    """Return a sentence for each routing that is no control; `quality` is by the routing's name."""
    said = [_line(each, [other for other in routed if other.control], quality) for each in routed if not each.control]
    return [*said, f"means over {clips} clip{'s' * (clips > 1)} of a tiny demonstrator: differences this small may be chance"]


def _line(each: Routed, controls: Sequence[Routed], quality: Mapping[str, Quality]) -> str:
    rivals = [control for control in controls if control.ratio <= EQUAL * each.ratio]
    if not rivals:
        return f"{each.name}: no control costs as little, so nothing is said"
    ahead, texts = 0, []
    for measure, value in quality[each.name].items():
        known = {rival.name: quality[rival.name][measure] for rival in rivals}
        if value is None or None in known.values():
            return f"{each.name}: {measure} has no value for it or a control, so nothing is said"
        best = max(known, key=lambda name: known[name] or 0.0)
        digits = measures.find(measure).digits
        ahead += value > (known[best] or 0.0)
        texts.append(f"{measure} {value:.{digits}f} (best control {best} {known[best]:.{digits}f})")
    verdict = {0: "does NOT beat its controls", len(texts): "beats its controls"}.get(
        ahead, f"beats them in {ahead} of {len(texts)}"
    )
    return f"{each.name} {verdict}: {', '.join(texts)}"
