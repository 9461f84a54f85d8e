"""The training loop that both stages share: Muon, a running average, checkpoints, a bar, a log."""

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import torch
from muon import Muon, matrices_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

_WARM_UP_STEPS: Final = 200
_CHECKPOINT_S: Final = 120.0  # what a stop may cost
_LOGGED_STEPS: Final = 100
_AVERAGING: Final = 0.9985  # of the weights' running average, a step; starts lower


class Learner:
    """Trains some modules; a run that was stopped goes on from its last checkpoint.

    modules   name -> module; their averaged weights are what is used afterwards
    folder    gets `checkpoint.safetensors` and `log.jsonl`
    steps     in all; the learning rate falls along a cosine to a fiftieth at the last one
    """

    def __init__(
        self, modules: dict[str, nn.Module], folder: Path, *, steps: int, learning_rate: float
    ) -> None:
        self._modules = nn.ModuleDict(modules)
        self._folder, self._steps, self._rate = folder, steps, learning_rate
        self._parameters = [p for p in self._modules.parameters() if p.requires_grad]
        self._average = [p.detach().clone() for p in self._parameters]
        matrices = matrices_of(self._modules)
        chosen = set(matrices)
        others = [p for p in self._parameters if p not in chosen]
        self._optimizers: list[torch.optim.Optimizer] = [Muon(matrices, learning_rate)]
        if others:  # a LoRA is matrices alone
            self._optimizers.append(
                torch.optim.AdamW(
                    others, learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
                )
            )
        self._step, self._elapsed_s = 0, 0.0
        self._sums: dict[str, float] = {}  # of the losses since the last line of the log
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._log_path = folder / "checkpoint.safetensors", folder / "log.jsonl"
        if self._path.exists():
            self._restore()

    def train(self, loss_of: Callable[[int], dict[str, Tensor]]) -> None:
        """Minimise the sum of `loss_of(step)`, then leave the averages in the modules."""
        begin = saved = time.monotonic()
        earlier_s = self._elapsed_s
        bar = tqdm(total=self._steps, initial=self._step, desc=self._folder.name, unit=" steps")
        while self._step < self._steps:
            losses = loss_of(self._step)
            self._modules.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(self._parameters, 1.0)
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self._rate * self._share(self._step)
                optimizer.step()
            self._step += 1
            weight = 1 - min(_AVERAGING, (1 + self._step) / (10 + self._step))
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self._parameters, weight)
            bar.update()
            for name, loss in losses.items():
                self._sums[name] = self._sums.get(name, 0.0) + loss.item()
            self._elapsed_s = earlier_s + time.monotonic() - begin
            if self._step % _LOGGED_STEPS == 0:
                means = {name: total / _LOGGED_STEPS for name, total in self._sums.items()}
                self._log(means)
                bar.set_postfix(means)
                self._sums = {}
            if time.monotonic() - saved > _CHECKPOINT_S:
                self._save()
                saved = time.monotonic()
        bar.close()
        self._save()
        self.use_average()

    def use_average(self) -> None:
        """Put the averaged weights into the modules."""
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._average, strict=True):
                parameter.copy_(average)

    def _share(self, step: int) -> float:
        falling = 0.02 + 0.98 * (1 + math.cos(math.pi * step / self._steps)) / 2
        return min(1.0, (step + 1) / _WARM_UP_STEPS) * falling

    def _log(self, losses: dict[str, float]) -> None:
        line = {"step": self._step, "seconds": round(self._elapsed_s, 1), **losses}
        with self._log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _tensors(self) -> Iterable[tuple[str, Tensor]]:
        yield from ((f"modules.{name}", p) for name, p in self._modules.state_dict().items())
        yield from ((f"average.{place}", p) for place, p in enumerate(self._average))
        for which, optimizer in enumerate(self._optimizers):
            for place, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    yield f"optimizer.{which}.{place}.{name}", value

    def _save(self) -> None:
        facts = {
            "step": str(self._step),
            "seconds": str(self._elapsed_s),
            "sums": json.dumps(self._sums),
        }
        # A stop while writing leaves the last checkpoint whole.
        partial = self._path.with_suffix(".partial")
        save_file(
            {name: t.detach().contiguous().clone() for name, t in self._tensors()}, partial, facts
        )
        partial.replace(self._path)

    def _restore(self) -> None:
        with safe_open(self._path, "pt") as file:
            facts = file.metadata()
        self._step, self._elapsed_s = int(facts["step"]), float(facts["seconds"])
        self._sums = json.loads(facts["sums"])
        # What came after the checkpoint is done again, and logged again; a stop may have cut the
        # last line short.
        if self._log_path.exists():
            lines = self._log_path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            kept = [line for line in whole if json.loads(line)["step"] <= self._step]
            self._log_path.write_text("".join(kept), encoding="utf-8")
        tensors = load_file(self._path)

        def under(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }

        self._modules.load_state_dict(under("modules."))
        self._average = [tensors[f"average.{place}"] for place in range(len(self._average))]
        for which, optimizer in enumerate(self._optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in under(f"optimizer.{which}.").items():
                place, _, kind = name.partition(".")
                state.setdefault(int(place), {})[kind] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
