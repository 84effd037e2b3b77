"""The small convolutional network of the reference numbers, as a plain JAX function, and its images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax


class TinyCNN:
    """conv-bn-relu three times, global average pooling, one linear layer; images (H, W, 3), logits (2,)."""

    def __init__(self, arrays, dtype=np.float32):
        self.layers = []
        for index in "123":
            scale = arrays[f"bn{index}.weight"] / np.sqrt(arrays[f"bn{index}.running_var"] + 1e-5)
            kernel = arrays[f"conv{index}.weight"] * scale[:, None, None, None]
            bias = arrays[f"bn{index}.bias"] - arrays[f"bn{index}.running_mean"] * scale
            self.layers.append((kernel.transpose(2, 3, 1, 0).astype(dtype), bias.astype(dtype)))
        self.weights = jnp.asarray(arrays["fc.weight"].T.astype(dtype))
        self.bias = jnp.asarray(arrays["fc.bias"].astype(dtype))

    def features(self, image, *, first=0, last=3):
        """The feature map (h, w, C) after layer `last`, from the map before layer `first`."""
        x = image[None]
        for (kernel, bias), stride in zip(self.layers[first:last], (1, 2, 2)[first:last], strict=True):
            numbers = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(x, jnp.asarray(kernel), (stride,) * 2, [(1, 1)] * 2, dimension_numbers=numbers)
            x = jax.nn.relu(x + jnp.asarray(bias).reshape(1, 1, 1, -1))
        return x[0]

    def head(self, features):
        return features.mean((0, 1)) @ self.weights + self.bias

    def __call__(self, image):
        return self.head(self.features(image))


@pytest.fixture(scope="session")
def tiny_cnn(goldens):
    return TinyCNN(goldens("tinycnn_weights"))


@pytest.fixture(scope="session")
def tiny_images(goldens):
    """(4, 64, 64, 3) and their classes (4,)."""
    arrays = goldens("tinycnn_cam")
    return jnp.asarray(arrays["x"].transpose(0, 2, 3, 1)), arrays["y"]


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
