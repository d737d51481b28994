"""What the catalogue knows of every technique: its own words, and what was measured and committed."""

from pydantic import Field

from coregpt.report.facts.base import Facts, Interval


class Option(Facts):
    """One setting."""

    name: str
    kind: str
    default: str
    words: str


class Price(Facts):
    """How much longer a training step takes than without the technique, as a ratio."""

    precision: str
    ratio: float
    low: float
    high: float
    memory: float | None = None
    """Ratio of peak memory."""


class Again(Facts):
    """The same comparison on seeds that its report did not have, at the rates that it found."""

    gain: float
    """Signed as that of the effect."""
    interval: Interval | None = None
    shown: bool
    """Whether these seeds show it by themselves."""
    seeds: tuple[int, ...]
    command: str
    """What trains these runs."""
    processor: str
    precision: str

    @property
    def machine(self) -> str:
        return machine(self.processor, self.precision)


class Effect(Facts):
    """One comparison of a published report whose arms differ in this technique and no other."""

    report: str
    """Its folder under `reports`."""
    arm: str
    baseline: str
    left_out: bool
    """The arm goes without it, and the baseline has it."""
    gain: float | None
    """How much lower the loss is with the technique, in `unit`; None where runs diverged or are missing."""
    interval: Interval | None
    p: float | None
    """Corrected for the arms of its report, if there are several."""
    p_alone: float | None = None
    """Of this comparison and no other."""
    detectable: float | None = None
    """The smallest true difference that the comparison would have shown with the declared probability."""
    size: float | None = None
    """Parameters with the technique over those without."""
    flops: float | None = None
    """FLOPs of a token with it over those without."""
    verdict: str
    """The report's word on the arm."""
    said: str = ""
    """The same with what the report says beside it, as `better, by less than matters`; empty: the word alone."""
    untuned: str = ""
    """`at one shared learning rate` or the like, where nothing looked for the arm's own; else empty."""
    tuned: bool = False
    """A bracket or trials before the test looked for it."""
    beside: tuple[str, ...] = ()
    """Settings that differ between the arms too, and that nobody counts as the technique's."""
    processor: str = ""
    """Empty where nobody noted it."""
    precision: str = ""
    again: Again | None = None
    """Where somebody looked again."""
    unit: str
    parameters: int
    tokens: int
    company: tuple[str, ...]
    """Other techniques of both arms."""
    instead: tuple[str, ...] = ()
    """Techniques of the baseline whose place this one takes."""

    @property
    def pilot(self) -> bool:
        """Nothing was tested: whatever the difference of the arms is, it is no effect."""
        return self.verdict == "pilot"

    @property
    def machine(self) -> str:
        return machine(self.processor, self.precision)


class Technique(Facts):
    """One technique."""

    name: str
    folder: str
    digest: str
    """Of its file: pairs of techniques whose files are what they were are not built again."""
    card: str
    """The docstring of its module."""
    options: tuple[Option, ...]
    hooks: tuple[str, ...]
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    prescribes: dict[str, str] = Field(default_factory=dict)
    """Settings that its source fixes, with value and place."""
    prices: tuple[Price, ...] = ()
    effects: tuple[Effect, ...] = ()

    @property
    def idea(self) -> str:
        """The first line of the card."""
        return self.card.partition("\n")[0]

    @property
    def source(self) -> str:
        """What follows `Source:` in the card, as one line."""
        return " ".join(self.card.partition("\nSource:")[2].split())


class Family(Facts):
    """A study of the atlas."""

    report: str
    question: str
    baseline: str
    techniques: tuple[str, ...] = ()
    """The baseline's."""
    seeds: int
    runs: int
    """Of the test and, before it, of the bracket."""
    hours: float
    """Training time of all of them together, of one core each."""
    shared_runs: int = 0
    """Those of them that a family before this one has too: they were trained once."""
    shared_hours: float = 0.0
    processor: str
    """Empty where nobody noted it."""
    precision: str
    command: str

    @property
    def machine(self) -> str:
        return machine(self.processor, self.precision)


class Published(Facts):
    """A loss that somebody else published."""

    optimizer: str
    technique: str
    """What does the same here, as a plugin; empty if nothing does."""
    parameters: str
    chinchilla: float
    """Tokens in multiples of 20 a parameter."""
    loss: float
    """Nats per token."""


class Finding(Facts):
    """A comparison as one of all that the atlas has."""

    technique: str
    effect: Effect
    q: float
    """The smallest level of false discoveries over the whole table at which this one is called found."""


class Catalogued(Facts):
    """All of them. Whatever was measured says in the pages with what."""

    techniques: tuple[Technique, ...]
    clashes: dict[str, str]
    """`one + other`, in alphabetical order, to the message with which the two are refused together."""
    priced_with: str = ""
    """Processor and date of the prices."""
    families: tuple[Family, ...] = ()
    """Studies of the atlas."""
    published: tuple[Published, ...] = ()
    """What others measured of optimizers."""

    def names(self) -> list[str]:
        return [each.name for each in self.techniques]

    def digests(self) -> dict[str, str]:
        return {each.name: each.digest for each in self.techniques}

    def clash(self, one: str, other: str) -> str | None:
        """Why two do not go together; None if they do."""
        return self.clashes.get(pair(one, other))


def machine(processor: str, precision: str) -> str:
    """`AMD EPYC, AVX512, bf16`."""
    return ", ".join(filter(None, (processor or "a processor that was not noted", precision)))


def pair(one: str, other: str) -> str:
    """The key of two techniques."""
    return " + ".join(sorted((one, other)))
