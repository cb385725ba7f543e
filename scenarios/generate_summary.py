"""What `trocar dataset generate` says when it is done: frames, bytes, time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.shards import ShardInfo

_NAMED = 5
"""Patients that were refused are named, so many of them."""


@dataclass(frozen=True)
class Refused:
    """A patient that could not be recorded."""

    patient: str
    reason: str


def summary_lines(
    shards: Mapping[str, Sequence[ShardInfo]], member_bytes: Mapping[str, int], *, recorded: int, seconds: float
) -> list[str]:
    """Say what a data set holds and how fast it was made, in lines of text.

    Args:
        shards: Of each split.
        member_bytes: Bytes of all frames by member, such as rgb.png.
        recorded: Frames recorded in this run; the others were there.
        seconds: That this run took.
    """
    by_split = {split: sum(info.count for info in infos) for split, infos in shards.items()}
    frames = sum(by_split.values())
    size = sum(info.bytes for infos in shards.values() for info in infos)
    count = sum(map(len, shards.values()))
    patients = f"{count} patient" if count == 1 else f"{count} patients"
    each = max(frames, 1)
    splits = ", ".join(f"{split} {count}" for split, count in by_split.items() if count)
    largest = sorted(member_bytes.items(), key=lambda item: (-item[1], item[0]))
    members = ", ".join(f"{name} {count / each / 1000:.1f}" for name, count in largest)
    rate = f", {recorded / seconds:.2f} frames/s" if recorded and seconds > 0 else ""
    kept = f"; {frames - recorded} were there already" if recorded < frames else ""
    return [
        f"{frames} frames of {patients} ({splits}), {size / 1e6:.1f} MB",
        f"kB a frame: {size / each / 1000:.1f} in a shard; {members}",
        f"recorded {recorded} frames in {seconds:.1f} s{rate}{kept}",
    ]


def refusal(refused: Sequence[Refused], count: int) -> str:
    """Say in a line which of `count` patients could not be recorded, and why."""
    named = "; ".join(f"{one.patient}: {one.reason}" for one in refused[:_NAMED])
    more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    return (
        f"{len(refused)} of {count} patients could not be recorded, so the data set is not complete; all others are "
        f"there, and the same command records the rest once they are mended: {named}{more}"
    )
