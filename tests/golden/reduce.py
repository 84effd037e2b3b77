"""Make the small reference numbers of this folder: `python tests/golden/reduce.py ../shared/goldens`.

No picture is kept. Inputs that a recipe gives are made by the tests anew (`tests/models/conftest.py`).
"""

import pathlib
import sys

import numpy as np

# File -> names kept whole. Where the large set has many images, iterations or areas, `_FIRST` keeps some.
_KEPT = {
    "area_reward": None,
    "metrics": (
        "maps_f64 human_f64 fix_y fix_x nonfix_y nonfix_x nss_f64 cc_f64 sim_f64 kl_mit_f64 auc_uniform_f64 "
        "auc_judd_f64 auc_shuffled_f64 auc_uniform_sklearn_f64 spearman_f64 pearson_f64 kendall_f64 bin_maps bin_human "
        "dice_f64 iou_f64 box q_pointing_game_f64 q_relevance_mass_f64 q_relevance_rank_f64 "
        "q_attribution_localisation_f64 q_loc_auc_f64"
    ),
    "resize": (
        "map torch_bilinear_50x30 cv2_linear_50x30 torch_nearest_50x30 torch_bicubic_50x30 torch_bilinear_3x4 "
        "cv2_linear_3x4 torch_nearest_3x4"
    ),
    "smoothmask": (
        "a_config_f64 a_geometry b_config_f64 b_geometry d_config_f64 d_geometry c_config_f64 c_geometry c_pmask "
        "c_cropped c_full c_full_mean c_grad_sum_cropped c_grad_halfsq_full"
    ),
    "tinycnn_weights": None,
    "tinycnn_cam": "features y cam_raw gradcam_raw gradcam_signed gradcam_softmax_signed",
    "miniresnet": (
        "logits logits_f64 layer4 cam_raw gradcam_layer4 gradcam_layer3 gradcam_layer2 ep_pmask0 ep_grad0 ep_iters "
        "ep_pmask ep_mask ep_hist"
    ),
}
_FIRST = {"miniresnet": {"ep_iters": 2, "ep_pmask": 2, "ep_mask": 2}}


def reduce(source: pathlib.Path, target: pathlib.Path) -> None:
    """Write the kept arrays of each file of the large set."""
    for name, kept in _KEPT.items():
        arrays = np.load(source / f"{name}.npz")
        names = arrays.files if kept is None else kept.split()
        first = _FIRST.get(name, {})
        np.savez_compressed(target / f"{name}.npz", **{key: arrays[key][: first.get(key)] for key in names})


if __name__ == "__main__":
    reduce(pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent)
