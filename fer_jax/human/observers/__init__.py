"""Simulated people, who test code and are never evidence about people."""

from fer_jax.human.observers.parameters import CONFUSABILITY, PROFILES, Dynamics, Observer, Profile, draw_observer
from fer_jax.human.observers.regions import difference_evidence
from fer_jax.human.observers.simulation import simulate

__all__ = [
    "CONFUSABILITY",
    "PROFILES",
    "Dynamics",
    "Observer",
    "Profile",
    "difference_evidence",
    "draw_observer",
    "simulate",
]
