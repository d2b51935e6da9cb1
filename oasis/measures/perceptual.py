"""Structure, perceptual distance and perceived quality: what each of the field's names really computes.

pyiqa's Y is luma of BT.601 in full range (.299, .587, .114), not MATLAB's; 0..255 it is rounded to whole grey levels. All
are means over frames; frames are taken as they are, without a crop or a resize, where nothing else is said.
"""

from oasis.measures.measure import PYIQA, Measure

_PYIQA = "pyiqa 0.1.16 with its default options"
_LPIPS = "BSD-2-Clause (lpips), BSD-3-Clause (trunk)"

_STRUCTURE = (
    Measure(
        name="ms_ssim@pyiqa",
        unit="",
        better="higher",
        needs="reference",
        what="MS-SSIM of pyiqa's Y (rounded, 0..255): 5 scales, 11x11 Gaussian windows inside the frame, negative contrast "
        "terms set to 0; sides of at least 161 pixels. Our own code; equals pyiqa's within 1e-5, and piq's on even sizes",
        source=f"{_PYIQA}; Wang et al. 2003",
        version=2,
    ),
    Measure(
        name="gmsd@pyiqa",
        unit="",
        better="lower",
        needs="reference",
        what="GMSD: standard deviation of the similarity of Prewitt gradients at half size, of pyiqa's Y (rounded, "
        "0..255), T = 170. Equals a NumPy version of the paper within 1e-5 (halves are rounded to other grey levels)",
        source=f"{_PYIQA}; Xue et al. 2014",
        licence=PYIQA,
    ),
    Measure(
        name="fsim@pyiqa",
        unit="",
        better="higher",
        needs="reference",
        what="FSIMc: phase congruency, Scharr gradients and the I and Q of YIQ, 0..255, not rounded; averaged down by the "
        "shorter side / 256 first. Equals piq's, of which it is a relative",
        source=f"{_PYIQA}; Zhang et al. 2011",
        licence=PYIQA,
    ),
    Measure(
        name="vif@pyiqa",
        unit="",
        better="higher",
        needs="reference",
        what="VIF in the wavelet domain (steerable pyramid, 8 subbands, 3x3 blocks) of pyiqa's Y (rounded, 0..255); above "
        "1 where contrast was added, and 0 where the reference frame is flat, though nothing was lost. Not VIFp; "
        "equals a NumPy version of the paper within 1e-4; not a number, and so a failed row, on some smooth frames",
        source=f"{_PYIQA}; Sheikh and Bovik 2006",
        licence=PYIQA,
    ),
    Measure(
        name="nlpd@pyiqa",
        unit="",
        better="lower",
        needs="reference",
        what="NLPD: distance of normalised Laplacian pyramids of 6 levels, of pyiqa's Y in [0, 1], not rounded and without "
        "the paper's gamma; mean over levels of the root of the mean square. Equals a NumPy version of the authors' "
        "pyramid within 1e-6",
        source=f"{_PYIQA}; Laparra et al. 2016",
        licence=PYIQA,
    ),
)

_DISTANCE = (
    Measure(
        name="lpips@alex",
        unit="",
        better="lower",
        needs="reference",
        what="LPIPS v0.1 with AlexNet: RGB mapped to [-1, 1], full size, spatial mean; the same as pyiqa's lpips",
        source="lpips 0.1.4; Zhang et al. 2018",
        licence=_LPIPS,
        weights=("alexnet",),
    ),
    Measure(
        name="lpips@vgg",
        unit="",
        better="lower",
        needs="reference",
        what="LPIPS v0.1 with VGG-16: RGB mapped to [-1, 1], full size, spatial mean; the same as pyiqa's lpips-vgg; 5.8 "
        "GiB at 1080p",
        source="lpips 0.1.4; Zhang et al. 2018",
        licence=_LPIPS,
        weights=("vgg16",),
    ),
    Measure(
        name="lpips@tecogan",
        unit="",
        better="lower",
        needs="reference",
        what="lpips@alex of TecoGAN's centre crop to multiples of 32, without the first and last 2 frames",
        source="thunil/TecoGAN@bc747a4 metrics.py",
        licence=_LPIPS,
        weights=("alexnet",),
    ),
    Measure(
        name="dists@pyiqa",
        unit="",
        better="lower",
        needs="reference",
        what="DISTS: RGB in [0, 1], full size; its authors advise to resize the shorter side to 256 first, which neither "
        "pyiqa nor the field does; 3.8 GiB at 1080p",
        source=f"{_PYIQA}; Ding et al. 2020",
        licence=PYIQA,
        weights=("vgg16", "dists"),
    ),
)

_QUALITY = (
    Measure(
        name="clipiqa@pyiqa",
        unit="",
        better="higher",
        needs="nothing",
        what="CLIP-IQA: CLIP RN50 without positions at full size, mean over 5 pairs of prompts (the paper has 1), 0..1; "
        "other than pyiqa before 03/2023; depends on resolution. Equals OpenAI's package without positions within 1e-3, on "
        "random weights; not compared with published values: no weights were at hand",
        source=f"{_PYIQA}; Wang et al. 2023",
        licence=PYIQA,
        weights=("clipiqa",),
    ),
    Measure(
        name="musiq@pyiqa",
        unit="",
        better="higher",
        needs="nothing",
        what="MUSIQ trained on KonIQ-10k, about 0..100: all 32x32 patches of the full size and of copies with a longer "
        "side of 384 and 224 (bicubic). Equals a plain version of the paper within 1e-4, on random weights; not compared "
        "with published values: no weights were at hand",
        source=f"{_PYIQA}; Ke et al. 2021",
        licence=PYIQA,
        weights=("musiq_koniq",),
    ),
    Measure(
        name="maniqa@pyiqa",
        unit="",
        better="higher",
        needs="nothing",
        what="MANIQA trained on KonIQ-10k, about 0..1: 20 crops of 224x224 from a regular 5x5 grid without its last row "
        "(frames below 225 are enlarged). Equals a plain version of the paper on a crop, on random weights; not compared "
        "with published values: no weights were at hand",
        source=f"{_PYIQA} (KonIQ-10k, scale 0.8); Yang et al. 2022",
        licence=PYIQA,
        weights=("maniqa_koniq",),
    ),
)

_NATURAL = (
    Measure(
        name="niqe@pyiqa",
        unit="",
        better="lower",
        needs="nothing",
        what="NIQE of pyiqa's Y (rounded, 0..255): blocks of 96x96, scales 1 and 1/2, no border cut, LIVE's pristine "
        "parameters; up to 0.2 from niqe@basicsr",
        source=f"{_PYIQA}; Mittal et al. 2013",
        licence=PYIQA,
        weights=("niqe",),
    ),
    Measure(
        name="niqe@basicsr",
        unit="",
        better="lower",
        needs="nothing",
        what="NIQE of BT.601 luma in limited range (rounded), BasicSR's parameters, no border cut: BasicSR's number within "
        "1e-5, run by pyiqa's code; near MATLAB's but not equal",
        source="BasicSR 8d56e3a metrics/niqe.py with crop_border 0, convert_to y",
        licence=PYIQA,
        weights=("niqe_basicsr",),
    ),
    Measure(
        name="brisque@pyiqa",
        unit="",
        better="lower",
        needs="nothing",
        what="BRISQUE of pyiqa's Y (rounded, 0..255): 36 statistics at scales 1 and 1/2, LIVE's support vectors; 0..100 "
        "and beyond",
        source=f"{_PYIQA}; Mittal et al. 2012",
        licence=PYIQA,
        weights=("brisque",),
    ),
    Measure(
        name="brisque@imquality",
        unit="",
        better="lower",
        needs="nothing",
        what="BRISQUE with the regression of the package imquality on pyiqa's statistics of pyiqa's Y (rounded, 0..255): "
        "another model than brisque@pyiqa, not comparable with it, nor equal to imquality's own number, whose "
        "statistics differ",
        source="ocampor/image-quality@faf6a94; pyiqa 0.1.16",
        licence=PYIQA,
        weights=("brisque_imquality",),
    ),
    Measure(
        name="nrqm@pyiqa",
        unit="",
        better="higher",
        needs="nothing",
        what="NRQM (Ma et al.) of pyiqa's Y (rounded, 0..255), about 0..10, no border cut; a minute and 3 GiB for a frame "
        "of 960x540. Not compared with MATLAB's, nor its statistics with a second implementation: neither was at hand",
        source=f"{_PYIQA}; Ma et al. 2017",
        licence=PYIQA,
        weights=("nrqm",),
    ),
    Measure(
        name="pi@pyiqa",
        unit="",
        better="lower",
        needs="nothing",
        what="PI = ((10 - NRQM) + NIQE) / 2, both of BT.601 luma in limited range (rounded) with 4 pixels cut off every "
        "border, which is not how nrqm@pyiqa and niqe@pyiqa take them",
        source=f"{_PYIQA}; Blau et al. 2018",
        licence=PYIQA,
        weights=("nrqm", "niqe"),
    ),
)

_VMAF = (
    Measure(
        name="vmaf@v0.6.1",
        unit="",
        better="higher",
        needs="reference",
        what="VMAF by an installed ffmpeg with libvmaf, model vmaf_v0.6.1 (1080p at three screen heights), 0..100, "
        "arithmetic mean; of BT.709 luma in limited range, rounded, which is all that VMAF sees; equal frames without "
        "motion score 97.4",
        source="Netflix/vmaf, model vmaf_v0.6.1",
        licence="BSD-2-Clause-Patent (libvmaf), GPL or LGPL (ffmpeg)",
    ),
)

PERCEPTUAL = (*_STRUCTURE, *_DISTANCE, *_QUALITY, *_NATURAL, *_VMAF)
