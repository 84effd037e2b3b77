"""A drawn face as one row of numbers and words, for tables.

Contract: a row holds str, int and float. Lengths of the picture are pixels, left is image-left.

| column | meaning |
|---|---|
| `seed`, `split`, `index` | what `draw` was called with |
| `label`, `expression` | what the set says, and what the face shows. They differ under label noise only |
| `soft_<expression>` | soft label, 0..1. The eight sum to 1. Open-set faces have 1/8 of each |
| `intensity`, `difficulty` | of the expression, 0..1.2, and of the picture, 0..1 (ours) |
| `occluder` | none, glasses, mask, hand or patch |
| `yaw`, `pitch`, `roll` | of the head, radians |
| `scale`, `centre_x`, `centre_y` | interocular distance and eyes' midpoint as shares of the side |
| `light_x`, `light_y`, `light_z` | direction to the light: right, down, to the viewer, unit length |
| `ambient`, `key` | strength of the hemisphere and of the light |
| `temperature`, `gamma`, `brightness`, `blur`, `noise`, `jpeg` | the camera, see `Photometry` |
| `noise_offset`, `background_seed` | where the noise starts, what the backdrop is drawn from |
| `identity` | number of the person in the split, equal numbers are one person |
| `age`, `feminine`, `skin_anchor`, `freckles`, `lipstick` | of the person, see `Identity` |
| `hair_style`, `beard` | by name |
| `shape_<name>` | shape of the person, in IOD or relative to the average face |
| `au<unit>_left`, `au<unit>_right` | intensity of an action unit on a side of the face, 0..1.2 |
| `x0`, `y0`, `visible0` ... `x67`, `y67`, `visible67` | landmarks in iBUG's order, 0 where hidden or outside |
"""

from fer_jax.action_units import ACTION_UNITS
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.person.identity import BEARDS, HAIR_STYLES, Identity
from fer_jax.faces.render import Face
from fer_jax.faces.scene import OCCLUDERS, Parameters

_PHOTOMETRY = ("temperature", "gamma", "brightness", "blur", "noise", "jpeg", "noise_offset")


def face_row(face: Face) -> dict[str, str | int | float]:
    """Return everything that is known of a face but its pixels.

    Args:
      face: from `render`.

    Returns:
      Column -> value, in the order of the table above. Always the same columns.
    """
    scene = face.parameters
    units = {
        f"au{unit}_{side}": float(face.au[row, column])
        for column, unit in enumerate(ACTION_UNITS)
        for row, side in enumerate(("left", "right"))
    }
    landmarks = {}
    for number, ((x, y), seen) in enumerate(zip(face.landmarks.tolist(), face.visible.tolist(), strict=True)):
        landmarks |= {f"x{number}": x, f"y{number}": y, f"visible{number}": int(seen)}
    return {
        "seed": scene.seed,
        "split": scene.split,
        "index": scene.index,
        "label": EXPRESSIONS[face.label],
        "expression": EXPRESSIONS[face.expression],
        **{f"soft_{name}": share for name, share in zip(EXPRESSIONS, face.soft_label.tolist(), strict=True)},
        "intensity": face.intensity,
        "difficulty": face.difficulty,
        "occluder": OCCLUDERS[face.occluder],
        **_scene_row(scene),
        **_person_row(scene.identity_seed, scene.identity),
        **units,
        **landmarks,
    }


def _scene_row(scene: Parameters) -> dict[str, int | float]:
    pose, light, photometry = scene.pose, scene.light, scene.photometry
    return {
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "roll": pose.roll,
        "scale": pose.scale,
        "centre_x": pose.centre[0],
        "centre_y": pose.centre[1],
        **dict(zip(("light_x", "light_y", "light_z"), light.direction, strict=True)),
        "ambient": light.ambient,
        "key": light.key,
        **{name: getattr(photometry, name) for name in _PHOTOMETRY},
        "background_seed": scene.background_seed,
    }


def _person_row(number: int, person: Identity) -> dict[str, str | int | float]:
    return {
        "identity": number,
        "age": person.age,
        "feminine": int(person.feminine),
        "skin_anchor": person.skin_anchor,
        "freckles": person.freckles,
        "lipstick": person.lipstick,
        "hair_style": HAIR_STYLES[person.hair_style],
        "beard": BEARDS[person.beard],
        **{f"shape_{name}": value for name, value in person.shape.items()},
    }
