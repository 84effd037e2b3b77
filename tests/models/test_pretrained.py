import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from fer_jax import checkpoints, models
from fer_jax.errors import UsageError

# Constructors' arguments and the number of parameters torchvision's documentation gives for 1000 classes.
PUBLISHED = {
    "resnet18": ((2, 2, 2, 2), "basic", 11_689_512),
    "resnet34": ((3, 4, 6, 3), "basic", 21_797_672),
    "resnet50": ((3, 4, 6, 3), "bottleneck", 25_557_032),
}


def same(got, wanted):
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def hugging_face(name):
    """Torchvision's name in the words of transformers' `ResNetForImageClassification`."""
    for pattern, theirs in (
        (r"^conv1\.", "resnet.embedder.embedder.convolution."),
        (r"^bn1\.", "resnet.embedder.embedder.normalization."),
        (r"^fc\.", "classifier.1."),
    ):
        if re.match(pattern, name):
            return re.sub(pattern, theirs, name)
    layer, block, rest = re.fullmatch(r"layer(\d)\.(\d+)\.(.*)", name).groups()
    rest = rest.replace("downsample.0", "shortcut.convolution").replace("downsample.1", "shortcut.normalization")
    rest = re.sub(r"^conv(\d)", lambda m: f"layer.{int(m[1]) - 1}.convolution", rest)
    rest = re.sub(r"^bn(\d)", lambda m: f"layer.{int(m[1]) - 1}.normalization", rest)
    return f"resnet.encoder.stages.{int(layer) - 1}.layers.{block}.{rest}"


def with_counters(weights):
    counters = {n.replace("running_var", "num_batches_tracked"): np.int64(9) for n in weights if "running_var" in n}
    return weights | {name: np.asarray(count) for name, count in counters.items()}


@pytest.fixture(scope="module")
def basic(shapes_of, by_recipe):
    """A basic network and its weights: (model, arrays)."""
    model = models.ResNet(num_classes=3, stage_sizes=(1, 2), width=4, block="basic")
    return model, by_recipe(shapes_of((1, 2), 4, 3, "basic"), seed=3)


NAMINGS = {
    "torchvision": lambda name: name,
    "timm": lambda name: f"model.{name}",
    "compiled_in_parallel": lambda name: f"module._orig_mod.{name}",
    "hugging_face": hugging_face,
    "hugging_face_in_parallel": lambda name: f"module.{hugging_face(name)}",
    "hugging_face_backbone": lambda name: hugging_face(name).removeprefix("resnet."),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_one_network_under_any_name_in_a_file_is_the_reference(mini, tmp_path, naming):
    renamed = {NAMINGS[naming](name): array for name, array in with_counters(mini.weights).items()}
    save_file(renamed, tmp_path / "weights.safetensors")
    variables = models.from_state_dict(checkpoints.read_safetensors(tmp_path / "weights.safetensors"), mini.model)
    same(variables, mini.variables)
    logits = jax.jit(mini.model.apply)(variables, mini.images).logits
    np.testing.assert_allclose(logits, mini.arrays["logits"], rtol=0, atol=1e-5 * abs(mini.arrays["logits"]).max())


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_of_the_published_networks_has_its_place(shapes_of, by_recipe, name):
    stage_sizes, block, parameters = PUBLISHED[name]
    sizes = shapes_of(stage_sizes, 64, 1000, block)
    assert sum(np.prod(shape) for n, shape in sizes.items() if "running" not in n) == parameters
    model = models.ResNet(num_classes=5, stage_sizes=stage_sizes, width=2, block=block)
    weights = by_recipe(shapes_of(stage_sizes, 2, 5, block), seed=1)
    for rename in (NAMINGS["torchvision"], hugging_face):
        variables = models.from_state_dict({rename(n): array for n, array in weights.items()}, model)
        back = models.to_state_dict(model, variables)
        assert back.keys() == weights.keys()
        same(back, weights)


@pytest.mark.parametrize(
    "model", [models.TinyResNet(num_classes=2, width=8), models.ResNet(num_classes=4, stage_sizes=(1, 1), width=4)]
)
def test_there_and_back_through_a_file_changes_no_bit(random_variables, model, tmp_path):
    variables = random_variables(model)
    save_file(models.to_state_dict(model, variables), tmp_path / "weights.safetensors")
    again = models.from_state_dict(checkpoints.read_safetensors(tmp_path / "weights.safetensors"), model)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    same(again, variables)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_becomes_float32(basic, tmp_path, dtype):
    model, weights = basic
    half = {name: array.astype(dtype) for name, array in weights.items()}
    save_file(half, tmp_path / "half.safetensors")
    variables = models.from_state_dict(checkpoints.read_safetensors(tmp_path / "half.safetensors"), model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    same(models.to_state_dict(model, variables), {name: array.astype(np.float32) for name, array in half.items()})


def test_float64_stays_where_jax_has_it(x64, basic):
    model, weights = basic
    exact = {name: array / np.float64(3) for name, array in weights.items()}
    same(models.to_state_dict(model, models.from_state_dict(exact, model)), exact)


def test_variables_do_not_change_with_the_arrays_they_came_from(basic):
    model, weights = basic
    weights = {name: array.copy() for name, array in weights.items()}
    variables = models.from_state_dict(weights, model)
    before = jax.tree.map(np.array, variables)
    for array in weights.values():
        array[...] = np.nan
    same(variables, before)


@pytest.mark.parametrize("classifier", ["absent", "of 7 classes", "of several layers"])
@pytest.mark.parametrize("rename", [NAMINGS["torchvision"], hugging_face])
def test_a_new_head_is_drawn_and_the_rest_kept(basic, classifier, rename):
    model, weights = basic
    body = {name: array for name, array in weights.items() if "fc" not in name}
    heads = {
        "absent": {},
        "of 7 classes": {"fc.weight": np.ones((7, 8), np.float32), "fc.bias": np.ones(7, np.float32)},
        "of several layers": {"fc.0.weight": np.ones((5, 8), np.float32), "fc.3.weight": np.ones((3, 5), np.float32)},
    }
    arrays = {rename(name): array for name, array in (body | heads[classifier]).items()}
    variables = models.from_state_dict(arrays, model, head="new", key=jax.random.key(1))
    same({n: a for n, a in models.to_state_dict(model, variables).items() if "fc" not in n}, body)
    other = models.from_state_dict(arrays, model, head="new", key=jax.random.key(2))
    kernel, bias = models.head_weights(variables)
    assert kernel.shape == (8, 3)
    assert not bias.any()
    assert (kernel != models.head_weights(other)[0]).all()


def test_a_new_head_is_as_wide_as_a_fresh_networks(random_variables):
    model = models.ResNet(num_classes=400, stage_sizes=(1,), width=64)
    weights = models.to_state_dict(model, random_variables(model))
    kernel, _ = models.head_weights(models.from_state_dict(weights, model, head="new", key=jax.random.key(1)))
    # LeCun's 1 / √256, from 102,400 draws: the deviation of their standard deviation is 0.2 % of it.
    np.testing.assert_allclose(kernel.std(), 1 / 16, rtol=0.02)


KEY = jax.random.key(0)


def without(weights, *names):
    return {name: array for name, array in weights.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda w: without(w, "bn1.bias"), {}, "under torchvision names: missing bn1.bias.$"),
        (
            lambda w: without(w, "fc.weight", "fc.bias"),
            {},
            'missing fc.bias, fc.weight; for a file without .* head="new"',
        ),
        (lambda w: w | {"layer9.0.conv1.weight": w["fc.bias"]}, {}, "names: left over layer9.0.conv1.weight.$"),
        (
            lambda w: {"vit.encoder.norm": w["fc.bias"]},
            {},
            r"missing .*, .*, .* and \d+ more, left over vit.encoder.norm.$",
        ),
        (
            lambda w: {hugging_face(n): a for n, a in without(w, "conv1.weight").items()},
            {},
            "Hugging Face names: missing embedder.embedder.convolution.weight",
        ),
        (
            lambda w: w | {"layer1.0.conv2.weight": w["conv1.weight"]},
            {},
            r"layer1.0.conv2.weight: wanted shape \(4, 4, 3, 3\), got \(4, 3, 7, 7\).$",
        ),
        (
            lambda w: w | {"fc.weight": np.ones((1000, 8), np.float32)},
            {},
            r'fc.weight: wanted shape \(3, 8\), got \(1000, 8\); for another number of classes use head="new"',
        ),
        (lambda w: w | {"bn1.bias": np.arange(4)}, {}, "bn1.bias: wanted floating point, got int64"),
        (lambda w: w | {"module.bn1.bias": w["bn1.bias"]}, {}, "got bn1.bias twice, once as module.bn1.bias"),
        (lambda w: w, {"head": "new"}, "`key`: a new head wants a typed key"),
        (lambda w: w, {"head": "new", "key": jax.random.key_data(KEY)}, "`key`: a new head wants a typed key"),
        (lambda w: w, {"head": "fresh"}, "`head`: wanted one of keep, new, got 'fresh'"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(basic, change, options, message):
    model, weights = basic
    with pytest.raises(UsageError, match=message) as caught:
        models.from_state_dict(change(weights), model, **options)
    assert "\n" not in str(caught.value)


def test_folded_networks_and_strange_variables_are_refused(basic):
    model, weights = basic
    folded, its = models.fold_batch_norm(model, models.from_state_dict(weights, model))
    with pytest.raises(UsageError, match=r"`model`: wanted one with BatchNorm, got a folded one; fold what"):
        models.from_state_dict(weights, folded)
    with pytest.raises(UsageError, match=r"`model`: wanted one with BatchNorm"):
        models.to_state_dict(folded, its)
    with pytest.raises(UsageError, match=r"`variables`: wanted the params and batch_stats of this one model"):
        models.to_state_dict(model, its)
