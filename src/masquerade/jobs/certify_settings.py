"""Settings of a certificate: which images, what models see, which rules, how many partitions."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from masquerade.certify import dpa, fa, roe_dpa, roe_fa
from masquerade.certify.base import RuleConfig
from masquerade.certify.learners import networks, ridge
from masquerade.certify.learners.base import LearnerConfig
from masquerade.certify.partition import Assign, Parts
from masquerade.certify.provenance import Assertion
from masquerade.core.rundir import RunDir
from masquerade.data.sources.base import SourceConfig
from masquerade.engine.runtime import Runtime
from masquerade.jobs import finished
from masquerade.jobs.evaluate import TESTS
from masquerade.jobs.settings import OnImages

Extractor = Literal["trained", "untrained", "pixels"]
RULES: dict[str, RuleConfig] = {
    "dpa": dpa.Config(),
    "roe_dpa": roe_dpa.Config(),
    "fa": fa.Config(),
    "roe_fa": roe_fa.Config(),
}
SPREAD = ("fa", "roe_fa")  # rules for partitions that reach several models
SHARES = (0.1, 0.2, 0.3, 0.4)  # of k: the budgets of the table
SIDE = 32  # of raw images, in pixels


class Certify(OnImages):
    """Settings of a certificate.

    Attributes:
        data: Where the labelled images come from; the run's own source unless told otherwise.
        train: The split that heads are fitted on; `auto` is `train`, or the source's first.
        test: The split whose predictions are certified; `auto` takes the first of test, val and
            seen that there is.
        tests: At most so many of its images, evenly spaced; 0 takes all. Training images are never
            left out: which ones would depend on all of them.
        features: Of the trained encoder, of the same network untrained, or raw pixels.
        size: Side in pixels at which raw images are seen, where there is no run; 0 takes 32. It
            must be fixed beforehand, not follow from the images.
        overlap: Whether labelled images that the encoder was trained on are kept, or left out
            (`drop`): a rule about each image alone.
        rules: By name: how votes make a prediction. Each is a certificate of its own. Networks
            have those of one model per partition unless others are named.
        parts: k: a model sees about N / k images. More parts survive more poisons and know less.
        spread: d: partitions that a model of Finite Aggregation sees, of k * d.
        assign: What the partition of an image follows from.
        learner: The base learner.
        asserted: What you answer for and nobody can verify: `label_free` (no label influenced the
            features), `unreachable` (whoever supplies the labelled images could not reach the
            encoder's training images).
        budgets: Numbers of poisons in the table; empty takes tenths of k.
        baselines: Whether an untrained encoder and raw pixels are certified too, to compare with.
        workers: Processes that train networks, with Ray; RAY_ADDRESS names a cluster.
        runtime: Device, precision, threads.
    """

    data: SourceConfig
    train: str = "auto"
    test: str = "auto"
    tests: int = Field(0, ge=0)
    features: Extractor = "trained"
    size: int = Field(0, ge=0, le=512)
    overlap: Literal["keep", "drop"] = "keep"
    rules: dict[str, RuleConfig] = RULES
    parts: int = Field(50, ge=1)
    spread: int = Field(4, ge=2)
    assign: Assign = "content"
    learner: LearnerConfig = ridge.Config()
    asserted: tuple[Assertion, ...] = ()
    budgets: tuple[int, ...] = ()
    baselines: bool = False
    workers: int = Field(1, ge=1)
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _ruled(self) -> "Certify":
        if not self.rules:
            raise ValueError("name a rule: rule=dpa")
        if any(b < 0 for b in self.budgets):
            raise ValueError("budgets are numbers of poisons, 0 or more")
        if self.networks and self.features != "pixels":
            raise ValueError(
                "networks learn from raw images and need no run: "
                "masquerade certify IMAGES learner=networks, or features=pixels"
            )
        if self.workers > 1 and not self.networks:
            raise ValueError("workers= train networks; heads are fitted in this process")
        return self

    @property
    def networks(self) -> bool:
        """Whether models are networks on raw images rather than heads on features."""
        return isinstance(self.learner, networks.Config)

    @classmethod
    def of(cls, run: RunDir | None, changes: Mapping[str, str] = {}) -> "Certify":
        """The settings for a run, or (None) for a file of features, after changes."""
        own: dict[str, Any] = {"data": {"kind": "toybox"}}
        if run:
            trained = finished.settings(run)
            own = {"data": trained.data, "runtime": trained.runtime}
        return cls(**own).with_words([f"{key}={value}" for key, value in changes.items()])

    @classmethod
    def raw(cls, data: SourceConfig, words: list[str]) -> "Certify":
        """The settings for raw images of a source, without a run, after overrides."""
        return cls(data=data, features="pixels").with_words(words)

    def with_words(self, words: list[str]) -> "Certify":
        """A copy after overrides with shorthands.

        `rule=dpa,fa` chooses among the rules, `ties=index` and `tight=false` are said of each,
        `asserted=label_free,unreachable` is a list. Networks without `rule=` have the rules of
        one model per partition: Finite Aggregation trains `spread` times as many.
        """
        changed, rest = self, []
        keys = [word.partition("=")[0] for word in words]
        if "rule" not in keys and any(w == "learner=networks" for w in words):
            changed = changed.replace(
                rules={n: r for n, r in self.rules.items() if n not in SPREAD}
            )
        for word in words:
            key, _, value = word.partition("=")
            if key == "rule":
                names = [n for n in value.split(",") if n]
                known = {n: self.rules.get(n) or RuleConfig.called(n)() for n in names}
                changed = changed.replace(rules=known)
            else:
                rest.append(word)
        told = []
        for word in rest:
            key, _, value = word.partition("=")
            if key in ("ties", "tight"):
                told += [f"rules.{name}.{word}" for name in changed.rules]
            elif key in ("asserted", "budgets") and not value.startswith(("[", "(")):
                listed = [v for v in value.split(",") if v]
                items: list[Any] = [int(v) if v.isdigit() else v for v in listed]
                told.append(f"{key}={json.dumps(items)}")
            else:
                told.append(word)
        return changed.override(told)

    def splits(self) -> tuple[str, str]:
        """The split to fit on and the split to certify."""
        have = self.data.splits()
        first = "train" if "train" in have else have[0]
        train = first if self.train == "auto" else self.train
        tests = [s for s in TESTS if s in have and s != train]
        if self.test == "auto" and not tests:
            raise ValueError(
                f"data={self.data.kind} has no images besides {train!r} to certify; "
                f"test= names one of {', '.join(have)}"
            )
        return train, tests[0] if self.test == "auto" else self.test

    def divided(self, rule: str) -> Parts:
        """The partitions of a rule."""
        spread = self.spread if rule in SPREAD else 1
        return Parts(parts=self.parts, spread=spread, assign=self.assign)

    def shown(self) -> list[int]:
        """The budgets of the table."""
        tenths = {max(1, round(share * self.parts)) for share in SHARES}
        return sorted(set(self.budgets) or tenths)

    def chosen(self, rules: str) -> list[str]:
        """The names of the rules without a spread (`plain`), or with one (`spread`)."""
        return [n for n in self.rules if (n in SPREAD) == (rules == "spread")]
