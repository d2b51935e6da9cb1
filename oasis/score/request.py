"""From what a user asks for to one job for each clip."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oasis import cards, measures
from oasis.align import policy
from oasis.cards import DatasetCard
from oasis.data import layout
from oasis.files import sha256_of_text
from oasis.score.job import BUILTIN, ClipJob


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to score: `outputs` holds a file or a folder of PNG for each clip; None stands for what was not said."""

    outputs: Path
    dataset: str | None = None
    gt: Path | None = None
    lq: Path | None = None
    metrics: str | None = None
    method: str | None = None
    align: str = ""
    limit: int | None = None
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be scored: a job for each clip of the set, in its order; `notes` is what a reader should know."""

    method: str
    card: DatasetCard
    jobs: tuple[ClipJob, ...]
    measures: tuple[str, ...]
    profile: measures.Profile | None
    clips: str
    notes: tuple[str, ...]
    device: str
    threads: int

    @property
    def card_sha256(self) -> str:
        """Return a hash of all that the card says."""
        return sha256_of_text(repr(self.card))


def plan(request: Request) -> Plan:
    """Find the clips and check what was asked for; ValueError or FileNotFoundError if it cannot be scored as a whole."""
    card = _card(request)
    reference = _reference(request, card)
    outputs = layout.find(card, request.outputs, "outputs")
    lq = layout.find(card, request.lq, "lq").clips if request.lq else {}
    names = _names(card, reference, outputs.clips)
    taken = names[: request.limit]
    chosen = request.metrics or ("blind" if reference is None else "basic")
    wanted = measures.chosen(chosen)
    aligned = policy.parse(request.align or "none")
    jobs = tuple(
        ClipJob(
            clip=name,
            output=outputs.clips.get(name),
            reference=None if reference is None else reference.get(name),
            has_reference=reference is not None,
            rendered=card.task == BUILTIN,
            lq=lq.get(name),
            lengths=() if "clips" in card.uncertain else card.clips.lengths(name),
            native=card.size("hr_size", name),
            scale=card.scale or 1,
            measures=wanted,
            policy=str(aligned),
            device=request.device,
            threads=request.threads,
        )
        for name in taken
    )
    return Plan(
        method=request.method or request.outputs.resolve().name,
        card=card,
        jobs=jobs,
        measures=wanted,
        profile=measures.PROFILES.get(chosen),
        clips="all" if len(taken) == len(names) else f"first {len(taken)} of {len(names)}",
        notes=tuple(_notes(request, outputs, names)),
        device=request.device,
        threads=request.threads,
    )


def _card(request: Request) -> DatasetCard:
    if request.dataset is not None:
        return cards.load(request.dataset)
    root = request.gt or request.outputs
    return layout.folder_card(root.resolve().name, root, has_gt=request.gt is not None)


def _reference(request: Request, card: DatasetCard) -> Mapping[str, Path | None] | None:
    """Return the ground truth of every clip, None inside for one that is missing, None for a set without any."""
    if card.task == BUILTIN:
        if request.gt:
            raise ValueError("--gt has no meaning with the data set builtin, whose ground truth is built in")
        return dict.fromkeys(card.clips.names or ())
    if request.gt:
        found = layout.find(card, request.gt, "gt")
        return dict(found.clips) | dict.fromkeys(found.missing)
    if card.has_gt:
        wanted = measures.chosen(request.metrics or "basic")
        if any(measures.find(name).needs != "nothing" for name in wanted):
            raise ValueError(
                f"{card.name} has ground truth, and measures need it: say where with --gt DIR, or take --metrics blind"
            )
    return None


def _names(card: DatasetCard, reference: Mapping[str, Path | None] | None, outputs: Mapping[str, Path]) -> list[str]:
    """Return the clips to score, in the card's order: those of the ground truth, else of the card, else of the outputs."""
    names = reference if reference is not None else card.clips.names or outputs
    order = {name: number for number, name in enumerate(card.clips.names or ())}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def _notes(request: Request, outputs: layout.Found, names: list[str]) -> list[str]:
    notes = []
    if outputs.extra:
        notes.append(f"{request.outputs}: not scored, no clips of the data set: {', '.join(sorted(outputs.extra))}")
    absent = [name for name in names if name not in outputs.clips]
    if absent:
        notes.append(f"{request.outputs}: without an output: {', '.join(absent)}")
    return notes
