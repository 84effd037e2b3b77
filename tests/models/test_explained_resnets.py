"""Explanations of the reference networks, through the functions that models and saliency meet in."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models, saliency

# The reference's habits, which are not our defaults.
REFERENCE = {"area_of": "padded_mask", "flip_jitter": True}
# By iterations run; small because kinks of ReLU and max-pooling amplify rounding.
TOLERANCES = {1: 1e-3, 5: 5e-3, 20: 2e-2}


def close(got, wanted, relative=1e-5):
    np.testing.assert_allclose(got, wanted, atol=relative * abs(wanted).max(), rtol=0)


def grad_cams(model, variables, maps, layer):
    """(B, classes, h, w) from the maps (B, h, w, C) after a layer."""
    one = functools.partial(saliency.grad_cam, models.head_after(model, variables, layer=layer))
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(maps, jnp.arange(model.num_classes))


def folded(reference, **options):
    return models.fold_batch_norm(reference.model.clone(**options), reference.variables)


@pytest.mark.parametrize("layer", ["layer2", "layer3", "layer4"])
@pytest.mark.parametrize("fold", [False, True])
def test_grad_cam_of_any_layer_equals_the_reference(mini, layer, fold):
    model, variables = folded(mini) if fold else (mini.model, mini.variables)

    @jax.jit
    def explain(variables, images):
        return grad_cams(model, variables, models.features_at(model, variables, images, layer=layer), layer)

    close(explain(variables, mini.images), mini.arrays[f"gradcam_{layer}"])


def test_cam_equals_the_reference(mini):
    features = jax.jit(mini.model.apply)(mini.variables, mini.images).features
    maps = jax.vmap(saliency.cam, (0, None))(features, models.head_weights(mini.variables)[0])
    close(maps.transpose(0, 3, 1, 2), mini.arrays["cam_raw"])


def test_resnet50_and_its_maps_equal_the_reference(large):
    names = sorted(large.weights)
    np.testing.assert_allclose(
        [large.weights[name].astype(np.float64).sum() for name in names], large.arrays["check_sums_f64"], atol=1e-9
    )
    np.testing.assert_array_equal([large.weights[name].flat[0] for name in names], large.arrays["check_first"])
    model, variables = folded(large)

    @jax.jit
    def explain(variables, images):
        before = models.features_at(model, variables, images, layer="layer3")
        output = model.apply(variables, before, start_after="layer3")
        cam = jax.vmap(saliency.cam, (0, None))(output.features, models.head_weights(variables)[0])
        return {
            "logits": output.logits,
            "features": output.features.transpose(0, 3, 1, 2),
            "cam_raw": cam.transpose(0, 3, 1, 2),
            "gradcam_layer3": grad_cams(model, variables, before, "layer3"),
            "gradcam_layer4": grad_cams(model, variables, output.features, "layer4"),
        }

    for name, got in explain(variables, large.images).items():
        close(got, large.arrays[name])


def check_extremal_perturbation(reference, fold, lowering, score, **options):
    model, variables = reference.model.clone(lowering=lowering), reference.variables
    if fold:
        model, variables = folded(reference, lowering=lowering)
    arrays = reference.arrays

    def problem(variables):
        def score_fn(image):
            return saliency.class_score(model.apply(variables, image[None]).logits[0], 1, score=score)

        return saliency.extremal(score_fn, reference.images[0], saliency.ExtremalOptions(**REFERENCE, **options))

    step = jax.jit(lambda variables, state: problem(variables).step(state))
    state = problem(variables).init(jnp.asarray(arrays["ep_pmask0"][:, 0]))
    for iteration in range(20):
        state, energies = step(variables, state)
        # The reference mixes rewards of several areas; their sum is right.
        np.testing.assert_allclose(energies.reward.sum(), arrays["ep_hist"][:, 0, iteration].sum(), atol=2e-2)
        if iteration + 1 in arrays["ep_iters"]:
            at = list(arrays["ep_iters"]).index(iteration + 1)
            tolerance = TOLERANCES[iteration + 1]
            np.testing.assert_allclose(state.mask, arrays["ep_mask"][at][:, 0], atol=tolerance)
            np.testing.assert_allclose(state.parameters, arrays["ep_pmask"][at][:, 0], atol=tolerance)


@pytest.mark.parametrize(("fold", "lowering"), [(False, "dots"), (True, "frozen")])
def test_extremal_perturbation_equals_the_reference(mini, fold, lowering):
    check_extremal_perturbation(mini, fold, lowering, "difference", area=(0.05, 0.2))


@pytest.mark.slow
def test_extremal_perturbation_of_resnet50_equals_the_reference(large):
    check_extremal_perturbation(large, True, "frozen", "logit", area=(0.1,))
