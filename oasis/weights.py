"""Published weights on this machine, by name: where they are looked for, and that they are the right ones.

Nothing here downloads. The folder is `$OASIS_WEIGHTS`, or `~/.cache/oasis-vsr` where that is not set.
"""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oasis import files

State = Literal["here", "missing", "wrong"]
_TORCHVISION = "https://download.pytorch.org/models"
_NTIRE = "https://github.com/ofsoundof/NTIRE2022_ESR/raw/e95ba4a4916bb13d6348f7ee172827e2452e8a31/model_zoo"
_PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main"


class Missing(FileNotFoundError):
    """Weights are not on this machine; the message says what to get, where, and where to put it."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One published file; `sha256` is its hash, or None where its publisher and everyone else state none."""

    name: str
    file: str
    sha256: str | None
    address: str
    licence: str
    what: str


# Where hashes come from: torchvision, DISTS, CLIP and MUSIQ carry theirs, or its first digits, in the file's name or address;
# DOVER, RAFT-things and MANIQA are as public projects pin them; those of BasicSR and imquality were computed.
_LIST = (
    Weight(
        name="alexnet",
        file="alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        address=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
        licence="BSD-3-Clause (torchvision)",
        what="AlexNet, ImageNet-1k: the trunk of LPIPS",
    ),
    Weight(
        name="vgg16",
        file="vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        address=f"{_TORCHVISION}/vgg16-397923af.pth",
        licence="BSD-3-Clause (torchvision)",
        what="VGG-16, ImageNet-1k: the trunk of LPIPS (vgg) and of DISTS",
    ),
    Weight(
        name="raft_large_torchvision",
        file="raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        sha256="ff5fadd56d26b40647388883af1547351ea17868b765c05b27231e72dd16a322",
        address=f"{_TORCHVISION}/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        licence="BSD-3-Clause (torchvision)",
        what="RAFT-large, torchvision's C_T_SKHT_V2: optical flow",
    ),
    Weight(
        name="raft_things_official",
        file="raft-things.pth",
        sha256="fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
        address="https://github.com/sczhou/ProPainter/releases/download/v0.1.0/raft-things.pth",
        licence="BSD-3-Clause (princeton-vl/RAFT)",
        what="RAFT trained on FlyingThings by its authors: optical flow as EvalCrafter uses it",
    ),
    Weight(
        name="dover",
        file="DOVER.pth",
        sha256="f4a42c0bbc94c94dd7409e7f40887d44c5c30314d1d09e7edf03cc35813b4838",
        address="https://github.com/VQAssessment/DOVER/releases/download/v0.1.0/DOVER.pth",
        licence="S-Lab License 1.0, non-commercial (VQAssessment/DOVER)",
        what="DOVER, technical and aesthetic branch",
    ),
    Weight(
        name="dists",
        file="DISTS_weights-f5e65c96.pth",
        sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        address=f"{_PYIQA}/DISTS_weights-f5e65c96.pth",
        licence="MIT (dingkeyan93/DISTS)",
        what="DISTS's alpha and beta; equal to weights.pt of the package dists-pytorch",
    ),
    Weight(
        name="clipiqa",
        file="RN50.pt",
        sha256="afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        address="https://openaipublic.azureedge.net/clip/models/"
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
        licence="MIT (openai/CLIP)",
        what="CLIP RN50 by OpenAI: all that CLIP-IQA consists of",
    ),
    Weight(
        name="musiq_koniq",
        file="musiq_koniq_ckpt-e95806b9.pth",
        sha256="e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa",
        address=f"{_PYIQA}/musiq_koniq_ckpt-e95806b9.pth",
        licence="Apache-2.0 (google-research), converted by pyiqa",
        what="MUSIQ trained on KonIQ-10k",
    ),
    Weight(
        name="maniqa_koniq",
        file="ckpt_koniq10k.pt",
        sha256="a207f8ab57322e6be38ff5c8d019301dc032b454bef21c3c9f9dbf7974eebff6",
        address="https://github.com/IIGROUP/MANIQA/releases/download/Koniq10k/ckpt_koniq10k.pt",
        licence="Apache-2.0 (IIGROUP/MANIQA)",
        what="MANIQA trained on KonIQ-10k, its ViT-B/8 included",
    ),
    Weight(
        name="niqe",
        file="niqe_modelparameters.mat",
        sha256=None,
        address=f"{_PYIQA}/niqe_modelparameters.mat",
        licence="free with copyright notice (LIVE, UT Austin)",
        what="NIQE's pristine parameters as pyiqa takes them",
    ),
    Weight(
        name="niqe_basicsr",
        file="niqe_pris_params.npz",
        sha256="2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
        address="https://github.com/XPixelGroup/BasicSR/raw/8d56e3a/basicsr/metrics/niqe_pris_params.npz",
        licence="Apache-2.0 (BasicSR)",
        what="NIQE's pristine parameters as BasicSR packs them",
    ),
    Weight(
        name="brisque",
        file="brisque_svm_weights.pth",
        sha256=None,
        address=f"{_PYIQA}/brisque_svm_weights.pth",
        licence="free with copyright notice (LIVE, UT Austin)",
        what="BRISQUE's support vectors as pyiqa takes them",
    ),
    Weight(
        name="brisque_imquality",
        file="brisque_svr.npz",
        sha256="433d6bfa0d5a6dee2b1b273b924fe1882109e7c9039d296647ad008d00f7b325",
        address="https://github.com/ocampor/image-quality/tree/faf6a94/imquality/models (brisque_svm.txt and normalize.pickle, "
        "to be packed as sv, sv_coef, rho, gamma, feat_min, feat_max)",
        licence="Apache-2.0 (ocampor/image-quality)",
        what="BRISQUE's regression as the package imquality trained it",
    ),
    Weight(
        name="nrqm",
        file="NRQM_model.mat",
        sha256=None,
        address=f"{_PYIQA}/NRQM_model.mat",
        licence="not stated (chaoma99/sr-metric)",
        what="NRQM's three forests and its regression",
    ),
    Weight(
        name="imdn",
        file="imdn_x4_ntire.pth",
        sha256="115b4cc557eba9daaf1a6543c4858014c7e2a410655aafef7c8348ae54acc203",
        address=f"{_NTIRE}/imdn_baseline.pth",
        licence="MIT (ofsoundof/NTIRE2022_ESR)",
        what="IMDN x4, DIV2K: a single-image baseline of `oasis bench`",
    ),
    Weight(
        name="rlfn",
        file="rlfn_x4_ntire.pth",
        sha256="ca81b7757708ce749ac3766589690db6c2729961d026c0137e7659924ec36622",
        address=f"{_NTIRE}/team04_rlfn.pth",
        licence="MIT (ofsoundof/NTIRE2022_ESR)",
        what="RLFN x4 (cut), DIV2K: a single-image baseline of `oasis bench`",
    ),
)
WEIGHTS = {weight.name: weight for weight in _LIST}


def folder() -> Path:
    """Return the folder in which weights are looked for: `$OASIS_WEIGHTS`, or `~/.cache/oasis-vsr`."""
    return Path(os.environ.get("OASIS_WEIGHTS") or Path.home() / ".cache" / "oasis-vsr")


def find(name: str) -> Path:
    """Return the file of weights `name` of `WEIGHTS`; `Missing` if it is not here, ValueError if it is another file."""
    weight = WEIGHTS[name]
    path = folder() / weight.file
    if not path.is_file():
        raise Missing(
            f"the {name} weights {weight.file} are not in {folder()}; get them from {weight.address} "
            f"and put them there as {weight.file} (or set OASIS_WEIGHTS)"
        )
    found = digest(name)
    if weight.sha256 is not None and found != weight.sha256:
        raise ValueError(f"{path}: not the {name} weights: its sha256 is {found}, expected {weight.sha256}")
    return path


def digest(name: str) -> str:
    """Return the sha256 of the file that stands for weights `name`, right or wrong; FileNotFoundError if there is none."""
    path = folder() / WEIGHTS[name].file
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


def state(name: str) -> State:
    """Return whether weights `name` are here, missing, or another file under their name."""
    try:
        find(name)
    except Missing:
        return "missing"
    except ValueError:
        return "wrong"
    return "here"


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash a file once per process, and again only if its size or time of change is another."""
    return files.sha256(path)
