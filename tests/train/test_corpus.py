import numpy as np
import pytest
import torch

from oasis.data import builtin
from oasis.metrics.warping import sample
from oasis.train import corpus as corpus_module
from oasis.train.clips import builtin_clips
from oasis.train.corpus import FAMILIES, Clips, Corpus, CropSize, cut, draw_place, reduce_by_2
from oasis.train.motion import motion_of

SIZES = (CropSize(batch=2, frames=5, height=32, width=48), CropSize(batch=1, frames=9, height=32, width=32))


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, (12, 70 + seed, 100, 3), dtype=np.uint8) for seed in range(3)]


def named(clips: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"clip{number}.mkv": clip for number, clip in enumerate(clips)}


def test_batches_depend_on_seed_and_number_alone(clips: list[np.ndarray]) -> None:
    corpus = Corpus(Clips(named(clips), "moderate"), SIZES, seed=5)
    whole = [batch for batch, _ in zip(corpus, range(4), strict=False)]
    resumed = next(iter(Corpus(Clips(named(clips), "moderate"), SIZES, seed=5, start=3)))
    assert all(torch.equal(a, b) for a, b in zip(whole[3][:2], resumed[:2], strict=True))
    assert not torch.equal(whole[0][0], Corpus(Clips(named(clips), "moderate"), SIZES, seed=6).batch(0)[0])


def test_sizes_alternate_and_the_range_is_the_networks(clips: list[np.ndarray]) -> None:
    corpus = Corpus(Clips(named(clips), "moderate"), SIZES, seed=0)
    lq, hr, *others = corpus.batch(0)
    assert others == [None] * 3
    assert lq.shape == (2, 3, 5, 8, 12) and hr.shape == (2, 3, 5, 32, 48)
    assert corpus.batch(1)[1].shape == (1, 3, 9, 32, 32)
    assert -1 <= hr.min() < -0.9 and 0.9 < hr.max() <= 1


def test_a_clip_that_is_too_small_is_refused(clips: list[np.ndarray]) -> None:
    with pytest.raises(
        ValueError, match=r"training clip clip0\.mkv has 12 frames of 100x70 pixels; a crop needs 20 frames of 32x32"
    ):
        Corpus(Clips(named(clips), "moderate"), (CropSize(batch=1, frames=20, height=32, width=32),), seed=0)
    with pytest.raises(ValueError, match="no clip to train on"):
        Corpus(Clips({}, "moderate"), SIZES, seed=0)


def test_processes_share_the_crops_of_one(clips: list[np.ndarray]) -> None:
    size = (CropSize(batch=4, frames=5, height=32, width=32),)
    source = Clips(named(clips), "moderate")
    whole = Corpus(source, size, seed=5).batch(7)
    shares = [Corpus(source, size, seed=5, rank=rank, world=2).batch(7) for rank in range(2)]
    for number in range(2):
        together = torch.stack([shares[index % 2][number][index // 2] for index in range(4)])
        assert torch.equal(whole[number], together)
    with pytest.raises(ValueError, match="a batch of 4 crops cannot be shared equally by 3 processes"):
        Corpus(source, size, seed=5, world=3)


@pytest.mark.parametrize("family", FAMILIES)
def test_crops_are_degraded_inconsistently_as_often_as_asked(
    clips: list[np.ndarray], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    source = Clips(named(clips), family)
    original = corpus_module.degraded
    monkeypatch.setattr(corpus_module, "degraded", lambda *args: seen.append(args[2]) or original(*args))
    size = (CropSize(batch=20, frames=1, height=32, width=32),)
    corpus = Corpus(source, size, seed=1, probability=lambda number: (0.0, 1.0, 0.5)[number])
    for number in range(3):
        corpus.batch(number)
    assert sum(seen[:20]) == 0 and sum(seen[20:40]) == 20 and 4 <= sum(seen[40:]) <= 16


def test_an_unknown_family_is_refused(clips: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="degradation 'heavy' is unknown; allowed: moderate, second-order"):
        Clips(named(clips), "heavy")


def test_crops_come_from_inside_the_clip(clips: list[np.ndarray]) -> None:
    marked = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 33, 33, 3))
    size = CropSize(batch=1, frames=5, height=32, width=32)
    found = cut(marked, draw_place(marked.shape, size, np.random.default_rng(0)), size)
    assert found.shape == (5, 32, 32, 3)
    assert np.all(np.diff(found[:, 0, 0, 0].astype(int)) == 1)


def test_augmentation_only_mirrors(clips: list[np.ndarray]) -> None:
    whole = clips[0][:9, :32, :32]
    source, seen = Clips({"whole": whole}, "moderate"), set()
    for seed in range(30):
        found = source.crop(SIZES[1], np.random.default_rng(seed)).hr
        variants = {(x, t): whole[:, :, :: -1 if x else 1][:: -1 if t else 1] for x in (0, 1) for t in (0, 1)}
        seen |= {key for key, variant in variants.items() if np.array_equal(found, variant)}
    assert len(seen) == 4


def test_crops_carry_the_motion_of_their_own_pixels() -> None:
    """Sampled where its points went, the next frame is this one: mirrored, reduced or neither."""
    clip = builtin.make("china-pan", frames=7, height=80, width=120)
    source = Clips({"clip": clip.hr}, "moderate", {"clip": motion_of("clip", clip)})
    size, reduced = CropSize(batch=1, frames=5, height=32, width=48), set()
    for seed in range(12):
        generator = np.random.default_rng(seed)
        generator.integers(1)  # which clip
        place = draw_place(clip.hr.shape, size, generator)
        clean = source.crop(size, np.random.default_rng(seed))
        assert clean.motion is not None and clean.motion.flow.shape == (4, 32, 48, 2)
        assert clean.motion.flow.untyped_storage().nbytes() == clean.motion.flow.nbytes  # no view of the whole clip
        frames = torch.from_numpy(clean.hr.transpose(0, 3, 1, 2) / 255)
        flow, counts = clean.motion.flow.double(), clean.motion.seen[:, None].expand(-1, 3, -1, -1)
        inside = slice(8, -8)  # what leaves the crop is sampled at its border
        error, still, back = (
            ((sample(frames[1:], factor * flow) - frames[:-1]).abs() * counts)[..., inside, inside].mean()
            for factor in (1, 0, -1)
        )
        assert error < 0.75 * min(still, back)
        reduced.add(place.halve)
    assert reduced == {False, True}


def test_batches_stack_the_motion_of_their_crops() -> None:
    clip = builtin.make("china-pan", frames=7, height=80, width=120)
    batch = Corpus(Clips({"clip": clip.hr}, "moderate", {"clip": motion_of("clip", clip)}), SIZES[:1], seed=0).batch(0)
    assert batch.flow is not None and batch.flow.shape == (2, 4, 32, 48, 2)
    assert batch.seen is not None and batch.seen.shape == (2, 4, 32, 48) and batch.seen.dtype == torch.bool


def test_area_reduction_averages_and_rounds() -> None:
    frames = np.array([0, 1, 2, 255, 9, 0, 1, 1, 255, 9], dtype=np.uint8).reshape(1, 2, 5, 1)
    assert reduce_by_2(frames).ravel().tolist() == [(0 + 1 + 0 + 1 + 2) // 4, (2 + 255 + 1 + 255 + 2) // 4]


def test_no_held_out_photograph_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(builtin, "make", lambda name, **_: made.append(name) or builtin.BuiltinClip(*[None] * 9))
    assert all(clip.hr is None for _, clip in builtin_clips())
    used = {photo for name in made for photo in builtin.CLIPS[name].photos}
    held = {photo for name in builtin.names("test") for photo in builtin.CLIPS[name].photos}
    assert used and held and not used & held
