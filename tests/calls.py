"""One small call of every public function on arrays: the examples of the laws in `test_meshes` and `test_compiling`.

An example is a function of arrays and the arrays of two devices, stacked. What it closes over is equal on all devices.
"""

import functools
import inspect
import operator

import flax.linen as nn
import jax
import jax.numpy as jnp

import fer_jax
from fer_jax import augment, ensemble, images, masks, metrics, saliency
from fer_jax.saliency import faithfulness

ROOMS = ("saliency", "saliency.faithfulness", "metrics", "images", "masks", "augment", "ensemble")
# No arrays go in, or functions come out, whose own laws stand elsewhere.
OTHERS = {
    "saliency.extremal",
    "saliency.extremal_queue",
    "saliency.grid_shape",
    "saliency.over_images",
    "masks.blur_size",
    "masks.reveal_radius",
    "ensemble.default_over_members",
    "ensemble.over_members",
    "ensemble.num_members",
    "ensemble.stack",
    "ensemble.unstack",
}

DEVICES, SIDE, CHANNELS, CLASSES = 2, 12, 5, 3
MEMBERS = 28


def public():
    """Names of all public functions, such as "metrics.cc"."""
    for room in ROOMS:
        module = operator.attrgetter(room)(fer_jax)
        exported = getattr(module, "__all__", None) or [name for name in vars(module) if name[0] != "_"]
        for name in exported:
            thing = getattr(module, name)
            if inspect.isfunction(thing) and thing.__module__.startswith(f"fer_jax.{room}"):
                yield f"{room}.{name}"


def _normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def _uniform(seed, *shape):
    return jax.random.uniform(jax.random.key(seed), shape)


_WEIGHTS = 0.3 * _normal(0, CHANNELS, CLASSES)
_KERNEL = _normal(1, 3, CHANNELS)
PICTURES = _normal(2, DEVICES, SIDE, SIDE, 3)
_BYTES = jax.random.randint(jax.random.key(3), (DEVICES, SIDE, SIDE, 3), 0, 256).astype(jnp.uint8)
FEATURES = jnp.abs(_normal(4, DEVICES, 4, 6, CHANNELS))
_HEATS, _OTHERS = _uniform(5, DEVICES, SIDE, SIDE), _uniform(6, DEVICES, SIDE, SIDE)
_REGIONS = _HEATS > 0.6
_CLICKS = SIDE * _uniform(7, DEVICES, 6, 2)
_KEYS = jax.random.split(jax.random.key(8), DEVICES)
TARGETS = jnp.asarray([2, 0])
_LABELS = jax.random.randint(jax.random.key(9), (DEVICES, 9), 0, CLASSES)
_PREDICTIONS = jax.random.randint(jax.random.key(10), (DEVICES, 9), 0, CLASSES)
_LOGITS = _normal(11, DEVICES, 9, CLASSES)
_COUNTS = jax.random.randint(jax.random.key(12), (DEVICES, CLASSES, CLASSES), 0, 5)
_VOTES = _normal(13, DEVICES, MEMBERS, 2, 2)
_LEVELS, _MASKS = _normal(15, DEVICES, 3, SIDE, SIDE, 3), _uniform(16, DEVICES, 2, SIDE, SIDE)
_SCORES = _uniform(18, DEVICES, 4), _uniform(19, DEVICES, 4)
_SMALL = saliency.ExtremalOptions(area=(0.1, 0.3), iterations=2, step=4, sigma=4.0, levels=3, max_blur=2.0)


def head(features):
    """Logits of a feature map, which every place enters in its own way."""
    return jnp.tanh(features * features.mean((0, 1), keepdims=True)).mean((0, 1)) @ _WEIGHTS


def logits(image):
    """Logits of a picture."""
    return jax.nn.relu(image @ _KERNEL).mean((0, 1)) @ _WEIGHTS


def probability(image):
    """A score that is equal on all devices for one picture."""
    return jax.nn.softmax(logits(image))[1]


def _of_target(method, image, target, **options):
    """A method of a score that differs between devices where the picture does not."""
    return method(lambda view: saliency.class_score(logits(view), target), image, **options)


def _masks(image, target):
    return _of_target(saliency.extremal_perturbation, image, target, options=_SMALL)[0]


def _smooth_masks(parameters):
    return saliency.smooth_mask(parameters, (SIDE, SIDE), step=4, sigma=4.0)


class Net(nn.Module):
    """A network that compiles in no time."""

    @nn.compact
    def __call__(self, images):
        """Logits of a batch."""
        return nn.Dense(2)(images.mean((1, 2)))


NET = Net()
STACK = ensemble.init(jax.random.key(14), NET, members=2, image_size=SIDE)


def _explain(variables):
    return jnp.abs(PICTURES[0] @ variables["fc"]).sum(-1)


def _cascade(key):
    return faithfulness.cascading_randomisation(key, _explain, {"fc": _KERNEL}, [("fc",)])


CALLS = {
    "saliency.area_term": (functools.partial(saliency.area_term, area=0.2), _HEATS),
    "saliency.cam": (lambda features, target: saliency.cam(features, _WEIGHTS, target), FEATURES, TARGETS),
    "saliency.class_score": (saliency.class_score, _LOGITS, TARGETS),
    "saliency.extremal_area": (
        lambda image: saliency.extremal_area(probability, image, _SMALL, threshold=0.1),
        PICTURES,
    ),
    "saliency.extremal_perturbation": (_masks, PICTURES, TARGETS),
    "saliency.gaussian_blur": (functools.partial(saliency.gaussian_blur, sigma=2.0), PICTURES),
    "saliency.grad_cam": (functools.partial(saliency.grad_cam, head), FEATURES, TARGETS),
    "saliency.grad_cam_plus_plus": (functools.partial(saliency.grad_cam_plus_plus, head), FEATURES, TARGETS),
    "saliency.hires_cam": (functools.partial(saliency.hires_cam, head), FEATURES, TARGETS),
    "saliency.input_x_gradient": (
        functools.partial(_of_target, saliency.input_x_gradient),
        PICTURES,
        TARGETS,
    ),
    "saliency.integrated_gradients": (
        lambda image: saliency.integrated_gradients(probability, image, steps=3, chunk=2),
        PICTURES,
    ),
    "saliency.layer_cam": (functools.partial(saliency.layer_cam, head), FEATURES, TARGETS),
    "saliency.normalise": (saliency.normalise, _HEATS),
    "saliency.perturb": (saliency.perturb, _LEVELS, _MASKS),
    "saliency.postprocess": (
        lambda heat: saliency.postprocess(heat, (9, 15), convention="pytorch_grad_cam"),
        _HEATS,
    ),
    "saliency.pyramid": (functools.partial(saliency.pyramid, levels=3, max_blur=2.0), PICTURES),
    "saliency.resize": (lambda heat: saliency.resize(heat, (9, 15)), _HEATS),
    "saliency.rise": (
        lambda key, image: saliency.rise(key, probability, image, samples=5, cells=3, chunk=2),
        _KEYS,
        PICTURES,
    ),
    "saliency.smooth_grad": (
        lambda key, image: saliency.smooth_grad(key, probability, image, samples=3, chunk=2),
        _KEYS,
        PICTURES,
    ),
    "saliency.smooth_mask": (_smooth_masks, _uniform(17, DEVICES, 2, 3, 3)),
    "saliency.faithfulness.average_drop": (faithfulness.average_drop, *_SCORES),
    "saliency.faithfulness.cascading_randomisation": (_cascade, _KEYS),
    "saliency.faithfulness.deletion": (
        lambda image, heat: faithfulness.deletion(probability, image, heat, steps=3, chunk=2),
        PICTURES,
        _HEATS,
    ),
    "saliency.faithfulness.increase": (faithfulness.increase, *_SCORES),
    "saliency.faithfulness.insertion": (
        lambda image, heat: faithfulness.insertion(probability, image, heat, steps=3, chunk=2),
        PICTURES,
        _HEATS,
    ),
    "saliency.faithfulness.masked_image": (faithfulness.masked_image, PICTURES, _HEATS),
    "saliency.faithfulness.mu_fidelity": (
        lambda key, image, heat: faithfulness.mu_fidelity(key, probability, image, heat, subsets=4, chunk=2),
        _KEYS,
        PICTURES,
        _HEATS,
    ),
    "saliency.faithfulness.noisy_linear_impute": (faithfulness.noisy_linear_impute, _KEYS, PICTURES, _REGIONS),
    "saliency.faithfulness.road": (
        lambda key, image, heat: faithfulness.road(key, probability, image, heat, shares=(0.3,), chunk=2),
        _KEYS,
        PICTURES,
        _HEATS,
    ),
    "metrics.accuracy": (metrics.accuracy, _LABELS, _PREDICTIONS),
    "metrics.at_clicks": (metrics.at_clicks, _HEATS, _CLICKS),
    "metrics.auc_judd": (metrics.auc_judd, _HEATS, _CLICKS),
    "metrics.auc_region": (metrics.auc_region, _OTHERS, _REGIONS),
    "metrics.auc_shuffled": (metrics.auc_shuffled, _HEATS, _CLICKS, SIDE - _CLICKS),
    "metrics.auc_uniform": (metrics.auc_uniform, _HEATS, _CLICKS),
    "metrics.balanced_accuracy": (metrics.balanced_accuracy, _COUNTS),
    "metrics.brier_score": (metrics.brier_score, jax.nn.softmax(_LOGITS), _LABELS),
    "metrics.cc": (metrics.cc, _HEATS, _OTHERS),
    "metrics.confusion": (functools.partial(metrics.confusion, classes=CLASSES), _LABELS, _PREDICTIONS),
    "metrics.confusion_accuracy": (metrics.confusion_accuracy, _COUNTS),
    "metrics.density": (metrics.density, _HEATS),
    "metrics.dice": (metrics.dice, _REGIONS, _OTHERS > 0.5),
    "metrics.dice_at_area": (metrics.dice_at_area, _HEATS, _OTHERS, TARGETS + 9),
    "metrics.dice_at_threshold": (metrics.dice_at_threshold, _HEATS, _OTHERS),
    "metrics.energy_pointing": (metrics.energy_pointing, _OTHERS, _REGIONS),
    "metrics.evident_region": (metrics.evident_region, _HEATS),
    "metrics.expected_calibration_error": (metrics.expected_calibration_error, jax.nn.softmax(_LOGITS), _LABELS),
    "metrics.f1": (metrics.f1, _COUNTS),
    "metrics.fit_temperature": (metrics.fit_temperature, _LOGITS, _LABELS),
    "metrics.information_gain": (metrics.information_gain, _HEATS, _OTHERS, _CLICKS),
    "metrics.iou": (metrics.iou, _REGIONS, _OTHERS > 0.5),
    "metrics.kendall": (metrics.kendall, _HEATS, _OTHERS),
    "metrics.kl": (metrics.kl, _HEATS, _OTHERS),
    "metrics.localisation": (metrics.localisation, _HEATS, _OTHERS),
    "metrics.macro_f1": (metrics.macro_f1, _COUNTS),
    "metrics.most_salient": (metrics.most_salient, _HEATS, TARGETS + 9),
    "metrics.negative_log_likelihood": (metrics.negative_log_likelihood, _LOGITS, _LABELS),
    "metrics.nss": (metrics.nss, _HEATS, _CLICKS),
    "metrics.pearson": (metrics.pearson, _HEATS, _OTHERS),
    "metrics.pointing_game": (metrics.pointing_game, _OTHERS, _REGIONS),
    "metrics.precision": (metrics.precision, _COUNTS),
    "metrics.recall": (metrics.recall, _COUNTS),
    "metrics.relevance_rank": (metrics.relevance_rank, _OTHERS, _REGIONS),
    "metrics.row_shares": (metrics.row_shares, _COUNTS),
    "metrics.salience_rank": (metrics.salience_rank, _HEATS),
    "metrics.sim": (metrics.sim, _HEATS, _OTHERS),
    "metrics.spearman": (metrics.spearman, _HEATS, _OTHERS),
    "metrics.ssim": (metrics.ssim, _HEATS, _OTHERS),
    "metrics.threshold": (metrics.threshold, 100 * _HEATS),
    "metrics.to_bytes": (metrics.to_bytes, _HEATS),
    "images.affine_warp": (images.affine_warp, PICTURES, _normal(20, DEVICES, 2, 3)),
    "images.box_blur": (lambda image: images.box_blur(image, 4), _BYTES),
    "images.grayscale": (images.grayscale, _BYTES),
    "images.normalise": (images.normalise, PICTURES),
    "images.resize": (lambda image: images.resize(image, (9, 15)), PICTURES),
    "images.to_float": (images.to_float, _BYTES),
    "masks.blurred": (lambda image: masks.blurred(image, size=4), _BYTES),
    "masks.composite": (masks.composite, _BYTES, _BYTES[:, ::-1], _REGIONS),
    "masks.reveal": (lambda points: masks.reveal(points, (SIDE, SIDE), radius=3), _CLICKS),
    "masks.shift": (masks.shift, _REGIONS, TARGETS - 1, 1 - TARGETS),
    "augment.augment": (lambda key, image: augment.augment(key, image, augment.Augmentation()), _KEYS, PICTURES),
    "ensemble.apply": (lambda image: ensemble.apply(NET, STACK, image[None], over_members="vmap"), PICTURES),
    "ensemble.ballot_shares": (ensemble.ballot_shares, _uniform(21, DEVICES, 2, 8)),
    "ensemble.ballots": (ensemble.ballots, _VOTES),
    "ensemble.init": (lambda key: ensemble.init(key, NET, members=2, image_size=SIDE), _KEYS),
    "ensemble.member": (ensemble.member, _normal(22, DEVICES, 3, 4), TARGETS),
    "ensemble.probability_ballots": (ensemble.probability_ballots, _VOTES),
    "ensemble.probability_vote": (ensemble.probability_vote, _VOTES),
    "ensemble.simple_vote": (ensemble.simple_vote, _VOTES),
    "ensemble.weighted_ballots": (ensemble.weighted_ballots, _VOTES),
    "ensemble.weighted_vote": (ensemble.weighted_vote, _VOTES),
}
