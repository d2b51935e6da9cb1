"""Every measure names the test that compares it with a second implementation, its formula, or a stored value."""

import re
from pathlib import Path

from oasis.measures import MEASURES

PUBLISHED = "test_pixel.py::test_equals_what_the_published_tools_gave"
VECTORS = "test_conformance.py::test_every_protocol_gives_its_value"
LPIPS = "test_perceptual.py::test_lpips_equals_the_package"
DOVER = "dover/test_dover_score.py::test_the_published_network_scores_a_clip_as_the_authors_do"
SCRIPTS = "test_warping.py::test_masks_and_errors_of_both_published_scripts"
KNOWN = "test_warping.py::test_a_known_flicker_is_a_known_error"
DIS = "test_warping.py::test_errors_by_dis_are_those_of_plain_code"
JUMP = "test_boundaries.py::test_a_jump_between_chunks_has_its_known_size"

CHECKS = {
    "psnr@rgb": PUBLISHED,
    "psnr@y": PUBLISHED,
    "psnr@y-rounded": VECTORS,
    "psnr@y-full": VECTORS,
    "psnr@pyiqa": PUBLISHED,
    "psnr@pyiqa-y": PUBLISHED,
    "psnr@dove-y": PUBLISHED,
    "psnr@tecogan": PUBLISHED,
    "ssim@rgb": PUBLISHED,
    "ssim@y": PUBLISHED,
    "ssim@pyiqa": PUBLISHED,
    "ssim@pyiqa-rgb": PUBLISHED,
    "ssim@tecogan": PUBLISHED,
    "ms_ssim@pyiqa": "test_ms_ssim.py::test_it_equals_pyiqas_and_on_even_sizes_piqs",
    "fsim@pyiqa": "test_structure.py::test_fsim_equals_piq",
    "gmsd@pyiqa": "test_structure.py::test_gmsd_equals_the_paper",
    "vif@pyiqa": "test_structure.py::test_vif_equals_the_papers_information",
    "nlpd@pyiqa": "test_structure.py::test_nlpd_equals_the_authors_pyramid",
    "lpips@alex": LPIPS,
    "lpips@vgg": LPIPS,
    "lpips@tecogan": LPIPS,
    "dists@pyiqa": "test_perceptual.py::test_dists_equals_the_reference",
    "clipiqa@pyiqa": "test_perceptual.py::test_clip_iqa_takes_openais_archive",
    "musiq@pyiqa": "test_quality_networks.py::test_musiq_equals_its_paper",
    "maniqa@pyiqa": "test_quality_networks.py::test_maniqa_equals_its_paper_on_a_crop",
    "niqe@pyiqa": "test_perceptual.py::test_niqe_equals_basicsr_and_pyiqa",
    "niqe@basicsr": "test_perceptual.py::test_niqe_equals_basicsr_and_pyiqa",
    "brisque@pyiqa": "test_perceptual.py::test_pyiqas_brisque_equals_piqs",
    "brisque@imquality": "test_perceptual.py::test_imqualitys_brisque_is_its_regression_on_piqs_statistics",
    # Of NRQM only the end, its forests and their regression, is checked: no second implementation of its statistics is at hand.
    "nrqm@pyiqa": "test_perceptual.py::test_pi_is_made_of_nrqm_and_niqe_of_matlabs_luma",
    "pi@pyiqa": "test_perceptual.py::test_pi_is_made_of_nrqm_and_niqe_of_matlabs_luma",
    "vmaf@v0.6.1": "test_vmaf.py::test_the_real_vmaf_equals_ffmpeg_on_two_files",
    "dover@fused": DOVER,
    "dover@technical": DOVER,
    "dover@aesthetic": DOVER,
    "ewarp@lai-full-occ-x1000": SCRIPTS,
    "ewarp_excess@lai-full-occ-x1000": SCRIPTS,
    "ewarp@lai-output-full-occ-x1000": "test_warping.py::test_raft_is_shown_what_its_protocol_says",
    "ewarp@dove-half-occ-x1000": SCRIPTS,
    "ewarp@dove-exact-half-occ-x1000": "test_warping.py::test_evalcrafters_value_end_to_end",
    "ewarp@dis-full-occ-x1000": DIS,
    "ewarp_excess@dis-full-occ-x1000": DIS,
    "ewarp@dis-output-full-occ-x1000": DIS,
    "ewarp@true-flow-x1000": KNOWN,
    "ewarp_excess@true-flow-x1000": KNOWN,
    "tof@tecogan": "test_temporal.py::test_tof_is_tecogans",
    "tof@farneback": "test_temporal.py::test_tof_of_whole_frames_is_its_formula",
    "tof@stablevsr": "test_temporal.py::test_tof_as_stablevsr_runs_raft",
    "tlp@tecogan": "test_temporal.py::test_tlp_is_tecogans_and_stablevsrs",
    "tlp@stablevsr": "test_temporal.py::test_tlp_is_tecogans_and_stablevsrs",
    "flicker@static": "test_temporal.py::test_flicker_is_seen_where_the_reference_stands_still",
    "flicker@vbench": "test_temporal.py::test_vbenchs_flicker_is_the_change_of_frames",
    "sharpness@laplacian": "test_temporal.py::test_sharpness_is_the_variance_of_the_laplacian",
    "boundary@chunk-8": JUMP,
    "boundary@chunk-13": JUMP,
    "boundary@tile-160x288": "test_boundaries.py::test_seams_have_their_known_size",
    "boundary@cut": "test_boundaries.py::test_cuts_count_beside_themselves_and_never_across",
}


def test_every_measure_has_its_check() -> None:
    assert set(CHECKS) == set(MEASURES)
    for check in CHECKS.values():
        file, _, test = check.partition("::")
        assert re.search(rf"^def {test}\(", (Path(__file__).parent / file).read_text(encoding="utf-8"), re.MULTILINE), check
