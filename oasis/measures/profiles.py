"""Profiles: the measures that a paper or a tool means by its columns; and columns that nobody can reproduce."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Measures that belong together.

    `clip_digits` is how many decimals a clip's value keeps before the mean over clips is taken, None for all;
    `reproduces` says whose numbers these are and how far that was confirmed.
    """

    name: str
    measures: tuple[str, ...]
    reproduces: str
    clip_digits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Irreproducible:
    """A published column whose code was never released: shown as reported, never compared with ours."""

    papers: tuple[str, ...]
    column: str
    reason: str


_LIST = (
    Profile(
        name="basic",
        measures=(
            "psnr@rgb",
            "psnr@y",
            "ssim@rgb",
            "ssim@y",
            "ms_ssim@pyiqa",
            "gmsd@pyiqa",
            "sharpness@laplacian",
            "ewarp@dis-full-occ-x1000",
            "ewarp_excess@dis-full-occ-x1000",
        ),
        reproduces="nobody's table: what needs no weights and a reference; the default where there is a reference",
    ),
    Profile(
        name="blind",
        measures=("sharpness@laplacian", "ewarp@dis-output-full-occ-x1000"),
        reproduces="nobody's table: what needs neither weights nor a reference; the default where there is none",
    ),
    Profile(
        name="dove",
        measures=("psnr@pyiqa", "ssim@pyiqa", "lpips@alex", "dists@pyiqa", "clipiqa@pyiqa"),
        clip_digits=4,
        reproduces="DOVE and OASIS: PSNR (RGB), SSIM (full-range luma), LPIPS, DISTS, CLIP-IQA; confirmed by two outsiders "
        "(DOVE issue 29). Their DOVER and E*_warp columns are not in it: the code is not released",
    ),
    Profile(
        name="mmagic-rgb",
        measures=("psnr@rgb", "ssim@rgb"),
        reproduces="REDS4 of BasicVSR, IconVSR, BasicVSR++ (BasicSR, mmagic)",
    ),
    Profile(
        name="mmagic-y",
        measures=("psnr@y", "ssim@y"),
        reproduces="UDM10, Vid4, SPMCS, Vimeo-90K of BasicVSR, IconVSR, BasicVSR++ (BasicSR, mmagic)",
    ),
    Profile(
        name="videolq-3f",
        measures=("niqe@basicsr-3f", "nrqm@pyiqa-3f", "pi@pyiqa-3f", "brisque@pyiqa-3f"),
        reproduces="RealBasicVSR on VideoLQ takes frames 0, 50, 99 of each clip and MATLAB code: these are Python ports, near "
        "but not equal; the four short clips have no frame 50 or 99, so that their rows fail",
    ),
    Profile(
        name="tecogan",
        measures=("psnr@tecogan", "ssim@tecogan", "lpips@tecogan", "tof@tecogan", "tlp@tecogan"),
        reproduces="TecoGAN's metrics.py: its crop, its frames, its SSIM range",
    ),
    Profile(
        name="dover-official",
        measures=("dover@fused", "dover@technical", "dover@aesthetic"),
        reproduces="STAR prints dover@fused; SeedVR, SeedVR2 and FlashVSR print dover@technical times 100",
    ),
    Profile(
        name="ewarp-evalcrafter",
        measures=("ewarp@dove-exact-half-occ-x1000", "ewarp@dove-half-occ-x1000", "sharpness@laplacian"),
        reproduces="EvalCrafter's E*_warp as STAR uses it, and DOVE and OASIS by inference; with and without its double "
        "division by 255",
    ),
    Profile(
        name="ewarp-lai",
        measures=("ewarp@lai-full-occ-x1000", "ewarp_excess@lai-full-occ-x1000", "sharpness@laplacian"),
        reproduces="the definition of Lai et al. 2018, with RAFT in place of FlowNet2",
    ),
    Profile(
        name="stablevsr",
        measures=("psnr@rgb", "lpips@alex", "dists@pyiqa", "tof@stablevsr", "tlp@stablevsr"),
        reproduces="StableVSR on REDS4, as far as its definitions are those of these measures",
    ),
)
PROFILES = {profile.name: profile for profile in _LIST}

IRREPRODUCIBLE = (
    Irreproducible(
        papers=("DOVE", "OASIS"),
        column="DOVER",
        reason="its function was never released, and official DOVER on the same outputs gives .566 / .486 / .702 where "
        ".781 / .783 / .857 is printed (UDM10, SPMCS, YouHQ40; DOVE issue 29)",
    ),
    Irreproducible(
        papers=("DOVE",),
        column="FasterVQA",
        reason="its script imports a checkout that was never released",
    ),
    Irreproducible(
        papers=("DOVE", "OASIS", "AdcVSR"),
        column="E*_warp",
        reason="the function was never released; that it is EvalCrafter's is inferred from its arguments",
    ),
    Irreproducible(
        papers=("Upscale-A-Video", "MGLD-VSR", "SeedVR2"),
        column="E*_warp",
        reason="flow network, flow source, mask and scale are not stated and the code is not released",
    ),
    Irreproducible(papers=("SeedVR2",), column="VMAF", reason="the version of the model is not stated"),
)
