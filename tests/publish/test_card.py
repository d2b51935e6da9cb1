from pathlib import Path

import pandas as pd
import pytest

from oasis.configs import TINY
from oasis.publish import card
from oasis.publish.scores import gains
from oasis.routing import GLOBAL, RoutingTable


@pytest.fixture
def scores() -> pd.DataFrame:
    values = {"psnr_y": ((20.0, 21.0), (30.0, 32.0)), "gmsd": ((0.2, 0.1), (0.2, 0.3))}
    return pd.DataFrame(
        {"group": "real", "clip": f"film-{number}", "method": method, "measure": measure, "value": value}
        for measure, clips in values.items()
        for number, pair in enumerate(clips)
        for method, value in zip(("bicubic", "dense"), pair, strict=True)
    )


def test_gain_is_positive_where_the_method_is_better(scores: pd.DataFrame) -> None:
    rows = gains(scores, "dense").set_index("measure")
    assert rows.loc["psnr_y", "gain"] == pytest.approx(1.5) and rows.loc["psnr_y", "won"] == 2
    assert (rows.loc["psnr_y", "low"], rows.loc["psnr_y", "high"]) == pytest.approx((1, 2))
    assert rows.loc["gmsd", "gain"] == pytest.approx(0) and rows.loc["gmsd", "won"] == 1


@pytest.mark.parametrize("trained_routed", [False, True])
def test_every_field_of_the_card_is_filled(scores: pd.DataFrame, tmp_path: Path, trained_routed: bool) -> None:
    log = tmp_path / "log.csv"
    log.write_text("stage,step,seconds\nlatent,0,1\nlatent,10,7200\npixel,0,1800\n")
    routed = scores[scores["method"] == "dense"].assign(method="routed")
    limit = scores[scores["method"] == "dense"].assign(method="in-band", value=lambda rows: rows["value"] + 1)
    table = RoutingTable(
        model="m", weights_sha256="f" * 64, patterns={"G": GLOBAL}, layers=("GG",), rule={"attention_flops_ratio": 1.0}
    )
    text = card.text(
        scores=pd.concat([scores, routed, limit]),
        share=0.25,
        table=table,
        hours=card.hours(log),
        clips=["a.mp4"],
        settings={
            "stages": [
                {"name": name, "trains": "transformer", "losses": {"latent": 1.0}, "steps": 11, "learning_rate": 0.1}
                for name in ("latent", "pixel")
            ],
            "schedule": {"name": "progressive"},
            "crops": {"family": "moderate"},
            "start": "a" * 64 if trained_routed else None,
            "backbone": None,
            "vae": None,
        },
        config=TINY,
        trained_routed=trained_routed,
        notes="Paused once.",
    )
    for stated in (
        "| latent | transformer | latent 1 | 11 | 0.1 | 2.00 |",
        "schedule `progressive` of the family `moderate`",
        "which these weights were trained on" if trained_routed else "without further training",
        "Total: 2.5 hours. Paused once.",
        "# oasis-tiny",
        "8 layers of 8 heads, trained for 2.5 hours",
        f"went on from the weights `{'a' * 64}`"
        if trained_routed
        else "the linear skip and the input whitening are closed forms",
        "frames of film that",
        "- a.mp4",
        "f" * 64,
    ):
        assert stated in " ".join(text.split())
    assert "| in-band against bicubic | real | psnr_y | 25.0000 | 27.5000 | +2.5000 | +2.0000 .. +3.0000 | 2 of 2 |" in text
    assert "+1.5000 | +1.0000 .. +2.0000 | 2 of 2" in text and "25 % of the heads" in text
    assert "{" not in text and "}" not in text
