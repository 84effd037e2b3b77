"""Where people and networks meet: through plain tables and arrays, knowing neither models nor run folders."""

from fer_jax.compare import confusion, dice, intervals, localisation, reference_maps, statistics

__all__ = ["confusion", "dice", "intervals", "localisation", "reference_maps", "statistics"]
