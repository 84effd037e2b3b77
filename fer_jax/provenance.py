"""What pictures and people are: said once, by whoever reads or makes them, and printed wherever numbers on them are."""

import dataclasses

from fer_jax.errors import check_one_of

PICTURES = ("photographs", "drawn", "unknown")
PEOPLE = ("real", "simulated", "mixed", "none")
# Where simulated people look. What each name means is said by `fer_jax.human.observers.PROFILES`.
PROFILES = ("typical", "eye_biased", "mouth_biased", "oracle", "random", "centre")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Where the pictures and the people of a result come from.

    Attributes:
      pictures: "photographs", or "drawn" by a program, which says nothing about photographs, or "unknown".
      people: "real", "simulated", which says nothing about real people, "mixed" of both, or "none".
      source: what the pictures are called in a sentence, such as "FER+ photographs". "" where nobody said.
      num_pictures: how many pictures the result is about. None where nobody counted.
      num_people: how many people. None where nobody counted.

    Raises:
      UsageError: a word that is none of these.
    """

    pictures: str = "photographs"
    people: str = "none"
    source: str = ""
    num_pictures: int | None = None
    num_people: int | None = None

    def __post_init__(self):
        check_one_of("pictures", self.pictures, PICTURES)
        check_one_of("people", self.people, PEOPLE)

    @property
    def drawn(self) -> bool:
        """The pictures are drawn by a program."""
        return self.pictures == "drawn"

    @property
    def has_people(self) -> bool:
        """There are people, real or simulated."""
        return self.people != "none"

    @property
    def simulated(self) -> bool:
        """The people are simulated, some of them at least."""
        return self.people in ("simulated", "mixed")

    @property
    def who(self) -> str:
        """The people in words, such as "simulated people"."""
        return {"mixed": "partly simulated people", "simulated": "simulated people"}.get(self.people, "people")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a figure must say of its data, such as "simulated people" and "synthetic faces"."""
        said = ((self.simulated, self.who), (self.drawn, "synthetic faces"))
        return tuple(words for holds, words in said if holds)


UNKNOWN = Provenance(pictures="unknown")
