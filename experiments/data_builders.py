"""The builder of each data set that `experiments.prepare_data` knows, made from its flags."""

import contextlib
import functools
import importlib
import importlib.util
import io
import pathlib
import sys

from fer_jax import human
from fer_jax.categories import Categories
from fer_jax.cores import usable_cores
from fer_jax.errors import Preempted, UsageError
from fer_jax.expressions import EXPRESSIONS, paper_first, parse_categories

# Photographs -> the default configuration, and the options of the source that are flags.
PHOTOGRAPHS = {
    "affectnet": ("original", ("release", "votes", "drop_bad_box", "label_table")),
    "ferplus": ("plurality", ("target",)),
    "ckplus": ("apex", ("apex_frames", "folds", "fold", "label_table")),
    "rafdb": ("aligned", ()),
    "class_folders": ("named", ("label_table",)),
}
# Flags -> the data sets that know them. The others refuse them.
_OF_PHOTOGRAPHS = (
    *("crop", "box_margin", "detector", "exif", "encoding"),
    *("stimuli", "pick_stimuli", "dedupe", "max_reject_frac", "class_map"),
)
_OF_FACES = ["faces", "train_images", "validation_images", "stimuli_images"]
OWNERS = (
    {
        flag: tuple(name for name, (_, own) in PHOTOGRAPHS.items() if flag in own)
        for _, flags in PHOTOGRAPHS.values()
        for flag in flags
    }
    | dict.fromkeys(_OF_PHOTOGRAPHS, tuple(PHOTOGRAPHS))
    | dict.fromkeys(_OF_FACES, ("procedural_faces",))
    | dict.fromkeys(("images", "allow_mixed"), ("click_study",))
    | {"categories": (*PHOTOGRAPHS, "click_study")}
    | dict.fromkeys(("image_size", "workers"), (*PHOTOGRAPHS, "procedural_faces"))
)


def built(config, stop):
    """Build the set that the flags ask for, unless it is there, and return its TFDS builder.

    Args:
      config: `prepare_data.PrepareConfig`.
      stop: a `StopRequest`, asked between rows.

    Raises:
      UsageError: flags that do not go together, or a set that was built from another copy.
      Preempted: a stop was asked for.
    """
    import absl.logging
    import tensorflow_datasets as tfds

    from experiments.harness.progress import Progress
    from experiments.prepared_set import build
    from fer_jax import faces

    progress = Progress(f"preparing {config.dataset}", None, unit="rows")

    def tell(done):
        progress.update(done, total=builder.in_all)
        if stop.signal is not None:
            raise Preempted("Stopped on request; nothing half-built is visible. The same command goes on.")

    tfds.disable_progress_bar()
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of every configuration that is not standard
    builder = builder_of(config, tell)

    def make(work, seen):
        builder.work, builder.made_from = work, seen
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints that it downloads, which it does not
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
        progress.finish(f"{sum(split.num_examples for split in builder.info.splits.values())} examples stored")

    path = pathlib.Path(builder.data_path)
    sources = [place for place in (config.manual_dir, config.images) if place]
    version = faces.RENDER_VERSION if config.dataset == "procedural_faces" else None
    if not build(path, make, sources=sources, version=version, overwrite=config.overwrite):
        builder = tfds.builder_from_directory(path)
    return builder


def builder_of(config, tell):
    """Return the TFDS builder that the flags ask for.

    Args:
      config: `prepare_data.PrepareConfig`.
      tell: called with the number of rows done.

    Raises:
      UsageError: flags that do not go together.
    """
    # TFDS wants a separate folder for each builder, without a package around them.
    folder = str(pathlib.Path(__file__).resolve().parent.parent / "datasets")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _refuse_strangers(config)
    if importlib.util.find_spec("array_record") is None:
        elsewhere = (
            f" Elsewhere reproduce reads the same set into memory: --dataset={config.dataset} --data_dir=YOUR_COPY."
        )
        raise UsageError(
            "`--data_dir`: prepared sets want array_record, which has packages for Linux only."
            f"{elsewhere if config.dataset in PHOTOGRAPHS else ''}"
        )
    make = {"procedural_faces": _procedural_faces, "click_study": _click_study}.get(config.dataset, _photographs)
    module = importlib.import_module(f"{config.dataset}.{config.dataset}_dataset_builder")
    return make(module, config, tell)


def _refuse_strangers(config):
    """Refuse flags that another data set's builder would take."""
    defaults = type(config)()
    for flag, owners in OWNERS.items():
        if config.dataset not in owners and getattr(config, flag) != getattr(defaults, flag):
            raise UsageError(f"`--{flag}`: goes with --dataset={' or '.join(owners)} only; leave it out.")
    if config.box_margin != defaults.box_margin and config.crop not in ("box", "eyes"):
        raise UsageError("`--box_margin`: goes with --crop=box or eyes only; leave it out.")
    if config.seed != defaults.seed and config.dataset != "procedural_faces" and config.pick_stimuli == "none":
        raise UsageError("`--seed`: goes with --dataset=procedural_faces or --pick_stimuli=seeded only; leave it out.")


def _click_study(module, config, tell):
    source, categories = config.manual_dir, EXPRESSIONS
    of_run = (pathlib.Path(source) / "run.json").is_file()
    if config.categories is not None:
        categories = parse_categories(config.categories)
    elif not of_run:
        categories = _labels_of(source)
    if of_run:
        from experiments.study.people import click_set
        from experiments.study.run_folder import FinishedFiles

        if config.images:
            raise UsageError(f"`--images`: the run {source} brings its own pictures; leave it out.")
        categories = FinishedFiles(source).categories if config.categories is None else categories
        options = {"categories": categories, "allow_mixed": config.allow_mixed, "flag": "manual_dir"}
        source = functools.partial(click_set, source, **options)
    return module.Builder(
        data_dir=config.data_dir,
        source=source,
        images=config.images,
        allow_mixed=config.allow_mixed,
        categories=categories,
        progress=tell,
    )


def _labels_of(source) -> Categories:
    """Return the paper's expressions, or, where the tables of a study have other labels, those."""
    if not (pathlib.Path(source) / "dataset_description.json").is_file():
        return EXPRESSIONS  # the builder says what is wrong with the folder
    table = human.trials.read(source).trials
    labels = {*table["true_label"].dropna(), *table["false_label"].dropna()}
    return EXPRESSIONS if labels <= set(EXPRESSIONS) else Categories(tuple(paper_first(labels)))


def _procedural_faces(module, config, tell):
    images = {
        "train": config.train_images,
        "validation": config.validation_images,
        "stimuli": config.stimuli_images,
    }
    size = module.STANDARD_PX if config.image_size is None else config.image_size
    wanted = (config.faces, size, config.seed, images)
    for standard in module.Builder.BUILDER_CONFIGS:
        if (standard.preset, standard.image_size, standard.seed, standard.images) == wanted:
            break
    else:
        standard = module.ProceduralFacesConfig(
            name=f"{config.faces}_{size}px_seed{config.seed}_{'_'.join(map(str, images.values()))}",
            preset=config.faces,
            image_size=size,
            seed=config.seed,
            images=images,
        )
    workers = config.workers or usable_cores()
    return module.Builder(config=standard, data_dir=config.data_dir, workers=workers, progress=tell)


def _photographs(module, config, tell):
    name, own = PHOTOGRAPHS[config.dataset]
    chosen = {"affectnet": config.release, "ferplus": config.target}.get(config.dataset, name)
    defaults = type(config)()
    base = module.Builder.builder_configs[chosen]
    options = {flag: getattr(config, flag) for flag in own if getattr(config, flag) != getattr(defaults, flag)}
    if config.stimuli and config.pick_stimuli != "none":
        raise UsageError("`--pick_stimuli`: --stimuli names the study images already; leave one of the two out.")
    size = config.image_size
    if size is None and config.crop != "none":
        size = 224
    same = ("crop", "encoding", "exif", "detector", "dedupe", "categories", "class_map")
    changes = {name: getattr(config, name) for name in same} | {
        "image_size": size,
        "stimuli": config.stimuli or ("seeded" if config.pick_stimuli == "seeded" else None),
        "options": base.options | options,
    }
    if config.crop in ("box", "eyes"):
        changes["box_margin"] = config.box_margin
    if changes["stimuli"] == "seeded":
        changes["seed"] = config.seed
    return module.Builder(
        config=base.variant(**changes) if base.differs(**changes) else base.name,
        data_dir=config.data_dir,
        source=config.manual_dir,
        max_reject_frac=config.max_reject_frac,
        workers=config.workers or usable_cores(),
        progress=tell,
    )
